package demo_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
)

// locked makes a builder safe for the logger's goroutines.
type locked struct {
	mu sync.Mutex
	b  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestASupplierIsOnboardedAfterOneApproval(t *testing.T) {
	w := start(t, nil)
	run := w.run("onboarded")
	it := w.waiting(run)
	if s := w.stats("erp"); s.Durable["vendors_created"] != 0 || s.Credentials["erp-write-token"].Requests != 0 {
		t.Fatalf("the ERP was written to before the approval: %+v", s)
	}
	w.must(w.decide("approver", it, "approve"))
	r := w.ended(run)
	if r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 || s.Credentials["erp-write-token"].Requests != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	if s := w.stats("ticketing"); s.Writes != 1 {
		t.Errorf("the ticketing system counts %+v", s)
	}
	for _, e := range w.trail("type=intent.decided&run=" + run) {
		if strings.HasPrefix(e.Actor, "person:") && (e.Connection != "erp-write" || e.Tool != "createVendor" || e.Fields["system"] != "erp" || e.Fields["starter"] == nil) {
			t.Errorf("the verdict's entry is %+v", e)
		}
	}
	a := w.whoTouched("V-200001")
	if len(a.Uses) < 2 || !slices.ContainsFunc(a.Uses, func(u audit.Use) bool {
		return u.Tool == "createVendor" && u.Secret == "erp-write-token" && u.Run == run && len(u.Approvers) == 1 && u.Outcome == "COMMITTED"
	}) || !slices.ContainsFunc(a.Uses, func(u audit.Use) bool { return u.Tool == "createTicket" }) {
		t.Errorf("asked for the vendor, the log has %+v", a.Uses)
	}
	kinds := map[explain.Kind]bool{}
	for _, o := range w.observations(run) {
		kinds[o.Kind] = true
	}
	for _, k := range []explain.Kind{explain.Goal, explain.Reasoning, explain.Intent, explain.Use, explain.Inference, explain.Retrieval, explain.ToolCall, explain.Decision, explain.Verdict} {
		if !kinds[k] {
			t.Errorf("the rail has no %s:\n%s", k, w.rail(run))
		}
	}
}

// What examples/vendor-onboarding/README.md says to ask: who did what to a vendor.
func (w *world) whoTouched(record string) audit.Answer {
	w.t.Helper()
	var a audit.Answer
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/audit/query?record="+record, nil, &a))
	return a
}

func TestASpoiledTaxIDEndsAsRejectedAndADuplicateAsDuplicate(t *testing.T) {
	w := start(t, nil)
	for _, expect := range []string{"rejected", "duplicate"} {
		run := w.run(expect)
		if r := w.ended(run); r.Verdict != expect {
			t.Errorf("the verdict is %q, not %q (%s)\n%s", r.Verdict, expect, r.Summary, w.rail(run))
		}
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 0 {
		t.Errorf("the ERP was written to: %+v", s)
	}
}

func TestARejectionsReasonReachesTheModel(t *testing.T) {
	w := start(t, nil)
	run := w.run("onboarded")
	w.must(w.decide("approver", w.waiting(run), "reject"))
	r := w.ended(run)
	if r.Verdict != "rejected" || !strings.Contains(r.Summary, "looks right") {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("erp"); s.Credentials["erp-write-token"].Requests != 0 {
		t.Errorf("the write credential was used: %+v", s)
	}
}

func (w *world) observations(run string) []explain.Observation {
	var out struct{ Observations []explain.Observation }
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+run+"/observations", nil, &out))
	return out.Observations
}

// rail is the Run's rail as text, for a failure's message.
func (w *world) rail(run string) string {
	var b strings.Builder
	for _, o := range w.observations(run) {
		b.WriteString(string(o.Kind) + ": " + o.Title + " | " + o.Text + " | " + string(o.Data) + "\n")
	}
	return b.String()
}

func (w *world) intents(run string) []intent.Intent {
	var out struct{ Intents []intent.Intent }
	w.must(w.as("auditor").Call(w.t.Context(), "GET", "/v1/runs/"+run+"/intents", nil, &out))
	return out.Intents
}
