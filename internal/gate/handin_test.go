package gate_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

func (w *world) form() {
	w.mission.Form = []resource.Field{{Name: "name", Required: true}, {Name: "notes"}}
	w.apply()
}

func handed(input string) gate.Start {
	return gate.Start{Mission: "onboard", Input: json.RawMessage(input)}
}

func TestWhatAPersonTypedIsOfferedToAnAdminAndStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.form()
	input := `{"name":"x","notes":"use ` + minted + ` for it"}`
	_, err := w.StartRun(t.Context(), sam, handed(input))
	if _, ok := errors.AsType[*gate.LooksSecret](err); !ok || !strings.Contains(err.Error(), "/notes") || strings.Contains(err.Error()+fault.HintOf(err), minted) {
		t.Fatalf("a start is refused with %v", err)
	}
	if len(w.kept()) != 0 {
		t.Error("it was kept though nobody asked for that")
	}
	out, err := w.HandIn(t.Context(), sam, handed(input))
	w.must(err)
	if len(out.Taken) != 1 || out.Taken[0].Place != "/notes" || !out.Taken[0].Kept || strings.Contains(string(out.Input), minted) ||
		!strings.HasPrefix(string(out.Input), `{"name":"x","notes":"use [secret?:gitlab`) || len(w.kept()) != 1 {
		t.Errorf("handed in: %+v %s", out, out.Input)
	}
	if runs, err := w.store.Runs(t.Context(), acme, "", 10); err != nil || len(runs) != 0 {
		t.Errorf("%d Runs were started, %v", len(runs), err)
	}
	// It is known now, so that it is stopped for another reason, and what is left
	// can be sent.
	_, err = w.StartRun(t.Context(), sam, handed(input))
	if _, ok := errors.AsType[*gate.LooksSecret](err); ok || !fault.Is(err, fault.Denied) {
		t.Errorf("the same input again: %v", err)
	}
	s := handed(string(out.Input))
	s.Outside = true
	if _, err = w.StartRun(t.Context(), sam, s); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

func TestHandingInRefuses(t *testing.T) {
	w := newWorld(t)
	w.form()
	nobody := ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_9", Roles: []ident.Role{ident.Approver}}
	worker := ident.Principal{Tenant: acme, Kind: ident.Run, ID: "run_1"}
	token := `{"name":"` + minted + `"}`
	for what, c := range map[string]struct {
		who   ident.Principal
		s     gate.Start
		wants fault.Kind
	}{
		"what holds nothing":      {sam, handed(`{"name":"x"}`), fault.Invalid},
		"a known secret":          {sam, handed(`{"name":"` + canary + `-erp-key and ` + minted + `"}`), fault.Denied},
		"an approver's":           {nobody, handed(token), fault.Denied},
		"a Worker's":              {worker, handed(token), fault.Denied},
		"another Mission's":       {sam, gate.Start{Mission: "nothing", Input: json.RawMessage(token)}, fault.NotFound},
		"what is not in the form": {sam, handed(`{"name":"x","y":"` + minted + `"}`), fault.Invalid},
	} {
		_, err := w.HandIn(t.Context(), c.who, c.s)
		if !fault.Is(err, c.wants) || strings.Contains(err.Error(), minted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(w.kept()) != 0 {
		t.Errorf("%v are kept", w.kept())
	}
}

// Why a value is not kept is for admins: it can say what others dismissed.
func TestOnlyAnAdminLearnsWhyAValueWasNotKept(t *testing.T) {
	w := newWorld(t)
	w.form()
	w.broken["Quarantine"] = errors.New("the value was dismissed")
	out, err := w.HandIn(t.Context(), sam, handed(`{"name":"`+minted+`"}`))
	w.must(err)
	if len(out.Taken) != 1 || out.Taken[0].Kept || strings.Contains(out.Taken[0].Why, "dismissed") || out.Taken[0].Why == "" {
		t.Errorf("the person learns %+v", out.Taken)
	}
	if l := w.incidents(); len(l) != 1 || l[0].NotKept != "the value was dismissed" {
		t.Errorf("the admin learns %+v", l)
	}
}
