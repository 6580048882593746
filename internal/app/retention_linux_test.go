package app

import (
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Bodies go when they are old enough, and not before; what is held stays, and does not
// keep what comes after it.
func TestOldBodiesAreErasedUnlessTheyAreHeld(t *testing.T) {
	c := newCrowd(t)
	c.cfg.Audit.KeepBodies = 24 * time.Hour
	var runs []string
	for range 3 {
		r, err := c.Gate.StartRun(t.Context(), builder, gate.Start{Mission: "pay", Via: "api", Outside: true})
		c.must(err)
		c.must(c.Gate.EndRun(t.Context(), ident.Principal{Tenant: "acme", Kind: ident.Run, ID: r.ID}, "done", "it is paid"))
		runs = append(runs, r.ID)
		c.clock = c.clock.Add(time.Hour)
	}
	_, err := c.SetHold(t.Context(), c.adam, intent.HoldRun, runs[0], "a case")
	c.must(err)
	erased := func() (out []string) {
		c.must(c.eraseOld(t.Context()))
		rows, err := c.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.BodiesErased}, 0, 10)
		c.must(err)
		for _, r := range rows {
			out = append(out, r.Run)
		}
		return out
	}
	if got := erased(); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	c.clock = c.clock.Add(22*time.Hour + 30*time.Minute)
	if got := erased(); len(got) != 1 || got[0] != runs[1] {
		t.Errorf("%v, want the second of %v", got, runs)
	}
	c.clock = c.clock.Add(time.Hour)
	if got := erased(); len(got) != 2 || got[1] != runs[2] {
		t.Errorf("%v", got)
	}
	c.must(c.LiftHold(t.Context(), c.adam, intent.HoldRun, runs[0], "it is over"))
	if got := erased(); len(got) != 3 {
		t.Errorf("%v", got)
	}
}
