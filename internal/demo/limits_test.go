package demo_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/resource"
)

// TestALimitEndsTheRun: with the verdict "limit", which limit it was, and
// nothing done after it.
func TestALimitEndsTheRun(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	limited := func(name string, l resource.Limits) {
		w.edit(resource.KindMission, "vendor-onboarding", func(r resource.Resource) {
			m := r.(*resource.Mission)
			m.Name, m.Limits = name, l
		})
	}
	limited("few-turns", resource.Limits{Turns: 2})
	limited("few-tokens", resource.Limits{Tokens: 1})
	limited("few-dollars", resource.Limits{CostUSD: 0.01})
	w.edit(resource.KindIntegration, "model", func(r resource.Resource) { r.(*resource.Integration).Model.InputPrice = 100 })
	limited("an-hour", resource.Limits{WallClock: resource.Duration(time.Hour)})

	turns, tokens, dollars, hour := w.begins("few-turns", 0), w.begins("few-tokens", 1), w.begins("few-dollars", 3), w.begins("an-hour", 2)
	if r := w.ended(turns); r.Verdict != "limit" || r.Used.Turns != 2 {
		t.Errorf("the verdict is %q (%s) after %d turns", r.Verdict, r.Summary, r.Used.Turns)
	}
	w.observed(turns, explain.Verdict, "limit", "the Run has reached its limit of 2 turns")
	if r := w.ended(tokens); r.Verdict != "limit" || r.Used.Turns != 1 {
		t.Errorf("the verdict is %q (%s) after %d turns", r.Verdict, r.Summary, r.Used.Turns)
	}
	w.observed(tokens, explain.Verdict, "limit", "the Run has reached its limit of 1 tokens")

	if r := w.ended(dollars); r.Verdict != "limit" || r.Used.CostUSD < 0.01 {
		t.Errorf("the verdict is %q (%s) after %.2f US dollars", r.Verdict, r.Summary, r.Used.CostUSD)
	}
	w.observed(dollars, explain.Verdict, "limit", "the Run has reached its limit of 0.01 US dollars")

	// The one whose time runs out while it waits: what a person approves is
	// still done, and then the Run ends.
	it := w.waiting(hour)
	w.clock.advance(2 * time.Hour)
	w.must(w.decide("approver", it, "approve"))
	if r := w.ended(hour); r.Verdict != "limit" {
		t.Errorf("the verdict is %q (%s)", r.Verdict, r.Summary)
	}
	w.observed(hour, explain.Verdict, "limit", "the Run has reached its limit of time")
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	if s := w.stats("ticketing"); s.Requests != 0 {
		t.Errorf("something was done after the limit: %+v", s)
	}
	w.clean(turns, tokens, dollars, hour)
}
