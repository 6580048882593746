package demo_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
)

func getOnce(t *testing.T, u string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.Context(), "GET", u, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// TestASystemThatIsAskedAnswersBadly: a read that fails is on the rail with what
// happened, the Worker is told, tries once more, and ends the Run as failed.
// Nothing was written.
func TestASystemThatIsAskedAnswersBadly(t *testing.T) {
	t.Parallel()
	w, procs := fragile(t, nil)
	var lured atomic.Int32
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { lured.Add(1) }))
	defer lure.Close()
	var runs []string
	for _, c := range []struct {
		how  string
		b    system.Behaviour
		says string
	}{
		{"with status 500", system.Behaviour{Mode: system.FailMode}, "the system answered with status 500"},
		{"with an error that repeats the credential", system.Behaviour{Mode: system.EchoError}, "the system answered with status 500"},
		{"with a web page", system.Behaviour{Mode: system.HTML}, `the system answered with "text/html" where JSON was expected`},
		{"with 30 MB", system.Behaviour{Mode: system.Huge}, "the system's answer is larger than 1048576 bytes"},
		{"never", system.Behaviour{Mode: system.Hang}, "the system did not answer in time"},
		{"by hanging up", system.Behaviour{Mode: system.Drop}, "the system cut the connection"},
		{"with a redirect", system.Behaviour{Mode: system.Redirect, Location: lure.URL + "/elsewhere"}, "redirects are not followed"},
		{"with 401", system.Behaviour{Mode: system.FailMode, Status: 401}, "the system does not accept the Connection's credential (401)"},
		{"with 429", system.Behaviour{Mode: system.FailMode, Status: 429}, "the system takes no more requests at the moment (429)"},
		{"not at all", system.Behaviour{}, "the system refuses connections"},
	} {
		t.Run(c.how, func(t *testing.T) {
			w := w.in(t)
			if c.b.Mode == system.Normal {
				w.kill(procs, "taxverify")
			} else {
				w.behave("taxverify", c.b)
			}
			run := w.begins("vendor-onboarding", 0)
			runs = append(runs, run)
			r := w.ended(run)
			w.observed(run, explain.Problem, "tax-check / verifyTaxId: FAILED", c.says)
			w.observed(run, explain.Verdict, "failed", "verifyTaxId did not succeed in 2 attempts", c.says)
			if r.Verdict != "failed" {
				t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
			}
			for _, it := range w.intents(run) {
				if it.Connection == "tax-check" && it.State != intent.Failed {
					t.Errorf("the read is %s", it.State)
				}
			}
		})
	}
	if lured.Load() != 0 {
		t.Error("the redirect was followed")
	}
	if s := w.stats("erp"); s.Requests != 0 {
		t.Errorf("the ERP was called: %+v", s)
	}
	w.revive(procs, "taxverify")
	run := w.begins("vendor-onboarding", 0)
	w.must(w.decide("approver", w.waiting(run), "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("with the system back, the verdict is %q (%s)", r.Verdict, r.Summary)
	}
	w.clean(append(runs, run)...)
}

// TestAModelThatIsAway: after several tries, with growing pauses, the Run ends
// as failed, with the cause, and without having done anything. With one that
// comes back in time it goes on where it was.
func TestAModelThatIsAway(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, map[string][]string{"scriptedmodel": {"-garbage-body"}})
	run := w.begins("vendor-onboarding", 0)
	t.Run("and comes back", func(t *testing.T) { comesBack(t) }) // while the other is tried
	r := w.ended(run)
	w.observed(run, explain.Problem, "model / complete: FAILED", "the model's answer is not a completion")
	w.observed(run, explain.Verdict, "failed", "given up after several tries: the model gave no usable answer: the model's answer is not a completion")
	if r.Verdict != "failed" || strings.Contains(r.Summary, "DBOS") {
		t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
	}
	if s := w.stats("taxverify"); s.Requests != 0 {
		t.Errorf("something was done: %+v", s)
	}
	w.clean(run)
}

func comesBack(t *testing.T) {
	t.Helper()
	w, procs := fragile(t, nil)
	w.behave("scriptedmodel", system.Behaviour{Mode: system.HTML})
	run := w.begins("vendor-onboarding", 0)
	w.observed(run, explain.Problem, "model / complete: FAILED", "the model's answer is not a completion", "baseURL is the API's and not a web page's")
	w.behave("scriptedmodel", system.Behaviour{Mode: system.FailMode})
	w.observed(run, explain.Problem, "model / complete: FAILED (HTTP 500)", "the model's provider answered with status 500")
	w.behave("scriptedmodel", system.Behaviour{Mode: system.Drop})
	w.observed(run, explain.Problem, "model / complete: FAILED", "the system cut the connection")
	w.kill(procs, "scriptedmodel")
	w.observed(run, explain.Problem, "model / complete: FAILED", "the system refuses connections")
	w.revive(procs, "scriptedmodel")
	w.must(w.decide("approver", w.waiting(run), "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	w.clean(run)
}

// TestAModelThatWritesGarbageMeetsItsLimit: a call whose arguments are no JSON
// is refused and said so, as often as the Mission allows turns.
func TestAModelThatWritesGarbageMeetsItsLimit(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, map[string][]string{"scriptedmodel": {"-garbage"}})
	run := w.begins("vendor-onboarding", 0)
	r := w.ended(run)
	w.observed(run, explain.Verdict, "limit", "the Run has reached its limit of 20 turns")
	if r.Verdict != "limit" || r.Used.Turns != 20 {
		t.Errorf("the verdict is %q (%s) after %d turns", r.Verdict, r.Summary, r.Used.Turns)
	}
	if s := w.stats("taxverify"); s.Requests != 0 {
		t.Errorf("garbage was sent to a system: %+v", s)
	}
	w.clean(run)
}

// TestAModelThatAsksForAnUnknownToolIsRefusedAndGoesOn: the refusal is on the
// rail, the model reads it, and the work goes on.
func TestAModelThatAsksForAnUnknownToolIsRefusedAndGoesOn(t *testing.T) {
	t.Parallel()
	w, _ := fragile(t, map[string][]string{"scriptedmodel": {"-unknown-tool"}})
	run := w.begins("vendor-onboarding", 0)
	it := w.waiting(run)
	w.observed(run, explain.Check, "erp-write / deleteAllVendors was refused", "deleteAllVendors")
	w.must(w.decide("approver", it, "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	w.clean(run)
}
