package vault_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
)

func TestAPointersValueIsUsedAndNamedWithItsVersion(t *testing.T) {
	f, s := withShelf(t)
	s.version = "7"
	f.mustPoint("crm", to("corp", "team/crm", 0))
	d := spec(acme, "crm")
	d.From = &vault.External{}
	if got := f.call(d); got != "Bearer "+canary1 {
		t.Fatal("another credential arrived")
	}
	if *d.From != (vault.External{Backend: "corp", Version: "7"}) {
		t.Errorf("it is from %+v", *d.From)
	}
	s.version = ""
	if f.call(d); !strings.HasPrefix(d.From.Version, "mac-") || strings.Contains(d.From.Version, canary1) {
		t.Errorf("a value without a version is called %q", d.From.Version)
	}
	f.restart()
	if got := f.call(spec(acme, "crm")); got != "Bearer "+canary1 {
		t.Error("after a restart another credential arrived")
	}
	if f.Scrub(globex).Contains([]byte(canary1)) != nil {
		t.Error("another tenant's set knows the value")
	}
}

func TestAThousandUsesAskTheBackendOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := withShelf(t)
		f.mustPoint("crm", to("corp", "team/crm", 0))
		s.asked, s.wait = 0, make(chan struct{})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := f.opens(acme, "crm"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all of them wait for the one answer
		close(s.wait)
		wg.Wait()
		if s.asked != 1 {
			t.Errorf("the backend was asked %d times", s.asked)
		}
	})
}

func TestAThousandUsesOneAfterAnotherAskOnceWithinTheStaleness(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm-stale", to("corp", "team/crm", time.Hour))
	s.asked = 0
	for range 1000 {
		if err := f.opens(acme, "crm-stale"); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != 1 {
		t.Errorf("within its staleness the backend was asked %d times", s.asked)
	}
}

func TestAnOutageIsBridgedWithinTheStalenessAndThenFailsClosed(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", time.Hour))
	if err := f.opens(acme, "crm"); err != nil {
		t.Fatal(err)
	}
	s.asked = 0
	for _, reason := range []backend.Reason{backend.Away, backend.Throttled, backend.Wrong} {
		s.fails(backend.Fail(reason, "no"))
		f.now = f.now.Add(5 * time.Minute)
		if err := f.opens(acme, "crm"); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if s.asked != 3 {
		t.Errorf("asked %d times, want once for each outage", s.asked)
	}
	f.now = f.now.Add(time.Hour)
	for range 100 {
		if err := f.opens(acme, "crm"); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), canary1) {
			t.Fatalf("after its staleness: %v", err)
		}
	}
	if s.asked != 4 {
		t.Errorf("asked %d times: a backend that is down is asked once a second", s.asked)
	}
	s.fails(nil)
	f.now = f.now.Add(2 * time.Second)
	if err := f.opens(acme, "crm"); err != nil {
		t.Errorf("the backend is back: %v", err)
	}
}

func TestWhatTheBackendTakesAwayFailsClosedAtOnce(t *testing.T) {
	for reason, kind := range map[backend.Reason]fault.Kind{backend.Missing: fault.NotFound, backend.Refused: fault.Denied} {
		f, s := withShelf(t)
		f.mustPoint("crm", to("corp", "team/crm", time.Hour))
		if err := f.opens(acme, "crm"); err != nil {
			t.Fatal(err)
		}
		s.fails(backend.Fail(reason, "no"))
		f.now = f.now.Add(5 * time.Minute)
		if err := f.opens(acme, "crm"); !fault.Is(err, kind) {
			t.Errorf("%s: %v", reason, err)
		}
		s.fails(backend.Fail(backend.Away, "no"))
		f.now = f.now.Add(2 * time.Second)
		if err := f.opens(acme, "crm"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a value that had ended was used again: %v", err)
		}
		if !f.scrubs(acme, canary1) {
			t.Error("the value is not scrubbed for any more")
		}
	}
}

// The door's transport looks whether the value is known when the request leaves.
type looks struct {
	f    *fixture
	t    *testing.T
	want string
}

func (l looks) RoundTrip(r *http.Request) (*http.Response, error) {
	if got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); got != l.want || !l.f.scrubs(acme, got) {
		l.t.Error("a value was used that is another, or is not scrubbed for")
	}
	return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}, nil
}

func TestAValueIsScrubbedForBeforeItIsUsedAndForAGraceAfter(t *testing.T) {
	f, s := withShelf(t)
	f.set(globex, "other", canary3) // so that the process has another set than the tenant
	f.mustPoint("crm", to("corp", "team/crm", time.Minute))
	f.restart()
	if f.scrubs(acme, canary1) {
		t.Fatal("nobody has fetched it since the restart")
	}
	use := func(want string) {
		d := spec(acme, "crm")
		d.Base = looks{f, t, want}
		door, err := f.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://erp.example/x", nil)
		resp, err := door.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	use(canary1)
	s.put("team/crm", canary2)
	f.now = f.now.Add(2 * time.Minute)
	use(canary2)
	f.set(acme, "more", "cnry-another-0815-value")
	if err := f.Remove(t.Context(), acme, "more", admin(acme)); err != nil { // the sets are built anew
		t.Fatal(err)
	}
	for _, v := range []string{canary1, canary2} {
		if !f.scrubs(acme, v) || len(f.Holder().Load().Contains([]byte(v))) == 0 {
			t.Error("old and new are not both scrubbed for")
		}
	}
	f.now = f.now.Add(25 * time.Hour)
	f.set(acme, "more", "cnry-another-0816-value")
	if err := f.Remove(t.Context(), acme, "more", admin(acme)); err != nil {
		t.Fatal(err)
	}
	if f.scrubs(acme, canary1) || !f.scrubs(acme, canary2) {
		t.Error("after the grace the old value is known, or the current one is not")
	}
	f.Seal()
	if len(f.Scrub(acme).Contains([]byte(canary2))) == 0 {
		t.Error("a sealed vault does not scrub for what was fetched")
	}
}

func TestAnAnswerThatCantBeUsedSafelyIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*shelf){
		"too short":             func(s *shelf) { s.put("team/crm", "x") },
		"a word":                func(s *shelf) { s.put("team/crm", "password") },
		"empty":                 func(s *shelf) { s.put("team/crm", "") },
		"endless":               func(s *shelf) { s.put("team/crm", strings.Repeat(canary1, 10_000)) },
		"another field":         func(s *shelf) { s.values["team/crm"] = map[string]string{"other": canary1} },
		"a version with spaces": func(s *shelf) { s.version = "7 and more" },
		"a version as a line":   func(s *shelf) { s.version = "7\nlog" },
		"the value as version":  func(s *shelf) { s.version = "v-" + canary1 },
		"a lease":               func(s *shelf) { s.lease = "database/creds/x/y" },
		"expired":               func(s *shelf) { s.end = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		f, s := withShelf(t)
		f.mustPoint("crm", to("corp", "team/crm", 0))
		spoil(s)
		if err := f.opens(acme, "crm"); err == nil || strings.Contains(err.Error(), canary1) {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.point(acme, "crm-2", to("corp", "team/crm", 0)); err == nil {
			t.Errorf("%s: it was pointed to", name)
		}
	}
}

func TestABackendThatGivesAnotherValueEachTimeFillsNoMemory(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 0))
	var err error
	for i := range 1000 {
		s.put("team/crm", canary1+strings.Repeat("z", i%50)+string(rune('a'+i%26))+string(rune('a'+i/26%26)))
		f.now = f.now.Add(2 * time.Second)
		if err = f.opens(acme, "crm"); err != nil {
			break
		}
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a thousand values within the grace: %v", err)
	}
}

func TestABackendIsATenantsAndItsPathsAreTheOperators(t *testing.T) {
	f, s := withShelf(t)
	s.put("other/erp", canary2)
	for name, err := range map[string]error{
		"another tenant's":    f.point(globex, "crm", to("corp", "team/crm", 0)),
		"another path":        f.point(acme, "crm", to("corp", "other/erp", 0)),
		"a path that climbs":  f.point(acme, "crm", to("corp", "team/../other/erp", 0)),
		"a path that escapes": f.point(acme, "crm", to("corp", "team/%2e%2e/other", 0)),
		"a name like a path":  f.point(acme, "crm", to("corp", "teams", 0)),
		"no such backend":     f.point(acme, "crm", to("none", "team/crm", 0)),
		"staleness of years":  f.point(acme, "crm", to("corp", "team/crm", 1000*time.Hour)),
	} {
		if err == nil {
			t.Errorf("%s was pointed to", name)
		}
	}
	if s.asked != 0 {
		t.Errorf("the backend was asked %d times", s.asked)
	}
}

func TestAPointerWithoutFieldsTakesThoseThatAreThere(t *testing.T) {
	f, s := withShelf(t)
	s.values["team/login"] = map[string]string{"username": "svc", "password": canary2}
	for path, want := range map[string][]string{"team/crm": {"token"}, "team/login": {"password", "username"}} {
		name := strings.TrimPrefix(path, "team/")
		f.mustPoint(name, &vault.Pointer{Backend: "corp", Path: path})
		if got, err := f.Show(t.Context(), acme, name); err != nil || !slices.Equal(got.Versions[0].Fields, want) {
			t.Errorf("%s: %v, %v", path, got.Versions, err)
		}
	}
	if f.call(spec(acme, "crm")) != "Bearer "+canary1 {
		t.Error("another credential arrived")
	}
}

func TestASlowBackendHoldsNobodyUpWhoHasAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := withShelf(t)
		f.mustPoint("crm", to("corp", "team/crm", time.Hour))
		if err := f.opens(acme, "crm"); err != nil {
			t.Fatal(err)
		}
		s.wait = make(chan struct{})
		f.now = f.now.Add(10 * time.Minute)
		start := time.Now()
		if err := f.opens(acme, "crm"); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("with a value: %v after %s", err, time.Since(start))
		}
		<-time.After(time.Minute)
		synctest.Wait() // the question has ended
		f.now = f.now.Add(time.Hour)
		start = time.Now()
		if err := f.opens(acme, "crm"); !fault.Is(err, fault.Unavailable) || time.Since(start) > 15*time.Second {
			t.Errorf("without one: %v after %s", err, time.Since(start))
		}
		synctest.Wait()
	})
}

func TestAVersionThatIsDisabledWhileItIsFetchedIsNotUsed(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 0))
	s.mu.Lock()
	s.wait = make(chan struct{})
	s.asked = 0
	s.mu.Unlock()
	opened := make(chan error)
	go func() { opened <- f.opens(acme, "crm") }()
	for asked := 0; asked == 0; {
		s.mu.Lock()
		asked = s.asked
		s.mu.Unlock()
	}
	if _, err := f.Disable(t.Context(), acme, "crm", 1, admin(acme)); err != nil {
		t.Fatal(err)
	}
	close(s.wait)
	if err := <-opened; !fault.Is(err, fault.Denied) {
		t.Errorf("it was opened: %v", err)
	}
}

func TestAStartAsksForEveryPointerOnce(t *testing.T) {
	f, s := withShelf(t)
	s.put("team/erp", canary2)
	f.mustPoint("crm", to("corp", "team/crm", time.Hour))
	f.mustPoint("erp", to("corp", "team/erp", time.Hour))
	f.restart()
	s.asked = 0
	f.Warm(t.Context())
	if !f.scrubs(acme, canary1) || !f.scrubs(acme, canary2) || s.asked != 2 {
		t.Errorf("asked %d times", s.asked)
	}
	f.restart()
	s.asked = 0
	s.fails(backend.Fail(backend.Away, "down"))
	f.Warm(t.Context())
	if s.asked != 1 || !strings.Contains(f.log.String(), "down") {
		t.Errorf("a backend that is away was asked %d times", s.asked)
	}
}

func TestAVaultWhoseBackendIsGoneFromTheFileRefusesItsPointersAlone(t *testing.T) {
	f, _ := withShelf(t)
	f.set(acme, "plain", canary3)
	f.mustPoint("crm", to("corp", "team/crm", time.Hour))
	f.backends = nil
	f.restart()
	if err := f.opens(acme, "crm"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a pointer to nowhere: %v", err)
	}
	if err := f.opens(acme, "plain"); err != nil {
		t.Error(err)
	}
	if err := f.Remove(t.Context(), acme, "crm", admin(acme)); err != nil {
		t.Error(err)
	}
}

func TestAWorkerLearnsNothingOfWhereABackendIs(t *testing.T) {
	f, s := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 0))
	s.fails(backend.Fail(backend.Away, "https://bao.internal:8200 at 10.0.0.5 does not answer"))
	err := f.opens(acme, "crm")
	if text := err.Error() + fault.HintOf(err); strings.Contains(text, "10.0") || strings.Contains(text, "team/crm") || strings.Contains(text, "corp") {
		t.Errorf("it says %q", text)
	}
	if !strings.Contains(f.log.String(), "bao.internal") {
		t.Error("the log does not say where")
	}
}

func TestAPointerOutlivesEveryRotationOfKeys(t *testing.T) {
	f, _ := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 0))
	for _, rotate := range []func() error{
		func() error { _, err := f.RotateData(t.Context(), acme, admin(acme)); return err },
		func() error { _, err := f.RotateProject(t.Context(), acme, admin(acme)); return err },
		func() error { _, err := f.RotateRoot(t.Context(), admin(acme)); return err },
	} {
		if err := rotate(); err != nil {
			t.Fatal(err)
		}
		f.restart()
		if got := f.call(spec(acme, "crm")); got != "Bearer "+canary1 {
			t.Error("another credential arrived")
		}
	}
}

func TestWhatIsKnownOfAPointerHasNothingOfItsValue(t *testing.T) {
	f, _ := withShelf(t)
	f.mustPoint("crm", to("corp", "team/crm", 0))
	s, err := f.Show(t.Context(), acme, "crm")
	if err != nil || s.Versions[0].Pointer.Path != "team/crm" {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, r := range f.store.snap.Secrets {
		if bytes.Contains(r.Body, []byte(canary1)) {
			t.Error("a head has the value")
		}
	}
	if strings.Contains(f.log.String(), canary1) {
		t.Error("the log has the value")
	}
	if w := to("corp", "team/"+canary1, 0); f.point(acme, "crm-2", w) == nil {
		t.Error("a path with the value in it was taken")
	}
}
