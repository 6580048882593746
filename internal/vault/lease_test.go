package vault_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/baotest"
	"sallyport.dev/internal/vault/backend/vaultlease"
)

func (m *memory) Leases(_ context.Context, t ident.Tenant) (out []vault.Lease, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		if l.Tenant == t {
			out = append(out, l)
		}
	}
	return out, nil
}

func (m *memory) at(l vault.Lease) int {
	return slices.IndexFunc(m.leases, func(o vault.Lease) bool { return o.Tenant == l.Tenant && o.ID == l.ID })
}

func (m *memory) SaveLease(_ context.Context, l vault.Lease, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.record(ev); err != nil {
		return err
	}
	if i := m.at(l); i >= 0 {
		m.leases[i] = l
	} else {
		m.leases = append(m.leases, l)
	}
	return m.late()
}

func (m *memory) ProlongLease(_ context.Context, l vault.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases[m.at(l)].Expires = l.Expires
	return nil
}

func (m *memory) EndLease(_ context.Context, l vault.Lease, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.at(l)
	if i < 0 {
		return fault.New(fault.NotFound, "no lease")
	}
	m.leases = slices.Delete(m.leases, i, i+1)
	return m.record(ev)
}

// bank is a vault with a Secret whose value a database makes for each Run.
type bank struct {
	*fixture
	*baotest.Vault
	over map[string]string // why, by the Run
}

// openBank points the Secret db of acme to the fake server's role.
func openBank(t *testing.T, change func(*vaultlease.Config)) *bank {
	t.Helper()
	b := &bank{Vault: baotest.Start(t), over: map[string]string{}}
	var c vaultlease.Config
	c.Address, c.CAFile = b.URL, b.CAFile
	c.AppRole = &vaultlease.AppRole{RoleID: baotest.RoleID, SecretIDFile: filepath.Join(t.TempDir(), "secret-id")}
	if err := os.WriteFile(c.AppRole.SecretIDFile, []byte(b.SecretID), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	clock := func() time.Time { return b.now }
	made, err := vaultlease.New(c, clock)
	if err != nil {
		t.Fatal(err)
	}
	r, err := backend.NewRegistry(backend.Entry{Name: "pg", Tenants: []ident.Tenant{acme, globex}, Backend: made})
	if err != nil {
		t.Fatal(err)
	}
	b.fixture = startWith(t, r)
	b.Now = clock
	b.mustPoint("db", creds())
	if n := b.Users(); len(n) != 0 {
		t.Fatalf("after the trial the database has %v", n)
	}
	return b
}

func creds() *vault.Pointer {
	return &vault.Pointer{Backend: "pg", Path: "creds/app", Fields: map[string]string{"username": "username", "password": "password"}}
}

func dbUse(t ident.Tenant, run string) vault.DoorSpec {
	d := spec(t, "db")
	d.Auth = resource.Auth{Scheme: resource.SchemeBasic, Secret: "db"}
	d.Run = run
	return d
}

// as gives with which user and password a Run's call arrives.
func (b *bank) as(t ident.Tenant, run string) (user, password string) {
	b.t.Helper()
	got, ok := strings.CutPrefix(b.call(dbUse(t, run)), "Basic ")
	pair, err := base64.StdEncoding.DecodeString(got)
	if !ok || err != nil {
		b.t.Fatal("the call has no login")
	}
	user, password, _ = strings.Cut(string(pair), ":")
	if !b.Knows(user, password) {
		b.t.Errorf("the database doesn't know %s", user)
	}
	return user, password
}

func (b *bank) refused(run string) error {
	_, err := b.Open(b.t.Context(), dbUse(acme, run))
	return err
}

// tend is one round.
func (b *bank) tend() {
	b.t.Helper()
	err := b.TendLeases(b.t.Context(), func(_ context.Context, l vault.Lease) (string, error) { return b.over[l.Run], nil })
	if err != nil {
		b.t.Error(err)
	}
}

func (b *bank) pass(d time.Duration) { b.fixture.now = b.fixture.now.Add(d) }

func (b *bank) entries(typ audit.Type) (out []audit.Event) {
	for _, ev := range b.store.events {
		if ev.Type == typ {
			out = append(out, ev)
		}
	}
	return out
}

func (b *bank) want(users, children, rows int) {
	b.t.Helper()
	if u, c, r := b.Users(), b.Children(), b.store.leases; len(u) != users || c != children || len(r) != rows {
		b.t.Errorf("the database has %v, there are %d tokens of Runs and on record %+v; want %d, %d, %d", u, c, r, users, children, rows)
	}
}

func TestEachRunGetsItsOwnCredentialAndItEndsWithTheRun(t *testing.T) {
	b := openBank(t, nil)
	if err := b.point(globex, "db", creds()); err != nil {
		t.Fatal(err)
	}
	one, onesPassword := b.as(acme, "run_one")
	again, _ := b.as(acme, "run_one")
	two, twosPassword := b.as(acme, "run_two")
	other, _ := b.as(globex, "run_one")
	if one != again || one == two || one == other || two == other {
		t.Errorf("run_one has %s, then %s; run_two %s; another tenant's run_one %s", one, again, two, other)
	}
	b.want(3, 3, 3)
	if !b.scrubs(acme, onesPassword) || !b.scrubs(acme, twosPassword) || b.scrubs(globex, onesPassword) {
		t.Error("what is made for a Run is not known to its tenant, or to another")
	}
	b.tend()
	b.want(3, 3, 3)
	b.over["run_two"] = "its Run has ended"
	b.tend()
	b.want(2, 2, 2)
	if b.Knows(two, twosPassword) {
		t.Error("the ended Run's credential works")
	}
	if !b.scrubs(acme, twosPassword) {
		t.Error("what was revoked is not scrubbed for any more")
	}
	asked, made, gone := b.entries(audit.LeaseAsked), b.entries(audit.LeaseMade), b.entries(audit.LeaseRevoked)
	if len(asked) != 3 || len(made) != 3 || len(gone) != 1 || gone[0].Run != "run_two" || gone[0].Fields["state"] != "revoked" || gone[0].Fields["why"] != "its Run has ended" {
		t.Errorf("on record: %v, %v, %v", asked, made, gone)
	}
	if s := fmt.Sprint(b.store.events); strings.Contains(s, "database/creds/app/") || strings.Contains(s, onesPassword) {
		t.Error("the record has the backend's id of a lease, or a value")
	}
}

func TestAThousandUsesOfARunAskOnce(t *testing.T) {
	b := openBank(t, nil)
	was := b.Count("database/creds/app")
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if err := b.refused("run_one"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.Count("database/creds/app") - was; n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
	b.want(1, 1, 1)
}

func TestOnlyARunUsesWhatIsMadeForRuns(t *testing.T) {
	b := openBank(t, nil)
	nobody, child, oauth := dbUse(acme, ""), dbUse(acme, "run_one"), dbUse(acme, "run_one")
	child.Stdio, child.Origin, child.Connection = &resource.Stdio{}, resource.Origin{Scheme: "stdio", Host: "x"}, "x"
	oauth.Auth = resource.Auth{Scheme: resource.SchemeOAuthClient, Issuer: "https://id.example", Secret: "db"}
	for what, d := range map[string]vault.DoorSpec{"nobody's": nobody, "a child's": child, "an access token's": oauth} {
		if _, err := b.Open(t.Context(), d); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Internal) {
			t.Errorf("%s use: %v", what, err)
		}
	}
	b.want(0, 0, 0)
}

func TestACredentialIsRenewedWhileItsRunUsesItAndReplacedAtItsMaximum(t *testing.T) {
	b := openBank(t, nil)
	b.Roles["app"] = baotest.Role{TTL: time.Hour, MaxTTL: 3 * time.Hour}
	first, firstPassword := b.as(acme, "run_one")
	for range 16 { // two hours and forty minutes
		b.pass(10 * time.Minute)
		b.tend()
		if user, _ := b.as(acme, "run_one"); user != first {
			t.Fatalf("after %s it is another", b.fixture.now)
		}
	}
	if n := b.Count("sys/leases/renew"); n < 3 || n > 10 {
		t.Errorf("renewed %d times", n)
	}
	b.pass(19*time.Minute + 45*time.Second) // a call that begins now would not end in time
	b.tend()
	second, _ := b.as(acme, "run_one")
	if second == first {
		t.Fatal("a call began with one that was about to end")
	}
	b.tend()
	if !b.Knows(first, firstPassword) {
		t.Error("the one before was taken from calls under way")
	}
	b.pass(time.Minute)
	b.tend()
	b.want(1, 1, 1)
	if b.scrubs(acme, firstPassword) == false {
		t.Error("the one before is not scrubbed for")
	}
	if e := b.entries(audit.LeaseRevoked); len(e) != 1 || e[0].Run != "run_one" {
		t.Errorf("on record: %v", e)
	}
}

func TestARunThatWaitsHoldsNothing(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	for range 11 {
		b.pass(5 * time.Minute)
		b.tend()
	}
	b.want(1, 1, 1)
	b.pass(6 * time.Minute)
	b.tend()
	b.want(0, 0, 0)
	b.as(acme, "run_one")
	b.want(1, 1, 1)
}

func TestAfterARestartWhatIsOnRecordIsRevoked(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.as(acme, "run_two")
	b.restart()
	b.want(2, 2, 2)
	b.tend()
	b.want(0, 0, 0)
	b.as(acme, "run_one")
	b.want(1, 1, 1)
	for _, ev := range b.entries(audit.LeaseRevoked) {
		if ev.Fields["why"] != "its value is not in memory any more" {
			t.Errorf("on record: %v", ev)
		}
	}
}

// The server is killed after the backend has made a credential, and before we know of it.
func TestWhatWasMadeAndNeverHeardOfIsRevoked(t *testing.T) {
	b := openBank(t, nil)
	b.Lost = "database/creds/app"
	if err := b.refused("run_one"); err == nil {
		t.Fatal("it opened")
	}
	if n := b.Users(); len(n) != 1 || len(b.store.leases) != 1 {
		t.Fatalf("the database has %v, and on record is %v", n, b.store.leases)
	}
	b.Lost = ""
	b.restart()
	b.pass(time.Minute)
	b.Answer(0)
	b.tend()
	b.want(0, 0, 0)
	if e := b.entries(audit.LeaseAsked); len(e) != 1 {
		t.Errorf("on record: %v", e)
	}
}

func TestWhatCantBeRevokedIsTriedAgainUntilItHasEnded(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.over["run_one"] = "its Run has ended"
	b.DatabaseDown(true)
	for range 5 {
		b.tend()
		b.pass(time.Minute)
	}
	left, err := b.LeasesLeft(t.Context(), acme)
	if err != nil || len(left) != 1 || left[0].Why != "its Run has ended" || len(b.entries(audit.LeaseLeft)) != 1 {
		t.Fatalf("%+v, %v", left, err)
	}
	if n := b.Count("sys/leases/revoke"); n < 3 || n > 8 {
		t.Errorf("tried %d times", n)
	}
	b.restart()
	b.DatabaseDown(false)
	b.tend()
	b.want(0, 0, 0)

	b.as(acme, "run_two")
	b.over["run_two"] = "its Run has ended"
	b.Answer(503)
	b.tend()
	b.pass(2 * time.Hour)
	b.tend()
	if len(b.store.leases) != 0 || b.entries(audit.LeaseRevoked)[len(b.entries(audit.LeaseRevoked))-1].Fields["state"] != "expired" {
		t.Errorf("it has ended by itself: %+v", b.store.leases)
	}
}

func TestAnOutageIsBridgedUntilTheLeaseEndsAndFailsClosed(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.Answer(503)
	b.pass(25 * time.Minute) // the Run's token lives thirty
	b.tend()
	b.as(acme, "run_one")
	b.pass(6 * time.Minute)
	b.tend()
	for range 50 {
		if err := b.refused("run_one"); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("after its end: %v", err)
		}
	}
	if err := b.refused("run_new"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a new Run: %v", err)
	}
	b.Answer(0)
	b.pass(2 * time.Second)
	b.as(acme, "run_one")
}

// answers401 is a system that refuses the login.
type answers401 struct{}

func (answers401) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 401, Body: http.NoBody, Header: http.Header{}}, nil
}

func (b *bank) refusedLogin(run string) {
	b.t.Helper()
	d := dbUse(acme, run)
	d.Base = answers401{}
	door, err := b.Open(b.t.Context(), d)
	if err != nil {
		b.t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(b.t.Context(), "GET", "https://erp.example/x", nil)
	resp, err := door.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestACredentialThatTheBackendHasEndedIsReplacedAtTheNextUse(t *testing.T) {
	b := openBank(t, nil)
	first, _ := b.as(acme, "run_one")
	b.refusedLogin("run_one") // for another reason: the lease is good
	if user, _ := b.as(acme, "run_one"); user != first {
		t.Error("one that is good was replaced")
	}
	b.RevokeAll()
	b.refusedLogin("run_one")
	second, _ := b.as(acme, "run_one")
	if second == first {
		t.Error("one that has ended is used")
	}
	b.RevokeAll()
	b.pass(21 * time.Minute) // it is to be renewed
	b.tend()
	if third, _ := b.as(acme, "run_one"); third == second {
		t.Error("one that could not be renewed is used")
	}
	b.pass(3 * time.Minute)
	b.tend()
	b.want(1, 1, 1)
}

func TestTheEndOfTheSignInsTokenIsKnown(t *testing.T) {
	b := openBank(t, nil)
	b.TokenMax = 40 * time.Minute // what is made with its children ends then too
	b.restart()
	b.pass(2 * time.Hour)
	first, _ := b.as(acme, "run_one")
	for range 9 {
		b.pass(5 * time.Minute)
		b.tend()
		b.as(acme, "run_one") // fails where the database doesn't know it
	}
	if user, _ := b.as(acme, "run_one"); user == first {
		t.Error("it outlived the token")
	}
}

func TestAnAnswerThatIsNoOwnLeaseIsRefusedAndNothingIsLeft(t *testing.T) {
	same := map[string]any{"username": "v-same", "password": "A1a-the-same-for-everybody"}
	for name, spoil := range map[string]func(answer map[string]any){
		"no lease":               func(a map[string]any) { a["lease_id"] = "" },
		"a lease of years":       nil, // taken, and bounded by the Run's token
		"no duration":            func(a map[string]any) { a["lease_duration"] = 0 },
		"a negative duration":    func(a map[string]any) { a["lease_duration"] = -5 },
		"a duration of words":    func(a map[string]any) { a["lease_duration"] = "3600" },
		"a fraction":             func(a map[string]any) { a["lease_duration"] = 0.5 },
		"another path's lease":   func(a map[string]any) { a["lease_id"] = "database/creds/admin/x" },
		"another engine's lease": func(a map[string]any) { a["lease_id"] = "aws/creds/app/x" },
		"a lease that climbs":    func(a map[string]any) { a["lease_id"] = "database/creds/app/../../../sys/seal" },
		"a lease with a quote":   func(a map[string]any) { a["lease_id"] = `database/creds/app/x","sync":false,"y":"` },
		"a lease with a line":    func(a map[string]any) { a["lease_id"] = "database/creds/app/x\ny" },
		"an endless lease id":    func(a map[string]any) { a["lease_id"] = "database/creds/app/" + strings.Repeat("x", 4000) },
		"a sign-in's token":      func(a map[string]any) { a["auth"] = map[string]any{"client_token": "hvs.x"} },
		"no fields":              func(a map[string]any) { a["data"] = nil },
		"another field":          func(a map[string]any) { a["data"] = map[string]any{"key": "x"} },
		"a word":                 func(a map[string]any) { a["data"] = map[string]any{"username": "x", "password": "password"} },
	} {
		b := openBank(t, nil)
		b.After = func(path string, answer map[string]any) {
			switch {
			case path != "database/creds/app":
			case spoil == nil:
				answer["lease_duration"] = int64(1) << 60
			default:
				spoil(answer)
			}
		}
		err := b.refused("run_one")
		if spoil == nil {
			if err != nil || b.store.leases[0].Expires.Sub(b.fixture.now) > time.Hour {
				t.Errorf("%s: %v, until %v", name, err, b.store.leases[0].Expires)
			}
			continue
		}
		if err == nil || strings.Contains(err.Error(), "sys/seal") {
			t.Errorf("%s: %v", name, err)
		}
		if b.tend(); len(b.Users()) != 0 || b.Children() != 0 || len(b.store.leases) != 0 {
			t.Errorf("%s: the database has %v, on record is %v", name, b.Users(), b.store.leases)
		}
	}
	b := openBank(t, nil)
	b.After = func(path string, answer map[string]any) {
		if path == "database/creds/app" {
			answer["data"] = same
		}
	}
	if err := b.refused("run_one"); err != nil {
		t.Fatal(err)
	}
	if err := b.refused("run_two"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("two Runs have one credential: %v", err)
	}
	b.tend()
	b.want(1, 1, 1)
}

func TestARenewalOfAnotherLeaseIsNone(t *testing.T) {
	b := openBank(t, nil)
	first, _ := b.as(acme, "run_one")
	b.After = func(path string, answer map[string]any) {
		if path == "sys/leases/renew" {
			answer["lease_id"], answer["lease_duration"] = "database/creds/app/other", 1<<30
		}
	}
	b.pass(25 * time.Minute)
	b.tend()
	if user, _ := b.as(acme, "run_one"); user != first {
		t.Error("it has some time left")
	}
	if e := b.store.leases[0].Expires; e.After(b.fixture.now.Add(10 * time.Minute)) {
		t.Errorf("it is held for good until %v", e)
	}
}

func TestASecretThatIsDisabledTakesItsLeasesAlong(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	if _, err := b.Disable(t.Context(), acme, "db", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	if err := b.refused("run_one"); !fault.Is(err, fault.Denied) {
		t.Errorf("it opened: %v", err)
	}
	b.tend()
	b.want(0, 0, 0)
}

func TestASealedVaultForgetsWhatRunsHad(t *testing.T) {
	b := openBank(t, nil)
	_, password := b.as(acme, "run_one")
	b.Seal()
	b.tend()
	if err := b.Unseal(t.Context(), b.store, b.seal); err != nil {
		t.Fatal(err)
	}
	b.tend()
	b.want(0, 0, 0)
	if !b.scrubs(acme, password) {
		t.Error("its value is not scrubbed for any more")
	}
}

func TestAStopOfTheServerRevokesWhatIsInMemory(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	if err := b.EndLeases(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(0, 0, 0)
}

func TestWhatIsNotOnRecordIsNotAskedForFailsClosed(t *testing.T) {
	b := openBank(t, nil)
	was := b.Count("database/creds/app")
	b.store.fail = errors.New("the disk is full")
	if err := b.refused("run_one"); err == nil {
		t.Error("it opened")
	}
	if n := b.Count("database/creds/app"); n != was {
		t.Error("it was asked for")
	}
	b.pass(2 * time.Second)
	b.Before = func(path string) {
		if path == "database/creds/app" {
			b.store.mu.Lock()
			b.store.fail = errors.New("the disk is full")
			b.store.mu.Unlock()
		}
	}
	if err := b.refused("run_one"); err == nil {
		t.Error("it opened with one that is not on record")
	}
	b.Before = nil
	b.tend()
	b.want(0, 0, 0)
}

func TestAPolicyWithoutTokensForRunsIsRefusedUnlessTheOperatorSaysSo(t *testing.T) {
	b := openBank(t, nil)
	b.Deny("auth/token/create")
	if err := b.refused("run_one"); !fault.Is(err, fault.Denied) {
		t.Errorf("without a token of its own: %v", err)
	}
	no := false
	b = openBank(t, func(c *vaultlease.Config) { c.RunTokens = &no })
	b.Deny("auth/token/create")
	b.as(acme, "run_one")
	b.want(1, 0, 1)
	b.restart()
	b.tend()
	b.want(0, 0, 0)
}

func TestADynamicValueIsNeitherMovedNorBroughtHere(t *testing.T) {
	b := openBank(t, nil)
	b.set(acme, "plain", canary1)
	for name, m := range map[string]vault.Move{
		"here":  {Tenant: acme, Name: "db", Actor: admin(acme)},
		"there": {Tenant: acme, Name: "plain", To: creds(), Actor: admin(acme)},
	} {
		if _, err := b.Move(t.Context(), m); !fault.Is(err, fault.Invalid) {
			t.Errorf("moved %s: %v", name, err)
		}
	}
	b.want(0, 0, 0)
}
