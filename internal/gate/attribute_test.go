package gate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// records has a Tool say which record it is about.
func (w *world) records(tool, at string, private bool) {
	t := w.tools[tool]
	t.Record, t.RecordPrivate = at, private
	w.tools[tool] = t
	w.apply()
}

func TestAUseOfACredentialIsAttributedToAllThatItBelongsTo(t *testing.T) {
	w := newWorld(t)
	w.records("createVendor", "/name", false)
	it := w.admit(w.start(), create("V-1017"))
	w.approve(it, nil)
	w.must(w.dispatch(it))
	claim, sending, outcome := w.entries(audit.IntentClaimed), w.entries(audit.IntentSending), w.entries(audit.IntentOutcome)
	if len(claim) != 1 || len(sending) != 1 || len(outcome) != 1 {
		t.Fatal(claim, sending, outcome)
	}
	for _, e := range []audit.Entry{claim[0], outcome[0]} {
		for field, want := range map[string]string{"system": "erp", "starter": "person:acc_sam", "worker": "outside", "auth": "run-token", "secret": "erp-key",
			"secretVersion": "1", "record": "V-1017", "approvers": "[" + w.ann + "]"} {
			if got := fmt.Sprint(e.Fields[field]); got != want {
				t.Errorf("%s: %s is %s, want %s", e.Type, field, got, want)
			}
		}
		if e.Run == "" || e.Mission != "onboard" || e.Connection != "erp-write" || e.Tool != "createVendor" || e.Fields["decision"] == nil {
			t.Errorf("%+v", e)
		}
	}
	if claim[0].Fields["policies"] == nil || claim[0].Fields["policySet"] == nil {
		t.Error("the claim names no rule")
	}
	if f := sending[0].Fields; f["system"] != "erp" || f["secret"] != "erp-key" {
		t.Errorf("what leaves is of %+v", f)
	}
}

// What others write about an action, such as a verdict, names what it belongs to.
func TestAStoredActionIsAttributedToAllThatItBelongsTo(t *testing.T) {
	w := newWorld(t)
	w.records("createVendor", "/name", false)
	it := w.admit(w.start(), create("V-1017"))
	all, err := w.Attributes(t.Context(), "acme", []string{it.ID, "int_nobodys"})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d are attributed: %v", len(all), err)
	}
	got := all[it.ID].Fields
	for field, want := range map[string]string{"system": "erp", "starter": "person:acc_sam", "worker": "outside", "auth": "run-token", "secret": "erp-key", "record": "V-1017"} {
		if fmt.Sprint(got[field]) != want {
			t.Errorf("%s is %v, want %s", field, got[field], want)
		}
	}
	if _, versioned := got["secretVersion"]; versioned {
		t.Error("a verdict uses no version of a Secret")
	}
}

func TestARecordIsNamedByTheAnswerWhereTheToolSaysSo(t *testing.T) {
	w := newWorld(t)
	w.records("findVendors", "answer:/items/0/id", false)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json", Body: json.RawMessage(`{"items":[{"id":4711}]}`)}
	}
	w.admit(w.start(), find("Siemens"))
	if c, o := w.entries(audit.IntentClaimed)[0], w.entries(audit.IntentOutcome)[0]; c.Fields["record"] != nil || o.Fields["record"] != "4711" {
		t.Errorf("claimed %v, outcome %v", c.Fields, o.Fields)
	}
}

// Attack: a system, or a Worker, puts a secret or a disguise where the name is.
func TestWhatIsNoNameIsNotPutDownAsOne(t *testing.T) {
	w := newWorld(t)
	w.records("findVendors", "answer:/id", false)
	who := w.start()
	for i, body := range []string{`{"id":"` + canary + `-erp-key"}`, `{"id":"ghp_16C7e42F292c6912E7710c838347Ae178B4a"}`, `{"id":"a\u202eb"}`, `{"id":"a\nb"}`,
		`{"id":"` + strings.Repeat("x", 201) + `"}`, `{"id":""}`, `{"id":{"a":1}}`, `{"id":null}`, `[]`, `"x"`} {
		w.answer = func(string, string) connector.Answer {
			return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json", Body: json.RawMessage(body)}
		}
		w.admit(who, find(fmt.Sprint("Siemens ", i)))
		outcomes := w.entries(audit.IntentOutcome)
		if f := outcomes[len(outcomes)-1].Fields; len(outcomes) != i+1 || f["record"] != nil || f["recordKey"] != nil {
			t.Errorf("%s is on the record as %v", body, f["record"])
		}
	}
}

func TestAPrivateRecordIsThereByItsKeyedHashAlone(t *testing.T) {
	w := newWorld(t)
	w.records("findVendors", "/name", true)
	hash := string(intent.SHA256([]byte("keyed")))
	w.RecordKey = func(_ context.Context, t ident.Tenant, name string) (string, error) {
		if t != acme || name != "Jane Roe" {
			return "", fault.New(fault.Unavailable, "another's")
		}
		return hash, nil
	}
	w.admit(w.start(), find("Jane Roe"))
	for _, e := range w.entries("") {
		if b, err := json.Marshal(e); err != nil || strings.Contains(string(b), "Jane Roe") {
			t.Errorf("%v %s", err, b)
		}
	}
	if f := w.entries(audit.IntentClaimed)[0].Fields; f["recordKey"] != hash || f["record"] != nil {
		t.Errorf("%v", f)
	}
}

// Attack: who has the log tries every short argument until the digest fits.
func TestShortArgumentsCantBeFoundByTryingTheirDigest(t *testing.T) {
	w := newWorld(t)
	w.admit(w.start(), find("DE89370400440532013000"))
	it, err := w.store.Intent(t.Context(), acme, w.entries(audit.IntentClaimed)[0].Intent)
	w.must(err)
	f := w.entries(audit.IntentClaimed)[0].Fields
	guess := json.RawMessage(`{"name":"DE89370400440532013000"}`)
	if f["args"] == string(intent.SHA256(guess)) || f["args"] != string(intent.Salted(it.Salt, guess)) || len(it.Salt) < 26 {
		t.Error("the digest of the arguments is without a salt")
	}
	b := it.Bound
	b.Args, b.Request.Body = guess, string(guess)
	if d, err := b.Digest(); err != nil || f["digest"] != string(d) {
		t.Fatalf("the digest is of something else: %v", err)
	}
	b.Salt = ""
	if d, _ := b.Digest(); f["digest"] == string(d) {
		t.Error("the Intent's digest is without a salt")
	}
	if o := w.entries(audit.IntentOutcome)[0].Fields["result"]; o == string(intent.SHA256(it.Result.Body)) {
		t.Error("the digest of the answer is without a salt")
	}
	run, err := w.store.Run(t.Context(), acme, it.Run)
	w.must(err)
	if got := w.entries(audit.RunStarted)[0].Fields["input"]; got == string(intent.SHA256(run.Input)) || got != string(intent.Salted(run.Salt, run.Input)) {
		t.Error("the digest of the input is without a salt")
	}
}
