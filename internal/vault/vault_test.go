package vault_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// nowhere is a transport that reaches nothing.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nowhere") }

// catch is a transport that keeps what arrives.
type catch struct {
	mu  sync.Mutex
	got []string
}

func (c *catch) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, r.Header.Get("Authorization"))
	return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}, nil
}

// call sends one request through a door and gives the credential that arrived.
func (f *fixture) call(d vault.DoorSpec) string {
	f.t.Helper()
	c := &catch{}
	d.Base = c
	door, err := f.Open(f.t.Context(), d)
	if err != nil {
		f.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", "https://erp.example/vendors", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := door.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return c.got[0]
}

func TestASecretIsUsableAfterARestart(t *testing.T) {
	f := start(t)
	f.set(acme, "erp-read", canary1)
	f.restart()
	if got := f.call(spec(acme, "erp-read")); got != "Bearer "+canary1 {
		t.Error("another credential arrived")
	}
}

func TestRotationReplacesTheActiveVersionAndKeepsTheOldForItsGrace(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.rotate(acme, "erp", canary2)
	decided := spec(acme, "erp")
	decided.Version = 1
	for _, c := range []struct {
		spec vault.DoorSpec
		want string
	}{{spec(acme, "erp"), canary2}, {spec(acme, "erp@v1"), canary1}, {spec(acme, "erp@v2"), canary2}, {decided, canary1}} {
		if f.call(c.spec) != "Bearer "+c.want {
			t.Errorf("%s, version %d: another credential arrived", c.spec.Secret, c.spec.Version)
		}
	}
	f.rotate(acme, "erp", canary3)
	if err := f.opens(acme, "erp@v1"); !fault.Is(err, fault.Denied) {
		t.Errorf("the version before the previous one: %v", err)
	}
	for _, c := range []string{canary1, canary2, canary3} {
		if len(f.Scrub(acme).Contains([]byte("echo "+c))) == 0 {
			t.Errorf("an answer is not scrubbed of %s any more", c[len(c)-5:])
		}
	}
}

func TestASecondValueIsPendingUntilItIsActivated(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.set(acme, "erp", canary2)
	if f.call(spec(acme, "erp")) != "Bearer "+canary1 || f.call(spec(acme, "erp@v2")) != "Bearer "+canary2 {
		t.Fatal("a pending version is used, or can't be tried")
	}
	if _, err := f.Activate(t.Context(), acme, "erp", 2, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if f.call(spec(acme, "erp")) != "Bearer "+canary2 {
		t.Fatal("the activated version is not used")
	}
	if _, err := f.Activate(t.Context(), acme, "erp", 1, admin(acme)); err != nil || f.call(spec(acme, "erp")) != "Bearer "+canary1 {
		t.Fatalf("going back: %v", err)
	}
	if _, err := f.Disable(t.Context(), acme, "erp", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := f.opens(acme, "erp"); !fault.Is(err, fault.Denied) {
		t.Errorf("without an active version: %v", err)
	}
}

func TestNumbersAreNotUsedAgainAfterARemoval(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	if err := f.Remove(t.Context(), acme, "erp", admin(acme)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Rotate(t.Context(), f.write(acme, "erp", canary2)); !fault.Is(err, fault.NotFound) {
		t.Errorf("rotating what was removed: %v", err)
	}
	f.set(acme, "erp", canary2)
	f.restart()
	m, err := f.Head(t.Context(), acme, "erp")
	if err != nil || m.Version != 2 || m.Pinned || m.State != vault.Active {
		t.Errorf("%+v, %v", m, err)
	}
	if err := f.opens(acme, "erp@v1"); err == nil {
		t.Error("a pin on a removed version opens the new one")
	}
	if len(f.Scrub(acme).Contains([]byte(canary1))) != 0 {
		t.Error("a destroyed value is still known")
	}
}

func TestAUseOutsideTheScopeIsRefused(t *testing.T) {
	f := start(t)
	w := f.write(acme, "erp", canary1)
	w.Scope = &vault.Scope{Integrations: []string{"erp"}, Origins: []string{"https://ERP.example/"},
		Schemes: []resource.Scheme{resource.SchemeBearer}, NotAfter: f.now.Add(time.Hour)}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	f.restart()
	good := spec(acme, "erp")
	good.Integration = "erp"
	if f.call(good) != "Bearer "+canary1 {
		t.Fatal("the use inside the scope")
	}
	for name, change := range map[string]func(*vault.DoorSpec){
		"another origin":      func(d *vault.DoorSpec) { d.Origin.Host = "evil.example:443" },
		"plain HTTP":          func(d *vault.DoorSpec) { d.Origin.Scheme = "http" },
		"another integration": func(d *vault.DoorSpec) { d.Integration = "crm" },
		"no integration":      func(d *vault.DoorSpec) { d.Integration = "" },
		"in the query":        func(d *vault.DoorSpec) { d.Auth = resource.Auth{Scheme: resource.SchemeQuery, Name: "key"} },
		"too late":            func(*vault.DoorSpec) { f.now = f.now.Add(2 * time.Hour) },
	} {
		bad, now := good, f.now
		change(&bad)
		if _, err := f.Open(t.Context(), bad); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
		f.now = now
	}
}

func TestNothingCrossesFromOneTenantToAnother(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	if err := f.opens(globex, "erp"); !fault.Is(err, fault.NotFound) {
		t.Errorf("opening another tenant's secret: %v", err)
	}
	if list, err := f.List(t.Context(), globex); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	w := f.write(globex, "erp", canary2)
	w.Actor = admin(acme)
	if _, err := f.Set(t.Context(), w); !fault.Is(err, fault.Denied) {
		t.Errorf("a caller of another tenant: %v", err)
	}
	if len(f.Scrub(globex).Contains([]byte(canary1))) != 0 {
		t.Error("a tenant's set knows another tenant's secret")
	}
	if len(f.Holder().Load().Contains([]byte(canary1))) == 0 {
		t.Error("the process's set does not know it")
	}
}

func TestASealedVaultRefusesEverything(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	key, err := f.AuditKey(acme, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Seal()
	_, head := f.Head(t.Context(), acme, "erp")
	_, set := f.Set(t.Context(), f.write(acme, "erp", canary2))
	_, list := f.List(t.Context(), acme)
	_, mac := f.MAC(vault.TokenPepper, acme, "x")
	_, sign := key.Sign(nil, []byte("x"), nil)
	_, again := f.AuditKey(acme, 0)
	for i, err := range []error{f.opens(acme, "erp"), head, set, list, mac, sign, again} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("call %d of a sealed vault: %v", i, err)
		}
	}
	if !f.Sealed() || len(f.Scrub(acme).Contains([]byte(canary1))) == 0 {
		t.Error("a sealed vault stopped scrubbing")
	}
}

func TestAChangeThatIsNotStoredDidNotHappen(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.store.fail = fault.New(fault.Unavailable, "disk full")
	if _, err := f.Rotate(t.Context(), f.write(acme, "erp", canary2)); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a full disk: %v", err)
	}
	if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
		t.Error("a version that was not stored is used")
	}
	f.rotate(acme, "erp", canary3)
	f.restart()
	if f.call(spec(acme, "erp")) != "Bearer "+canary3 {
		t.Error("after a failed change and a good one, the good one is not used")
	}
}

func TestAnUnsealingThatIsNotOnTheRecordDidNotHappen(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	v := f.sealed()
	f.store.fail = fault.New(fault.Unavailable, "disk full")
	if err := v.Unseal(t.Context(), f.store, f.seal); err == nil || !v.Sealed() {
		t.Fatalf("unsealed without a record: %v", err)
	}
	if _, err := v.AuditKey(acme, 0); err == nil {
		t.Error("the root key is still held")
	}
}

func TestIntakeRefusesWhatCannotBeProtected(t *testing.T) {
	f := start(t)
	for name, change := range map[string]func(*vault.Write){
		"short":                func(w *vault.Write) { w.Fields = map[string][]byte{"token": []byte("abc")} },
		"a word":               func(w *vault.Write) { w.Fields = map[string][]byte{"token": []byte("Password1")} },
		"no field":             func(w *vault.Write) { w.Fields = nil },
		"a field's name":       func(w *vault.Write) { w.Fields = map[string][]byte{"To ken": []byte(canary1)} },
		"the name":             func(w *vault.Write) { w.Name = "ERP read" },
		"in its description":   func(w *vault.Write) { w.Description = "the key " + canary1 },
		"in a label":           func(w *vault.Write) { w.Labels = map[string]string{"key": canary1} },
		"no caller":            func(w *vault.Write) { w.Actor.ID = "" },
		"an unknown scheme":    func(w *vault.Write) { w.Scope = &vault.Scope{Schemes: []resource.Scheme{"cookie"}} },
		"an origin with login": func(w *vault.Write) { w.Scope = &vault.Scope{Origins: []string{"https://a:b@erp.example"}} },
	} {
		w := f.write(acme, "erp", canary1)
		change(&w)
		_, err := f.Set(t.Context(), w)
		if k := fault.KindOf(err); k != fault.Invalid && k != fault.Denied {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error()+fault.HintOf(err), canary1) {
			t.Errorf("%s: the error has the value", name)
		}
	}
	w := f.write(acme, "erp", canary1)
	w.Fields = map[string][]byte{"username": []byte("bob"), "password": []byte(canary1)}
	pass := w.Fields["password"]
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if string(pass) != strings.Repeat("\x00", len(canary1)) {
		t.Error("the caller's copy was not wiped")
	}
	if len(f.Scrub(acme).Contains([]byte("dear bob, hello"))) != 0 {
		t.Error("a user name is scrubbed from texts")
	}
}

func TestOneOfTwoSealsIsEnough(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	dir := t.TempDir()
	second, third, gone := kek.NewKeyFile(filepath.Join(dir, "2")), kek.NewKeyFile(filepath.Join(dir, "3")), kek.NewKeyFile(filepath.Join(dir, "4"))
	if _, err := f.AddSeal(t.Context(), second, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t).AddSeal(t.Context(), third, admin(acme)); err != nil { // of another vault
		t.Fatal(err)
	}
	v := f.sealed()
	if err := v.Unseal(t.Context(), f.store, third); !fault.Is(err, fault.Denied) || !v.Sealed() {
		t.Errorf("the wrong key file: %v", err)
	}
	if err := v.Unseal(t.Context(), f.store, gone); !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Errorf("without the key file: %v", err)
	}
	phrase, err := kek.NewPassphrase([]byte("five random words or more"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Unseal(t.Context(), f.store, phrase); !fault.Is(err, fault.Denied) {
		t.Errorf("a passphrase where there is none: %v", err)
	}
	if err := v.Unseal(t.Context(), f.store, gone, phrase, third, second); err != nil {
		t.Fatal(err)
	}
	f.Vault = v
	if f.call(spec(acme, "erp")) != "Bearer "+canary1 {
		t.Error("another credential arrived")
	}
	if err := v.Unseal(t.Context(), f.store, f.seal); !fault.Is(err, fault.Conflict) {
		t.Errorf("unsealing twice: %v", err)
	}
}

func TestTheKeysOfPurposesTenantsAndVaultsDiffer(t *testing.T) {
	f, other := start(t), start(t)
	seen := map[string]string{}
	add := func(what string, b []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(b)] != "" {
			t.Errorf("%s is the same as %s", what, seen[string(b)])
		}
		seen[string(b)] = what
	}
	for _, p := range []vault.Purpose{vault.TokenPepper, vault.IdentityPepper, vault.AuditValue, vault.RowMAC} {
		b, err := f.MAC(p, acme, "x", "y")
		add(string(p), b, err)
		b, err = f.MAC(p, globex, "x", "y")
		add(string(p)+" of another tenant", b, err)
		b, err = f.MAC(p, acme, "xy", "")
		add(string(p)+" with moved parts", b, err)
		b, err = other.MAC(p, acme, "x", "y")
		add(string(p)+" of another vault", b, err)
	}
	if _, err := f.MAC("vault row-mac", acme); err == nil {
		t.Error("a purpose that is not on the list")
	}
}

func TestTheAuditKeyIsTheSameAfterARestart(t *testing.T) {
	f := start(t)
	a, err := f.AuditKey(acme, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.restart()
	b, err := f.AuditKey(acme, 0)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := b.Sign(nil, []byte("checkpoint"), nil)
	if err != nil || !ed25519.Verify(a.Public().(ed25519.PublicKey), []byte("checkpoint"), sig) {
		t.Errorf("the key of the second start is another: %v", err)
	}
	c, err := f.AuditKey(globex, 0)
	if err != nil || ed25519.Verify(c.Public().(ed25519.PublicKey), []byte("checkpoint"), sig) {
		t.Errorf("two tenants have one key: %v", err)
	}
}

func TestEveryChangeIsOnTheRecordWithoutItsValue(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.rotate(acme, "erp", canary2)
	if _, err := f.Disable(t.Context(), acme, "erp", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(t.Context(), acme, "erp", admin(acme)); err != nil {
		t.Fatal(err)
	}
	var types []audit.Type
	for _, ev := range f.store.events {
		types = append(types, ev.Type)
	}
	want := []audit.Type{audit.SealAdded, audit.VaultUnsealed, audit.SecretSet, audit.SecretRotated, audit.SecretDisabled, audit.SecretRemoved}
	if fmt.Sprint(types) != fmt.Sprint(want) {
		t.Errorf("recorded %v, want %v", types, want)
	}
	all, err := json.Marshal([]any{f.store.events, f.store.snap})
	if err != nil {
		t.Fatal(err)
	}
	out := string(all) + f.log.String() + fmt.Sprintf("%+v %#v", f.Vault, f.store)
	if !strings.Contains(out, "erp") || len(knows(t, canary1, canary2).Contains([]byte(out))) != 0 {
		t.Error("a value is on the record, in the store or in the log")
	}
}

func TestCallsGoOnWhileASecretIsRotated(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := f.opens(acme, "erp"); err != nil {
					t.Errorf("a call failed because of a rotation: %v", err)
					return
				}
			}
		})
	}
	for i := range 20 {
		f.rotate(acme, "erp", fmt.Sprintf("%s-%d", canary2, i))
	}
	stop()
	wg.Wait()
}

func BenchmarkOpen(b *testing.B) {
	f := start(b)
	f.set(acme, "erp", canary1)
	for b.Loop() {
		if err := f.opens(acme, "erp"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRotate rotates one of 200 Secrets: everything is decrypted once, and
// two sets are built.
func BenchmarkRotate(b *testing.B) {
	f := start(b)
	for i := range 200 {
		f.set(acme, fmt.Sprintf("s%d", i), fmt.Sprintf("%s-%d", canary1, i))
	}
	n := 0
	for b.Loop() {
		n++
		f.rotate(acme, "s7", fmt.Sprintf("%s-%d", canary2, n))
	}
}

// Whoever builds Connections could send a Secret that is bound to no origin to a
// system of their own.
func TestAPersonSaysWhereASecretMayGo(t *testing.T) {
	f := start(t)
	for n, c := range []struct {
		store func(context.Context, vault.Write) (vault.Secret, error)
		scope *vault.Scope
		ok    bool
	}{
		{f.Set, nil, false},
		{f.Set, &vault.Scope{}, false},
		{f.Set, &vault.Scope{Origins: []string{"https://crm.example.com"}}, true},
		{f.Rotate, nil, true}, // as before
		{f.Rotate, &vault.Scope{}, false},
	} {
		w := f.write(acme, "crm", fmt.Sprintf("token-%d-k2v8x1m4", n))
		w.AnyOrigin, w.Scope = false, c.scope
		s, err := c.store(t.Context(), w)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%d: %v", n, err)
		}
		if err == nil {
			if o := s.Versions[len(s.Versions)-1].Scope.Origins; len(o) != 1 || o[0] != "https://crm.example.com:443" {
				t.Errorf("%d: it may go to %v", n, o)
			}
		}
	}
}
