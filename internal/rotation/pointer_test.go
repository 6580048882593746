package rotation_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// A Secret whose value is in another vault is rotated there: no policy, no start by
// hand or schedule, and no finding that it is old.
func TestAPointerIsNotRotatedHere(t *testing.T) {
	w := newWorld(t, resource.Rotator{Kind: resource.RotatorExec, Exec: &resource.ExecRotator{Program: "p", Generate: map[string]int{"token": 32}}})
	spec := resource.Rotation{Every: resource.Duration(time.Hour), Rotator: w.rule}
	if _, err := w.m.SetPolicy(t.Context(), boss, secret, spec, "fac_1"); err != nil {
		t.Fatal(err)
	}
	w.versions[0].Pointer = &vault.Pointer{Backend: "corp", Path: "team/crm"}
	_, err := w.m.Start(t.Context(), boss, secret, "fac_2")
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "is in the backend corp") || fault.HintOf(err) == "" {
		t.Errorf("by hand: %v", err)
	}
	if err := w.m.Advance(t.Context(), acme); err != nil {
		t.Error(err)
	}
	if len(w.rots) != 0 {
		t.Errorf("%d rotations have begun", len(w.rots))
	}
	if _, err := w.m.SetPolicy(t.Context(), boss, secret, spec, "fac_3"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a policy: %v", err)
	}
}
