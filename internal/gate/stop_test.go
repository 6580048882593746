package gate_test

import (
	"encoding/json"
	"errors"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

func halt(k intent.StopKind, name string) gate.Halt {
	return gate.Halt{Kind: k, Name: name, Reason: "it pays twice"}
}

// isHeldUp says whether a proposal in a Run is held up by a stop.
func (w *world) isHeldUp(who ident.Principal) bool {
	w.t.Helper()
	_, err := w.Admit(w.t.Context(), who, intent.Proposal{Connection: "erp-read", Tool: "findVendors", Args: json.RawMessage(`{"name":"lakeside"}`)})
	stopped, is := errors.AsType[*intent.Stopped](err)
	if !is {
		w.must(err)
	}
	return is && stopped.Stop.Kind == intent.StopWorker
}

func TestAStoppedWorkerDoesNothingMoreInAnyOfItsRuns(t *testing.T) {
	w, night := outside(t)
	first, other, persons := w.started(night), w.started(agent("day")), w.start()
	w.stop(intent.StopWorker, "night")
	if !w.isHeldUp(first) {
		t.Error("its Run goes on")
	}
	if w.isHeldUp(other) || w.isHeldUp(persons) {
		t.Error("another's Run is held up")
	}
	w.must(w.EndRun(t.Context(), first, "done", ""))
	if _, err := w.WorkerRun(t.Context(), night, "onboard", nil, true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it starts another Run: %v", err)
	}
	w.resume(intent.StopWorker, "night")
	if w.isHeldUp(w.started(night)) {
		t.Error("it is held up after it was resumed")
	}
}

func TestAWorkerIsStoppedByItsOwnerOrAnAdmin(t *testing.T) {
	w, _ := outside(t)
	for _, c := range []struct {
		who ident.Principal
		may bool
	}{
		{person("acc_owen"), true},
		{person("acc_adm", ident.Admin), true},
		{person("acc_sam", ident.Requester), false},
		{person("acc_app", ident.Approver), false},
		{agent("night"), false},
		{ident.Principal{Tenant: acme, Kind: ident.Run, ID: "acc_owen"}, false},
	} {
		if _, err := w.Stop(t.Context(), c.who, halt(intent.StopWorker, "night")); (err == nil) != c.may {
			t.Errorf("%s of %s, %v: %v", c.who, c.who.Tenant, c.who.Roles, err)
		}
	}
	owen := person("acc_owen", ident.Requester)
	s, err := w.Stop(t.Context(), owen, gate.Halt{Kind: intent.StopWorker, Name: "day", Reason: "is it " + canary + "-erp-key?"})
	if w.must(err); s.Reason != "the Worker's owner stopped it" {
		t.Errorf("the reason of who has no role is %q: shown to everybody, and an oracle for guesses", s.Reason)
	}
	for _, h := range []gate.Halt{halt(intent.StopAll, ""), halt(intent.StopMission, "onboard"), halt(intent.StopConnection, "erp-read"), halt(intent.StopWorker, "nobody")} {
		if _, err := w.Stop(t.Context(), owen, h); !fault.Is(err, fault.Denied) {
			t.Errorf("the owner of a Worker stops %s %q: %v", h.Kind, h.Name, err)
		}
	}
	adm := person("acc_adm", ident.Admin)
	if _, err := w.Stop(t.Context(), adm, halt(intent.StopWorker, "nobody")); !fault.Is(err, fault.NotFound) {
		t.Errorf("a Worker that there is not: %v", err)
	}
	if _, err := w.Stop(t.Context(), adm, halt(intent.StopWorker, "")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a Worker without a name: %v", err)
	}
}
