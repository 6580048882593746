package gate_test

import (
	"errors"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// made is a credential of a Run, of the Secret that its Connections to the ERP name.
func made(who ident.Principal) vault.Lease {
	return vault.Lease{Tenant: acme, ID: "les_one", Run: who.ID, Secret: "erp-key", Version: 1, Backend: "pg"}
}

func (w *world) stands(what string, l vault.Lease, want string) {
	w.t.Helper()
	if why, err := w.Standing(w.t.Context(), l); err != nil || why != want {
		w.t.Errorf("%s: %q, %v; want %q", what, why, err, want)
	}
}

// stop throws the kill switch, as an admin.
func (w *world) stop(k intent.StopKind, name string) {
	w.t.Helper()
	_, err := w.Stop(w.t.Context(), ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_adm", Name: "adm", Roles: []ident.Role{ident.Admin}}, gate.Halt{Kind: k, Name: name, Reason: "a test"})
	w.must(err)
}

func (w *world) resume(k intent.StopKind, name string) {
	w.t.Helper()
	w.must(w.store.LiftStop(w.t.Context(), acme, k, name, audit.Event{Type: audit.StopLifted, Tenant: acme, At: w.now, Actor: "person:acc_adm",
		Fields: map[string]any{"kind": string(k), "name": name, "why": "a test"}}, nil, w.now))
}

const heldUp = "what uses it was stopped"

func TestACredentialEndsWhenAllConnectionsThatUseItAreStopped(t *testing.T) {
	w := newWorld(t)
	l := made(w.start())
	w.stands("at first", l, "")
	w.stop(intent.StopConnection, "erp-other") // of another Mission
	w.stop(intent.StopConnection, "model")     // with another Secret
	w.stands("with others stopped", l, "")
	w.stop(intent.StopConnection, "erp-write")
	w.stands("with one of two stopped", l, "")
	w.stop(intent.StopConnection, "erp-read")
	w.stands("with both stopped", l, heldUp)
	w.resume(intent.StopConnection, "erp-write")
	w.stands("resumed", l, "")
	m := l
	m.Secret = "model-key"
	w.stands("the model's", m, heldUp)
}

func TestACredentialEndsWithWhatItsRunWasStoppedBy(t *testing.T) {
	for _, k := range []intent.StopKind{intent.StopRun, intent.StopMission, intent.StopAll} {
		t.Run(string(k), func(t *testing.T) {
			w := newWorld(t)
			one, two := w.start(), w.start()
			name := map[intent.StopKind]string{intent.StopRun: one.ID, intent.StopMission: "onboard"}[k]
			w.stop(k, name)
			w.stands("stopped", made(one), "its Run was stopped")
			other := "its Run was stopped"
			if k == intent.StopRun {
				other = ""
			}
			w.stands("another Run", made(two), other)
			w.resume(k, name)
			w.stands("resumed", made(one), "")
		})
	}
}

func TestACredentialEndsWhenNoConnectionUsesItsSecretAnyMore(t *testing.T) {
	const unused = "no Connection of its Mission uses its Secret any more"
	w := newWorld(t)
	l := made(w.start())
	other, pinned := l, l
	other.Secret, pinned.Version = "another", 2
	w.stands("another Secret", other, unused)
	w.stands("another version of a reference to the active one", pinned, "")
	w.mission.Connections, w.mission.Decisions = []string{"erp-read"}, nil
	w.apply()
	w.stands("one Connection is left", l, "")
	w.stop(intent.StopConnection, "erp-write")
	w.stands("what is stopped is not the Mission's any more", l, "")
	w.mission.Connections = []string{"model"}
	w.apply()
	w.stands("the Mission has none of them", l, unused)
	w.mission.Name = "another"
	w.apply()
	w.stands("the Mission is none", l, "its Mission was removed")
}

func TestACredentialEndsWhenItsWorkerMayNotActAnyMore(t *testing.T) {
	const gone = "its Worker may not act any more"
	w, night := outside(t)
	l, persons := made(w.started(night)), made(w.start())
	w.stands("at first", l, "")
	w.stop(intent.StopWorker, "night")
	w.stands("stopped", l, "its Run was stopped")
	w.stands("a person's Run, when a Worker is stopped", persons, "")
	w.resume(intent.StopWorker, "night")
	w.outside[0].Disabled = true
	w.apply()
	w.stands("disabled", l, gone)
	w.stands("a person's Run", persons, "")
	w.outside[0].Disabled = false
	w.unlisted = []string{"night"}
	w.apply()
	w.stands("not listed by the Mission", l, gone)
	w.unlisted, w.outside = nil, []*resource.Worker{w.outside[1]}
	w.apply()
	w.stands("removed", l, gone)
}

func TestACredentialEndsWithItsRun(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	none := made(who)
	none.Run = "run_none"
	w.stands("nobody's", none, "its Run is not on record")
	w.must(w.EndRun(t.Context(), who, "done", ""))
	w.stands("ended", made(who), "its Run has ended")
}

func TestWhatCantBeToldEndsNoCredential(t *testing.T) {
	w, night := outside(t)
	l := made(w.started(night))
	down := fault.New(fault.Unavailable, "not now")
	unknown := func(what string) {
		t.Helper()
		if why, err := w.Standing(t.Context(), l); err == nil || why != "" {
			t.Errorf("%s: %q, %v", what, why, err)
		}
	}
	for _, part := range []string{"Run", "Standing"} {
		w.broken[part] = down
		unknown(part)
		delete(w.broken, part)
	}
	w.worldErr = errors.New("not loaded")
	unknown("the configuration")
	w.stop(intent.StopAll, "")
	w.stands("a stop holds also then", l, "its Run was stopped")
}
