package gate_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// elsewhere is a vault whose values are in a backend, where they change at will.
type elsewhere struct {
	gate.Vault
	opened int
	asked  []vault.External
	same   bool
}

func (e *elsewhere) Open(ctx context.Context, d vault.DoorSpec) (http.RoundTripper, error) {
	e.opened++
	*d.From = vault.External{Backend: "corp", Version: strconv.Itoa(e.opened)}
	return e.Vault.Open(ctx, d)
}

func (e *elsewhere) Renewed(_ context.Context, _ ident.Tenant, _ string, _ int, used vault.External) bool {
	e.asked = append(e.asked, used)
	return !e.same
}

// A call that was refused because its value was replaced at its backend is made again
// with the new one, under the rules of a version that was replaced: the entry comes
// first, 403 may be about the action, and who is bound to a version ends with it.
func TestACallGoesOnWithTheValueThatReplacedItsOwnAtTheBackend(t *testing.T) {
	for name, c := range map[string]struct {
		status, arrived int
		same, pin       bool
		broken          error
	}{
		"another value is there":   {status: 401, arrived: 2},
		"the same value is there":  {status: 401, arrived: 1, same: true},
		"it may be about the call": {status: 403, arrived: 1},
		"bound to its version":     {status: 401, arrived: 1, pin: true},
		"it can't be recorded":     {status: 401, arrived: 1, broken: errStore},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := rotatesUnder(t, c.status, 1, false)
			s.broken = c.broken
			e := &elsewhere{Vault: w.Config.Vault, same: c.same}
			w.Config.Vault = e
			w.mission.Decisions[0].PinSecret = c.pin
			w.apply()
			it := w.admit(w.start(), create("x"))
			w.approve(it, nil)
			w.must(w.dispatch(it))
			w.wantArrived(c.arrived)
			want, version := intent.Failed, "1"
			if c.arrived == 2 {
				want, version = intent.Committed, "2"
			}
			w.wantState(it.ID, want)
			if re := w.entries(audit.IntentReopened); len(re) != c.arrived-1 {
				t.Errorf("%d entries say that it was opened again", len(re))
			}
			if out := w.entries(audit.IntentOutcome); len(out) != 1 || out[0].Fields["backendVersion"] != version {
				t.Errorf("the outcome's entry has %v, want version %s", out[0].Fields, version)
			}
			if c.arrived == 2 && (len(e.asked) != 1 || e.asked[0].Version != "1") {
				t.Errorf("it was asked about %v", e.asked)
			}
		})
	}
}
