package vault_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
)

// bounded is a bank that makes so many at the most, for acme and globex together.
func bounded(t *testing.T, most int) *bank {
	t.Helper()
	return openBankFor(t, nil, func(e *backend.Entry) { e.MaxLeases = most })
}

// full says that a Run is refused for want of a place, and that the backend heard of
// nothing.
func (b *bank) full(run string) {
	b.t.Helper()
	heard := b.heard()
	err := b.refused(run)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "as many credentials as it may") || !strings.Contains(fault.HintOf(err), "maxLeases") {
		b.t.Errorf("%s is answered: %v", run, err)
	}
	if n := b.heard() - heard; n != 0 {
		b.t.Errorf("the backend was asked %d times for %s", n, run)
	}
}

// Attack: a Mission's Runs are started in a loop, and each makes a database user.
func TestRunsInALoopMakeNoMoreUsersThanTheBackendMay(t *testing.T) {
	b := bounded(t, 8) // four for each of the two tenants
	for i := range 4 {
		b.as(acme, fmt.Sprint("run_", i))
	}
	for i := range 20 {
		b.full(fmt.Sprint("run_more_", i))
	}
	b.as(acme, "run_0") // who has one goes on
	b.want(4, 4, 4)
	if n := len(b.entries(audit.LeaseAsked)); n != 4 {
		t.Errorf("%d questions are on the record", n)
	}
	b.over["run_0"] = "its Run has ended"
	b.tend()
	b.pass(2 * time.Second)
	b.as(acme, "run_more_0")
	b.want(4, 4, 4)
}

// Attack: a thousand Runs ask at the same moment, before any of them is on record.
func TestRunsThatAskAtOnceGetNoMorePlacesThanThereAre(t *testing.T) {
	b := bounded(t, 10)
	b.KeepLeases(&slow{b.store}, func() {})
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for i := range 200 {
		wg.Go(func() {
			if b.refused(fmt.Sprint("run_", i)) == nil {
				mu.Lock()
				defer mu.Unlock()
				opened++
			}
		})
	}
	wg.Wait()
	if opened != 5 {
		t.Errorf("%d Runs have one", opened)
	}
	b.want(5, 5, 5)
}

// Attack: one tenant takes every place, so that the other's Runs get none.
func TestATenantLeavesTheOthersTheirShare(t *testing.T) {
	b := bounded(t, 7) // three each: the odd one is nobody's
	if err := b.point(globex, "db", creds()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b.as(acme, fmt.Sprint("run_", i))
	}
	b.full("run_3")
	for i := range 3 {
		b.as(globex, fmt.Sprint("run_", i))
	}
	b.want(6, 6, 6)
}

// Attack: the server is started again and again, so that it forgets what it has made.
// What was not revoked has its place until it has ended.
func TestWhatCouldNotBeRevokedKeepsItsPlaceAlsoAfterARestart(t *testing.T) {
	b := bounded(t, 4)
	b.as(acme, "run_one")
	b.as(acme, "run_two")
	b.DatabaseDown(true)
	b.restart()
	b.tend()
	b.full("run_three")
	b.restart()
	b.full("run_four")
	b.DatabaseDown(false)
	b.tend()
	b.pass(2 * time.Second)
	b.as(acme, "run_five")
	b.want(1, 1, 1)
}

// What was asked for, and answered by nobody, may be there.
func TestAQuestionWhoseAnswerWasLostHasAPlace(t *testing.T) {
	b := bounded(t, 2)
	b.Lost = "database/creds/app"
	if err := b.refused("run_one"); err == nil {
		t.Fatal("it opened")
	}
	b.Lost = ""
	b.pass(2 * time.Second)
	if rows, err := b.Leases(t.Context(), acme, ""); err != nil || len(rows) != 1 {
		t.Fatalf("on record: %v, %v", rows, err)
	}
	b.full("run_two")
}

// A row that somebody took away frees no place while we know of the credential.
func TestARowThatIsGoneFreesNoPlace(t *testing.T) {
	b := bounded(t, 2)
	b.as(acme, "run_one")
	b.store.leases = nil
	b.full("run_two")
}

func TestARunWithoutAPlaceLeavesNothingBehind(t *testing.T) {
	b := bounded(t, 2)
	b.as(acme, "run_one")
	for range 3 {
		b.full("run_two")
		b.pass(2 * time.Second)
	}
	b.over["run_one"] = "its Run has ended"
	b.tend()
	b.want(0, 0, 0)
	b.as(acme, "run_two")
}

// slow is a store whose answer takes a while: whoever counts meanwhile counts the same.
type slow struct{ *memory }

func (s *slow) Leases(ctx context.Context, t ident.Tenant) ([]vault.Lease, error) {
	out, err := s.memory.Leases(ctx, t)
	for range 1000 {
		runtime.Gosched()
	}
	return out, err
}

// uncounted is a store that can't say what is on record.
type uncounted struct {
	*memory
	err error
}

func (u *uncounted) Leases(ctx context.Context, t ident.Tenant) ([]vault.Lease, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.memory.Leases(ctx, t)
}

func TestWhatCantBeCountedIsNotMadeFailsClosed(t *testing.T) {
	b := bounded(t, 2)
	store := &uncounted{memory: b.store, err: errors.New("the disk is gone")}
	b.KeepLeases(store, func() {})
	heard := b.heard()
	if err := b.refused("run_one"); err == nil {
		t.Error("it opened")
	}
	if n := b.heard() - heard; n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

func TestTheDoctorSaysHowNearABackendIsToItsBound(t *testing.T) {
	b := bounded(t, 20)
	look := func() vault.BackendState {
		t.Helper()
		all, err := b.Backends(t.Context(), acme)
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0]
	}
	for i, near := range []bool{false, false, false, false, false, false, false, false, true, true, true} {
		if s := look(); s.Leases != i || s.MaxLeases != 10 || s.NearMax != near {
			t.Errorf("with %d it says %d of %d, near %v", i, s.Leases, s.MaxLeases, s.NearMax)
		}
		if i < 10 {
			b.as(acme, fmt.Sprint("run_", i))
		}
	}
	if all, err := b.Backends(t.Context(), globex); err != nil || all[0].Leases != 0 {
		t.Errorf("another tenant is told of %d, %v", all[0].Leases, err)
	}
}

func TestABoundIsOneThatCanBeKept(t *testing.T) {
	b := openBank(t, nil)
	made, err := b.backends.Find(acme, "pg", backend.Ask{Path: "creds/app"})
	if err != nil {
		t.Fatal(err)
	}
	both := []ident.Tenant{acme, globex}
	for what, e := range map[string]backend.Entry{
		"less than none":                     {Name: "pg", Tenants: both, Backend: made, MaxLeases: -1},
		"fewer than tenants":                 {Name: "pg", Tenants: both, Backend: made, MaxLeases: 1},
		"without end":                        {Name: "pg", Tenants: both, Backend: made, MaxLeases: 1 << 40},
		"of a backend that makes no leases":  {Name: "kv", Tenants: both, Backend: plainBackend{made}, MaxLeases: 5},
		"fewer than tenants, by the default": {Name: "pg", Tenants: many(300), Backend: made},
	} {
		if _, err := backend.NewRegistry(e); !fault.Is(err, fault.Invalid) {
			t.Errorf("a bound %s: %v", what, err)
		}
	}
	for what, want := range map[string]struct {
		entry backend.Entry
		share int
	}{
		"the default":             {backend.Entry{Name: "pg", Tenants: both, Backend: made}, backend.DefaultMaxLeases / 2},
		"a tenant alone":          {backend.Entry{Name: "pg", Tenants: both[:1], Backend: made, MaxLeases: 9}, 9},
		"a tenant that is twice":  {backend.Entry{Name: "pg", Tenants: []ident.Tenant{acme, acme}, Backend: made, MaxLeases: 9}, 9},
		"a backend for no leases": {backend.Entry{Name: "pg", Tenants: both, Backend: plainBackend{made}}, 0},
	} {
		r, err := backend.NewRegistry(want.entry)
		if err != nil {
			t.Fatal(what, err)
		}
		if got := r.Share("pg"); got != want.share {
			t.Errorf("%s: each has %d, want %d", what, got, want.share)
		}
	}
}

func many(n int) (out []ident.Tenant) {
	for i := range n {
		out = append(out, ident.Tenant(fmt.Sprint("t", i)))
	}
	return out
}

// plainBackend is one that makes nothing.
type plainBackend struct{ backend.Backend }

// heard is how often the backend was asked anything.
func (b *bank) heard() int { return b.Count("auth/") + b.Count("database/") + b.Count("sys/") }

// hung is a store that doesn't say what acme has on record until it is let go.
type hung struct {
	*memory
	asked chan bool // whether it is asked for a bounded time
	let   chan struct{}
}

func (s *hung) Leases(ctx context.Context, t ident.Tenant) ([]vault.Lease, error) {
	if t != acme {
		return s.memory.Leases(ctx, t)
	}
	_, bounded := ctx.Deadline()
	s.asked <- bounded
	<-s.let
	return nil, errors.New("it took too long")
}

// Attack: one tenant's Runs keep the store busy with counting.
func TestATenantWaitsForNoOthersCount(t *testing.T) {
	b := bounded(t, 8)
	if err := b.point(globex, "db", creds()); err != nil {
		t.Fatal(err)
	}
	store := &hung{b.store, make(chan bool, 1), make(chan struct{})}
	b.KeepLeases(store, func() {})
	done := make(chan error, 1)
	go func() { done <- b.refused("run_hung") }()
	if !<-store.asked {
		t.Error("a count may take for ever")
	}
	b.as(globex, "run_other")
	close(store.let)
	if err := <-done; err == nil {
		t.Error("it got a place that nobody counted")
	}
}

// A place that nobody can ever free: nothing is known by which what was asked for could
// be ended, and under the backend's name there is another server now.
func TestWhatNobodyCanEndHasNoPlaceForEver(t *testing.T) {
	b := bounded(t, 2)
	b.as(acme, "run_one")
	l := &b.store.leases[0]
	l.State, l.Handle, l.Lease, l.Expires, l.Where = vault.LeaseAsked, "", "", time.Time{}, "of the server before"
	b.restart()
	b.tend()
	b.as(acme, "run_two")
	if e := b.entries(audit.LeaseRevoked); len(e) != 1 || e[0].Fields["state"] != "unknown" {
		t.Errorf("on record: %v", e)
	}
}
