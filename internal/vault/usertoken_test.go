package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

func TestAThousandCallersRefreshOnce(t *testing.T) {
	b, f := authorised(t)
	f.now = f.now.Add(2 * time.Hour)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, err := f.Open(t.Context(), b.spec(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.wantCall(b)
	s, err := f.Show(t.Context(), acme, "tickets")
	if err != nil || b.n != 2 || s.Active != 3 || s.Versions[1].State != vault.Previous {
		t.Errorf("%d tokens, %+v %v", b.n, s, err)
	}
	f.wantScrubbed(b.access(1), b.refresh(1), b.access(2), b.refresh(2))
	if b.last.Get("resource") != b.URL+"/mcp" {
		t.Errorf("refreshed with %v", b.last)
	}
}

func TestATokenThatCouldNotBeStoredIsUsedByNobodyAndNotLost(t *testing.T) {
	b, f := authorised(t)
	f.now = f.now.Add(2 * time.Hour)
	f.store.fail = errors.New("the disk is full")
	if _, err := f.calls(b); err == nil {
		t.Fatal("a token was used before it was durable")
	}
	if s, err := f.Show(t.Context(), acme, "tickets"); err != nil || s.Active != 2 {
		t.Fatalf("the old one was lost: %+v %v", s, err)
	}
	f.wantCall(b) // it is stored now, and the server was not asked again
	if b.n != 2 {
		t.Errorf("%d tokens", b.n)
	}
	f.restart()
	f.wantCall(b)
	f.now = f.now.Add(2 * time.Hour)
	f.wantCall(b)
	if b.n != 3 {
		t.Errorf("%d tokens", b.n)
	}
}

// A crash between the server's answer and the store: the old one is still there. What
// becomes of it is the server's to say.
func TestACrashBeforeTheNewTokenIsStoredLeavesTheOldOne(t *testing.T) {
	for _, lenient := range []bool{true, false} {
		b, f := authorised(t)
		f.now = f.now.Add(2 * time.Hour)
		f.store.fail = errors.New("the machine stops here")
		_, _ = f.calls(b)
		f.restart()
		if lenient { // it takes the one before for a while, as many do
			b.set(func() { b.used, b.n = map[string]bool{}, 1 })
			f.wantCall(b)
			continue
		}
		if _, err := f.calls(b); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "authorise") {
			t.Errorf("%v", err)
		}
		asked := fmt.Sprint(b.last)
		b.set(func() { b.last = nil })
		if _, err := f.calls(b); !fault.Is(err, fault.Denied) || b.last != nil {
			t.Errorf("it was asked again at once: %v after %v", err, asked)
		}
		g, err := f.finish(b, b.consent(t, f.begin(b, "s1").URL))
		if err != nil || g.State != vault.GrantDone {
			t.Fatal(err)
		}
		f.wantCall(b)
	}
}

func TestATokenThatIsRefusedIsRefreshedOnce(t *testing.T) {
	b, f := authorised(t)
	b.set(func() { b.accept = b.access(2) })
	if got, _ := f.calls(b); !strings.HasPrefix(got, "401") {
		t.Fatalf("%q", got)
	}
	f.wantCall(b)
	b.set(func() { b.accept = "nothing" })
	for range 2 {
		if got, _ := f.calls(b); !strings.HasPrefix(got, "401") {
			t.Fatalf("%q", got)
		}
	}
	until := f.now.Add(5 * time.Minute)
	for range 5 {
		if _, err := f.calls(b); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "authorise") || !strings.Contains(err.Error(), until.Format(time.RFC3339)) {
			t.Errorf("%v", err)
		}
	}
	if got := f.Resting(acme, "tickets"); !got.Equal(until) || !f.Resting(acme, "other").IsZero() || !f.Resting(globex, "tickets").IsZero() {
		t.Errorf("it rests until %v", got)
	}
	f.now = until
	if got := f.Resting(acme, "tickets"); !got.IsZero() {
		t.Errorf("it still rests, until %v", got)
	}
	f.now = until.Add(-time.Minute)
	if b.n != 3 {
		t.Errorf("%d tokens for a system that takes none", b.n)
	}
}

func TestARefreshTokenThatStaysMakesNoVersion(t *testing.T) {
	b, f := authorised(t)
	b.rotates = false
	f.now = f.now.Add(2 * time.Hour)
	f.wantCall(b)
	if s, err := f.Show(t.Context(), acme, "tickets"); err != nil || len(s.Versions) != 2 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestTokensGoWhereTheyWereAuthorisedForAlone(t *testing.T) {
	b, f := authorised(t)
	f.now = f.now.Add(2 * time.Hour)
	for name, spoil := range map[string]func(*vault.DoorSpec){
		"another issuer": func(d *vault.DoorSpec) { d.Auth.Issuer = "https://evil.example" },
		"another server": func(d *vault.DoorSpec) { d.Resource = "https://evil.example/mcp" },
	} {
		d := b.spec(t)
		spoil(&d)
		if err := f.opensSpec(d); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.n != 1 {
		t.Error("it was refreshed")
	}
}

func TestTheUsageScopeAndTheExpiryStayAsTheyWere(t *testing.T) {
	b, f := newBureau(t), start(t)
	w := f.write(acme, "tickets", "")
	w.Fields = map[string][]byte{"client_id": []byte("client-1")}
	w.Scope = &vault.Scope{Origins: []string{b.URL}, Missions: []string{"desk"}, Methods: []string{"POST"}, NotAfter: f.now.Add(72 * time.Hour)}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := f.finish(b, b.consent(t, f.begin(b, "s1").URL)); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(2 * time.Hour)
	d := b.spec(t)
	if err := f.opensSpec(d); !fault.Is(err, fault.Denied) {
		t.Errorf("a Run of no Mission: %v", err)
	}
	if d.Mission = "desk"; f.opensSpec(d) != nil {
		t.Error("the Mission's own Run may not")
	}
	s, err := f.Show(t.Context(), acme, "tickets")
	if err != nil || len(s.Versions) != 3 {
		t.Fatalf("%+v %v", s, err)
	}
	for _, v := range s.Versions {
		if fmt.Sprint(v.Scope) != fmt.Sprint(s.Versions[0].Scope) {
			t.Errorf("version %d: %+v", v.Version, v.Scope)
		}
	}
	f.now = f.now.Add(72 * time.Hour)
	if err := f.opensSpec(d); !fault.Is(err, fault.Denied) {
		t.Errorf("it has expired: %v", err)
	}
	// An issuer that the scope does not name gets nothing of it.
	f2 := start(t)
	w = f2.write(acme, "tickets", "")
	w.Fields, w.Scope = map[string][]byte{"client_id": []byte("client-1")}, &vault.Scope{Origins: []string{b.URL}}
	if _, err := f2.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	d = b.spec(t)
	d.Auth.Issuer = "https://evil.example"
	if _, err := f2.BeginGrant(t.Context(), vault.GrantSpec{Door: d, Redirect: redirect, Actor: admin(acme)}); !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
}

func TestReplacedTokensAreDestroyedInTheEnd(t *testing.T) {
	b, f := authorised(t)
	for range 30 {
		f.now = f.now.Add(2 * time.Hour)
		f.wantCall(b)
	}
	s, err := f.Show(t.Context(), acme, "tickets")
	if err != nil || s.Versions[5].State != vault.Destroyed || s.Versions[0].State != vault.Disabled {
		t.Fatalf("%+v %v", s, err)
	}
	f.restart()
	f.wantCall(b)
	f.wantScrubbed(b.access(b.n), b.refresh(b.n))
}

func TestATokenThatIsStillToBeStoredOutlivesOtherSecrets(t *testing.T) {
	b, f := authorised(t)
	f.now = f.now.Add(4 * time.Hour)
	f.store.fail = errors.New("the disk is full")
	if _, err := f.calls(b); err == nil {
		t.Fatal("a token was used before it was durable")
	}
	f.set(acme, "other", "cnry-55d90Rt2QsB8h-other")
	d := b.spec(t)
	d.Secret, d.Auth.Secret = "other", "other"
	if err := f.opensSpec(d); !fault.Is(err, fault.Denied) {
		t.Fatal(err)
	}
	f.wantCall(b)
	if b.n != 2 {
		t.Errorf("%d tokens", b.n)
	}
}
