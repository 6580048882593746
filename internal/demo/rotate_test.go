package demo_test

import (
	"context"
	"sync"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/intent"
)

// TestTheMissionGoesOnWhileEveryKeyIsRotated rotates every key again and again
// while two suppliers are onboarded and a Worker outside reads: no call fails, and
// after another start all of it still works.
func TestTheMissionGoesOnWhileEveryKeyIsRotated(t *testing.T) {
	w := start(t, nil)
	runs := []string{w.run("onboarded"), w.run("duplicate")}
	k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Original Ltd", "country": "DE", "tax_id": "DE129274202"})
	auditor := w.as("auditor")
	rotate := w.as("admin")
	ctx, enough := context.WithCancel(t.Context())
	var reads, failed int
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			it, err := k.propose(map[string]any{"connection": "erp-read", "tool": "findVendors", "args": map[string]any{"name": "Siemens"}, "reason": "to see whether it is there"})
			reads++
			if err != nil || it.State != intent.Committed {
				failed++
				t.Errorf("read %d: %v, %s", reads, err, it.State)
				return
			}
		}
	})
	for range 3 {
		var r api.Rotated
		w.must(rotate.Call(t.Context(), "POST", "/v1/keys/rotate", map[string]any{"what": "all", "password": w.People["admin"].Password, "code": w.code("admin")}, &r))
		if len(r.Rotations) != 3 || r.Rotations[2].Count == 0 {
			t.Errorf("it rotated %+v", r)
		}
	}
	enough()
	wg.Wait()
	if reads < 3 {
		t.Errorf("there were only %d reads", reads)
	}
	w.must(w.decide("approver", w.waiting(runs[0]), "approve"))
	for i, want := range []string{"onboarded", "duplicate"} {
		if r := w.ended(runs[i]); r.Verdict != want {
			t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(runs[i]))
		}
	}
	var keys api.Keys
	w.must(auditor.Call(t.Context(), "GET", "/v1/keys", nil, &keys))
	if keys.Generation != 4 || keys.Term != 7 || keys.Older != 0 {
		t.Errorf("the keys are %+v", keys)
	}
	w.must(w.Stop(context.WithoutCancel(t.Context())))
	w.begin(nil)
	again := w.run("duplicate")
	if r := w.ended(again); r.Verdict != "duplicate" {
		t.Errorf("after another start the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(again))
	}
}
