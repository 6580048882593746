package gate_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

// said is in the arguments, the answer, the reason and the transcript of a Run.
const said = "Jane Roe of 12 Elm Street"

// ended is a Run that has done a write and has ended.
func (w *world) ended() (ident.Principal, intent.Intent) {
	w.t.Helper()
	w.records("createVendor", "/id", false)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json", Body: json.RawMessage(`{"note":"` + said + `"}`)}
	}
	who := w.start()
	it := w.admit(who, intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(`{"id":"V-1017","name":"` + said + `"}`), Reason: "for " + said})
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.must(w.store.AppendTranscript(w.t.Context(), acme, it.Run, 0, []json.RawMessage{json.RawMessage(`{"text":"` + said + `"}`)}, w.clock()))
	w.must(w.EndRun(w.t.Context(), who, "done", "about "+said))
	return who, it
}

func (w *world) erase(run string) error {
	_, err := w.store.EraseBodies(w.t.Context(), acme, run, w.clock(), audit.Event{Type: audit.BodiesErased, Tenant: acme, At: w.clock(), Actor: "person:acc_adm", Run: run,
		Fields: map[string]any{"kind": "request", "why": "asked for"}})
	return err
}

func (w *world) onDisk(text string) (files []string) {
	w.t.Helper()
	w.must(filepath.WalkDir(filepath.Join(w.dir, "data"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			files = append(files, filepath.Base(path))
		}
		return err
	}))
	return files
}

func (w *world) verified() {
	w.t.Helper()
	src, err := sqlite.OpenAudit(w.t.Context(), filepath.Join(w.dir, "data"))
	w.must(err)
	defer func() { _ = src.Close() }()
	rep, err := audit.Verify(w.t.Context(), src, audit.VerifyOptions{})
	w.must(err)
	if !rep.OK() {
		w.t.Errorf("the log has %v", rep.Findings())
	}
}

func TestWhatWasErasedIsNowhereAndEveryProofHolds(t *testing.T) {
	w := newWorld(t)
	_, it := w.ended()
	before := w.entries("")
	if len(w.onDisk(said)) == 0 || len(w.onDisk("V-1017")) == 0 {
		t.Fatal("nothing was there to erase")
	}
	w.must(w.erase(it.Run))
	if f := w.onDisk(said); len(f) > 0 {
		t.Errorf("it is still in %v", f)
	}
	run, err := w.store.Run(t.Context(), acme, it.Run)
	w.must(err)
	got, err := w.store.Intent(t.Context(), acme, it.ID)
	w.must(err)
	if string(run.Input) != "{}" || run.Salt != "" || got.Salt != "" || got.Bound.Salt != "" || got.Reason != "" || got.State != intent.Committed || got.Digest != it.Digest || got.Result.Status != 200 || got.Result.Body != nil {
		t.Errorf("left: %+v, %+v", run, got)
	}
	for _, o := range w.rail(it.Run) {
		if o.Text != "" || o.Data != nil {
			t.Errorf("the rail has %+v", o)
		}
	}
	after := w.entries("")
	if len(after) != len(before)+1 || after[len(before)].Type != audit.BodiesErased || after[len(before)].Fields["count"] != int64(1) {
		t.Errorf("%+v", after[len(before):])
	}
	w.verified()
	if err := w.erase(it.Run); !fault.Is(err, fault.Conflict) {
		t.Errorf("twice: %v", err)
	}
	w.must(w.store.Close())
	w.open()
	w.must(w.store.VerifyRows(t.Context())) // after a restart the rows are those that the log says
	if _, err := w.store.Intent(t.Context(), acme, it.ID); err != nil {
		t.Error(err)
	}
	w.verified()
}

func TestWhatGoesOnIsNotErased(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.admit(who, find("Siemens"))
	if err := w.erase(who.ID); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "not ended") {
		t.Errorf("%v", err)
	}
	if err := w.erase("run_none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	w.answer = func(string, string) connector.Answer { return connector.Answer{Outcome: connector.Unclear} }
	it := w.admit(who, create("Siemens"))
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.must(w.EndRun(t.Context(), who, "done", ""))
	if err := w.erase(who.ID); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "open") {
		t.Errorf("with a write whose outcome is unknown: %v", err)
	}
}

func TestALegalHoldKeepsWhatItIsOn(t *testing.T) {
	w := newWorld(t)
	_, it := w.ended()
	event := func(typ audit.Type, kind intent.HoldKind, name string) audit.Event {
		return audit.Event{Type: typ, Tenant: acme, At: w.clock(), Actor: "person:acc_adm", Fields: map[string]any{"kind": kind, "name": name, "why": "a case"}}
	}
	for _, h := range []intent.Hold{{Kind: intent.HoldRun, Name: it.Run}, {Kind: intent.HoldMission, Name: "onboard"}, {Kind: intent.HoldRecord, Name: "V-1017"}} {
		h.Tenant, h.Since, h.By, h.Reason = acme, w.clock(), "acc_adm", "a case"
		w.must(w.store.SetHold(t.Context(), h, event(audit.HoldSet, h.Kind, h.Name)))
		if err := w.store.SetHold(t.Context(), h, event(audit.HoldSet, h.Kind, h.Name)); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second hold: %v", err)
		}
		if err := w.erase(it.Run); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "legal hold") {
			t.Errorf("%s: %v", h.Kind, err)
		}
		w.must(w.store.LiftHold(t.Context(), acme, h.Kind, h.Name, event(audit.HoldLifted, h.Kind, h.Name)))
	}
	other := intent.Hold{Tenant: acme, Kind: intent.HoldRecord, Name: "V-1", Since: w.clock(), By: "acc_adm", Reason: "a case"}
	w.must(w.store.SetHold(t.Context(), other, event(audit.HoldSet, other.Kind, other.Name)))
	w.must(w.store.Close())
	w.open()
	if l, err := w.store.Holds(t.Context(), acme); err != nil || len(l) != 1 || l[0].Name != "V-1" {
		t.Errorf("after a restart: %+v, %v", l, err)
	}
	w.must(w.erase(it.Run))
}

// Attack: who writes the database removes the hold, so that the bodies go.
func TestAHoldThatSomebodyElseRemovedStillHolds(t *testing.T) {
	w := newWorld(t)
	_, it := w.ended()
	w.must(w.store.SetHold(t.Context(), intent.Hold{Tenant: acme, Kind: intent.HoldRun, Name: it.Run, Since: w.clock(), By: "acc_adm", Reason: "a case"},
		audit.Event{Type: audit.HoldSet, Tenant: acme, At: w.clock(), Actor: "person:acc_adm", Fields: map[string]any{"kind": "run", "name": it.Run}}))
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "data", sqlite.File))
	w.must(err)
	_, err = db.ExecContext(t.Context(), "DELETE FROM hold")
	w.must(err)
	w.must(db.Close())
	if err := w.erase(it.Run); !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
	if len(w.onDisk(said)) == 0 {
		t.Error("it was erased")
	}
}
