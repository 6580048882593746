package vault_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
)

// teller is a shelf that tells of changes.
type teller struct {
	*shelf
	wmu   sync.Mutex
	tells map[string]func(backend.Sight)
	begun int
	broke error         // of each watch, at once
	cut   chan struct{} // closed: all watches end
}

func (s *teller) Watch(ctx context.Context, path string, tell func(backend.Sight)) error {
	s.wmu.Lock()
	s.begun++
	broke, cut := s.broke, s.cut
	if broke == nil {
		s.tells[path] = tell
	}
	s.wmu.Unlock()
	if broke != nil {
		return broke
	}
	tell(backend.Began)
	defer func() { s.wmu.Lock(); delete(s.tells, path); s.wmu.Unlock() }()
	select {
	case <-ctx.Done():
		return nil
	case <-cut:
		return backend.Fail(backend.Away, "it was cut")
	}
}

func (s *teller) tell(path string) {
	s.wmu.Lock()
	f := s.tells[path]
	s.wmu.Unlock()
	if f != nil {
		f(backend.Changed)
	}
}

func (s *teller) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// withTeller is a vault with a pointer "crm" to a backend that is watched, which has
// been used once. It runs in a bubble: waiting costs no time.
func withTeller(t *testing.T, do func(f *fixture, s *teller)) {
	synctest.Test(t, func(t *testing.T) {
		s := &teller{shelf: &shelf{values: map[string]map[string]string{"team/crm": {"value": canary1}}}, tells: map[string]func(backend.Sight){}, cut: make(chan struct{})}
		reg, err := backend.NewRegistry(
			backend.Entry{Name: "corp", Kind: "kubernetes", Tenants: []ident.Tenant{acme}, Backend: s},
			backend.Entry{Name: "mute", Kind: "vault", Tenants: []ident.Tenant{acme, globex}, Backend: s.shelf, HookFile: "x"})
		if err != nil {
			t.Fatal(err)
		}
		f := startWith(t, reg)
		f.mustPoint("crm", to("corp", "team/crm", 24*time.Hour))
		if err := f.opens(acme, "crm"); err != nil {
			t.Fatal(err)
		}
		began, then := time.Now(), f.now
		f.clock = func() time.Time { return then.Add(time.Since(began)) } // the bubble's
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.Watch(ctx) })
		f.passes(2 * time.Second) // the watch has begun, and what it began with was asked for
		do(f, s)
		cancel()
		wg.Wait()
		synctest.Wait()
	})
}

// passes lets time go by.
func (f *fixture) passes(d time.Duration) {
	synctest.Wait()
	<-time.After(d)
	synctest.Wait()
}

func TestAChangeIsAskedForAtOnceAndHiddenBeforeItIsUsed(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		s.put("team/crm", canary2)
		if got := f.call(spec(acme, "crm")); got != "Bearer "+canary1 {
			t.Fatal("nobody told, and it was asked all the same")
		}
		asked := s.count()
		s.tell("team/crm")
		synctest.Wait()
		if !f.scrubs(acme, canary1) || !f.scrubs(acme, canary2) {
			t.Error("before a use, old and new are not both scrubbed for")
		}
		if got := f.call(spec(acme, "crm")); got != "Bearer "+canary2 || s.count() != asked+1 {
			t.Errorf("the next call has another value, or asked: %d questions", s.count()-asked)
		}
	})
}

func TestAStormOfChangesIsAQuestionASecond(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		asked := s.count()
		for range 10_000 {
			s.tell("team/crm")
		}
		f.passes(1500 * time.Millisecond)
		for range 10_000 {
			s.tell("team/crm")
		}
		f.passes(10 * time.Second)
		if n := s.count() - asked; n > 4 {
			t.Errorf("twenty thousand changes in ten seconds were %d questions", n)
		}
		s.put("team/crm", canary2) // and the last one is not lost
		s.tell("team/crm")
		s.tell("team/crm")
		f.passes(2 * time.Second)
		if got := f.call(spec(acme, "crm")); got != "Bearer "+canary2 {
			t.Error("another value is used")
		}
	})
}

func TestAChangeDuringAQuestionIsAskedAboutAgain(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		f.passes(5 * time.Minute)
		s.mu.Lock()
		s.wait = make(chan struct{})
		s.mu.Unlock()
		asked := s.count()
		go func() { _ = f.opens(acme, "crm") }()
		synctest.Wait() // the question is under way
		s.tell("team/crm")
		synctest.Wait()
		close(s.wait)
		f.passes(2 * time.Second)
		if n := s.count() - asked; n != 2 {
			t.Errorf("it was asked %d times, want 2: the first question began before the change", n)
		}
	})
}

func TestALostWatchIsBegunAgainLaterEachTimeAndLoggedOnce(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		s.wmu.Lock()
		s.broke, s.begun = backend.Fail(backend.Away, "no"), 0
		close(s.cut)
		s.wmu.Unlock()
		for range 40 {
			f.passes(30 * time.Second)
		}
		if s.begun > 40 || s.begun < 10 {
			t.Errorf("in twenty minutes it was begun %d times", s.begun)
		}
		if n := strings.Count(f.log.String(), "a backend can't be watched"); n != 1 {
			t.Errorf("the log says so %d times", n)
		}
		if b := f.seen(acme)[0]; b.Watch != "lost" || b.Lost != 1 || b.LostWhy != backend.Away || f.time().Sub(b.LostSince) < 19*time.Minute {
			t.Errorf("it is shown as %+v", b)
		}
		if err := f.opens(acme, "crm"); err != nil {
			t.Errorf("without a watch: %v", err)
		}
		s.put("team/crm", canary2) // nobody tells; the watch that begins makes the vault ask
		s.wmu.Lock()
		s.broke, s.cut = nil, make(chan struct{})
		s.wmu.Unlock()
		f.passes(2 * time.Minute)
		if !strings.Contains(f.log.String(), "tells of changes again") || !f.scrubs(acme, canary2) {
			t.Error("when it is back, nothing is asked or logged")
		}
	})
}

func TestAWatchThatIsNotAllowedIsTriedSeldom(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		s.wmu.Lock()
		s.broke, s.begun = backend.Fail(backend.Refused, "no"), 0
		close(s.cut)
		s.wmu.Unlock()
		for range 24 {
			f.passes(5 * time.Minute)
		}
		if s.begun > 40 {
			t.Errorf("in two hours it was begun %d times", s.begun)
		}
		if n := strings.Count(f.log.String(), "a backend can't be watched"); n != 1 {
			t.Errorf("the log says so %d times", n)
		}
	})
}

func TestOnlyWhatSecretsPointToIsWatched(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		watched := func() string {
			s.wmu.Lock()
			defer s.wmu.Unlock()
			return fmt.Sprint(len(s.tells), s.tells["team/crm"] != nil, s.tells["team/erp"] != nil)
		}
		s.put("team/erp", canary3)
		f.mustPoint("erp", to("corp", "team/erp", time.Hour))
		f.mustPoint("erp-again", to("corp", "team/erp", 0))
		f.mustPoint("unwatched", to("mute", "team/crm", time.Hour))
		f.passes(3 * time.Second)
		if got := watched(); got != "2 true true" {
			t.Errorf("two Secrets point to one path and one to another: %s", got)
		}
		if err := f.Remove(t.Context(), acme, "crm", admin(acme)); err != nil {
			t.Fatal(err)
		}
		f.passes(3 * time.Second)
		if got := watched(); got != "1 false true" {
			t.Errorf("one was removed: %s", got)
		}
		f.Seal()
		f.passes(3 * time.Second)
		if got := watched(); got != "0 false false" {
			t.Errorf("it was sealed: %s", got)
		}
	})
}

func TestAMessageHasABackendAskedAtTheNextUseAndNotMoreOften(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 24*time.Hour))
	f.mustPoint("other", to("open", "team/crm", 24*time.Hour))
	for _, name := range []string{"crm", "other"} {
		if err := f.opens(acme, name); err != nil {
			t.Fatal(err)
		}
	}
	s.put("team/crm", canary2)
	s.asked = 0
	f.now = f.now.Add(10 * time.Second)
	f.BackendChanged("corp")
	if s.asked != 0 {
		t.Error("a message alone asked")
	}
	if got := f.call(spec(acme, "crm")); got != "Bearer "+canary2 || s.asked != 1 {
		t.Errorf("the next use has another value, after %d questions", s.asked)
	}
	if got := f.call(spec(acme, "other")); got != "Bearer "+canary1 || s.asked != 1 {
		t.Errorf("another backend was asked: %d", s.asked)
	}
	for range 1000 {
		f.BackendChanged("corp")
		f.now = f.now.Add(10 * time.Millisecond)
		if err := f.opens(acme, "crm"); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked > 5 {
		t.Errorf("a thousand messages in ten seconds asked %d times", s.asked)
	}
	f.BackendChanged("nobody")
}

func TestARefusedValueIsAskedForAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := withShelf(t)
		f.mustPoint("crm", to("corp", "team/crm", 24*time.Hour))
		var used vault.External
		use := func() {
			d := spec(acme, "crm")
			d.From = &used
			f.call(d)
		}
		renewed := func() bool { return f.Renewed(t.Context(), acme, "crm", 1, used) }
		use()
		s.asked = 0
		if renewed() || s.asked != 2 {
			t.Errorf("the same value is another, or %d questions, want 2", s.asked)
		}
		use()
		s.put("team/crm", canary2)
		if f.now = f.now.Add(2 * time.Second); !renewed() {
			t.Error("another value is not seen")
		}
		s.asked = 0
		if !renewed() || s.asked != 0 {
			t.Errorf("what is known is asked for: %d", s.asked)
		}
		use()
		s.asked = 0
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if renewed() {
					t.Error("the same value is another")
				}
			})
		}
		wg.Wait()
		if s.asked > 10 {
			t.Errorf("a thousand refused calls asked %d times", s.asked)
		}
		s.fails(backend.Fail(backend.Away, "no"))
		f.now = f.now.Add(2 * time.Second)
		if renewed() {
			t.Error("a backend that is away has given another value")
		}
		if f.Renewed(t.Context(), acme, "crm", 1, vault.External{Backend: "open", Version: "x"}) || f.Renewed(t.Context(), globex, "crm", 1, used) {
			t.Error("of another backend, or another tenant")
		}
		synctest.Wait()
	})
}

// A backend whose versions count changes that leave the value as it is gives no other
// value by that.
func TestAnotherVersionOfTheSameValueIsNotAnotherValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := withShelf(t)
		s.version = "7"
		f.mustPoint("crm", to("corp", "team/crm", 24*time.Hour))
		used := vault.External{Backend: "corp", Version: "7"}
		if err := f.opens(acme, "crm"); err != nil {
			t.Fatal(err)
		}
		s.version = "8"
		if f.Renewed(t.Context(), acme, "crm", 1, used) {
			t.Error("the same value under another version is another")
		}
		s.version = "9"
		s.put("team/crm", canary2)
		if f.now = f.now.Add(2 * time.Second); !f.Renewed(t.Context(), acme, "crm", 1, used) {
			t.Error("another value is not seen")
		}
		synctest.Wait()
	})
}

func TestWhatIsKnownOfBackendsIsShown(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		got := f.seen(acme)
		if len(got) != 2 || got[0].Name != "corp" || got[0].State != "answers" || got[0].Watch != "watching" || got[0].Watched != 1 || got[0].Pointers != 1 ||
			got[1].State != "unasked" || got[1].Watch != "no" || !got[1].Hook {
			t.Errorf("they are %+v", got)
		}
		if got := f.seen(globex); len(got) != 1 || got[0].Name != "mute" {
			t.Errorf("another tenant sees %+v", got)
		}
		s.fails(backend.Fail(backend.Away, "no"))
		f.passes(10 * time.Minute)
		_ = f.opens(acme, "crm")
		if got := f.seen(acme)[0]; got.State != "fails" || got.Why != backend.Away || got.Answered.IsZero() {
			t.Errorf("it is %+v", got)
		}
	})
}

// What a tenant's uses heard of a backend is its own: another that shares it learns
// neither when it was used nor that a path of it failed.
func TestWhatABackendSaidToOneTenantIsNotShownToAnother(t *testing.T) {
	withTeller(t, func(f *fixture, s *teller) {
		f.mustPoint("on-mute", to("mute", "team/crm", 0))
		if err := f.opens(acme, "on-mute"); err != nil {
			t.Fatal(err)
		}
		if b := f.seen(acme)[1]; b.Name != "mute" || b.State != "answers" {
			t.Errorf("its own is shown as %+v", b)
		}
		if b := f.seen(globex)[0]; b.Name != "mute" || b.State != "unasked" || !b.Answered.IsZero() {
			t.Errorf("another tenant sees %+v", b)
		}
	})
}

// seen is what is known of a tenant's backends.
func (f *fixture) seen(t ident.Tenant) []vault.BackendState {
	f.t.Helper()
	out, err := f.Backends(f.t.Context(), t)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}
