package vault_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend/baotest"
)

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
	nobody, oauth := dbUse(acme, ""), dbUse(acme, "run_one")
	oauth.Auth = resource.Auth{Scheme: resource.SchemeOAuthClient, Issuer: "https://id.example", Secret: "db"}
	for what, d := range map[string]vault.DoorSpec{"nobody's": nobody, "an access token's": oauth} {
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
	b.refuse(door)
}

func (b *bank) refuse(door http.RoundTripper) {
	b.t.Helper()
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
	b.pass(4 * time.Second)
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

// A use that begins after its Run was found to have none, and before its credential is
// taken from it, keeps it: it is not revoked under the call.
func TestAUseThatBeginsWhileItsRunIsFoundIdleKeepsItsCredential(t *testing.T) {
	b := openBank(t, nil)
	first, password := b.as(acme, "run_one")
	for range 11 {
		b.pass(5 * time.Minute)
		b.tend()
	}
	b.pass(6 * time.Minute)
	then, began := b.fixture.now, false
	b.fixture.clock = func() time.Time {
		if !began && calledFrom("parted") {
			began = true
			if err := b.refused("run_one"); err != nil {
				t.Error(err)
			}
		}
		return then
	}
	b.tend()
	b.fixture.clock = nil
	if !began {
		t.Fatal("no use began in between")
	}
	if second, _ := b.as(acme, "run_one"); second != first || !b.Knows(first, password) {
		t.Errorf("a use began with %s, and the next has %s", first, second)
	}
	b.want(1, 1, 1)
}

// calledFrom reports whether a method of that name is among who has called.
func calledFrom(method string) bool {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "."+method) {
			return true
		}
		if !more {
			return false
		}
	}
}
