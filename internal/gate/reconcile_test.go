package gate_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// unknown is a write whose answer was lost.
func (w *world) unknown(who ident.Principal, tool string) intent.Intent {
	w.t.Helper()
	was := w.answer
	w.answer = func(string, string) connector.Answer { return connector.Answer{Outcome: connector.Unclear} }
	p := create("Siemens")
	p.Tool = tool
	it := w.admit(who, p)
	w.approve(it, nil)
	w.must(w.dispatch(it))
	w.answer = was
	return w.wantState(it.ID, intent.Unknown)
}

var admin = ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_adm", Name: "Adm", Roles: []ident.Role{ident.Admin}}

// tells is somebody's word, with a proof of exactly that.
func (w *world) tells(by ident.Principal, id string, f gate.Finding, why string) error {
	it, _ := w.Intents.Intent(w.t.Context(), acme, id) // one that is not there is revision 0
	r := gate.Resolution{Finding: f, Revision: it.Revision, Why: why}
	if q, err := w.Ask(w.t.Context(), by, id, r); err == nil {
		r.Factor = w.proof(by, q.Act(r, by.ID))
	}
	_, err := w.Resolve(w.t.Context(), by, id, r)
	return err
}

func (w *world) proof(by ident.Principal, act intent.Digest) decision.Factor {
	return decision.Factor{ID: "fac_9", Tenant: by.Tenant, Account: by.ID, Method: "totp", At: w.clock(), For: act}
}

// has is what the system answers to the lookup.
func (w *world) has(body string) {
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Body: json.RawMessage(body)}
	}
}

func (w *world) reconcile(it intent.Intent, tries int) time.Time {
	w.t.Helper()
	again, err := w.Reconcile(w.t.Context(), acme, it.ID, tries)
	w.must(err)
	return again
}

func TestAWriteThatTheSystemHasIsCommitted(t *testing.T) {
	w := newWorld(t)
	it := w.unknown(w.start(), "createVendor")
	w.has(`{"items":[{"id":7}]}`)
	if again := w.reconcile(it, 0); !again.IsZero() {
		t.Errorf("it is asked again at %s", again)
	}
	got := w.wantState(it.ID, intent.Committed)
	if string(got.Result.Body) != `[{"id":7}]` || !strings.Contains(w.arrived[1], it.ID) {
		t.Errorf("%s after %v", got.Result.Body, w.arrived)
	}
	if r := w.entries(audit.IntentResolved); len(r) != 1 || r[0].Fields["method"] != "lookup" || r[0].Actor != "system:reconcile" {
		t.Errorf("the record is %+v", r)
	}
	if c := w.entries(audit.IntentClaimed); len(c) != 2 { // the lookup used a credential too
		t.Errorf("the claims are %+v", c)
	}
	w.reconcile(it, 1) // a message that comes twice
	w.wantArrived(2)
}

// An answer in which Found leads nowhere says nothing: not even that the record
// is not there.
func TestAnAnswerThatSaysNothingIsNotANo(t *testing.T) {
	for _, body := range []string{`"not what was expected"`, `{}`, `null`} {
		t.Run(body, func(t *testing.T) {
			w := newWorld(t)
			it := w.unknown(w.start(), "createVendor")
			w.has(body)
			w.pass(time.Hour)
			w.reconcile(it, 0)
			w.wantState(it.ID, intent.Unknown)
			w.reconcile(it, 6)
			w.wantState(it.ID, intent.NeedsHuman)
		})
	}
}

// Absent counts only when the system had its time, and is asked then.
func TestAbsentCountsOnlyAfterTheTimeToSettle(t *testing.T) {
	w := newWorld(t)
	it := w.unknown(w.start(), "createVendor")
	sent := w.now
	for try, body := range []string{`{"items":[]}`, `{"items":[ ]}`} {
		w.has(body)
		if again := w.reconcile(it, try); !again.Equal(sent.Add(30 * time.Second)) {
			t.Errorf("%s: it is asked again at %s", body, again)
		}
		w.wantState(it.ID, intent.Unknown)
	}
	w.pass(30 * time.Second)
	w.has(`{"items":[]}`)
	w.reconcile(it, 0)
	w.wantState(it.ID, intent.NotApplied)
	w.wantArrived(4)
}

// It took effect after the first look; the answer of then says nothing.
func TestALateEffectIsFoundByANewLook(t *testing.T) {
	w := newWorld(t)
	it := w.unknown(w.start(), "createVendor")
	w.has(`{"items":[]}`)
	w.reconcile(it, 0)
	w.pass(time.Minute)
	w.has(`{"items":[{"id":7}]}`)
	w.reconcile(it, 0) // the first try's message, which was not marked as done
	w.wantState(it.ID, intent.Committed)
}

func TestASystemThatDoesNotAnswerIsAskedAFewTimes(t *testing.T) {
	w := newWorld(t)
	it := w.unknown(w.start(), "createVendor")
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Unclear, Err: fault.New(fault.Unavailable, "503")}
	}
	for try := range 6 {
		if again := w.reconcile(it, try); !again.Equal(w.now.Add(time.Second << try)) {
			t.Errorf("after try %d it is asked again at %s", try, again)
		}
		w.wantState(it.ID, intent.Unknown)
	}
	w.reconcile(it, 6)
	if got := w.wantState(it.ID, intent.NeedsHuman); !strings.Contains(got.Result.Note, "Do not repeat") {
		t.Errorf("the Worker reads %q", got.Result.Note)
	}
}

func TestWhatNobodyCanAskGoesToAPerson(t *testing.T) {
	for name, change := range map[string]func(*world){
		"policy forbids the lookup": func(w *world) { w.policy(`@id("x") forbid (principal, action, resource == Tool::"erp/findVendors");`) },
		"the Mission lost the Connection": func(w *world) {
			w.mission.Connections, w.mission.Decisions = []string{"erp-read"}, nil
			w.apply()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			it := w.unknown(w.start(), "createVendor")
			change(w)
			w.reconcile(it, 0)
			w.wantState(it.ID, intent.NeedsHuman)
		})
	}
	t.Run("a Tool without a lookup", func(t *testing.T) {
		w := newWorld(t)
		it := w.unknown(w.start(), "dropVendor")
		w.reconcile(it, 0)
		w.wantState(it.ID, intent.NeedsHuman)
		w.wantArrived(1)
	})
}

func TestOnlyAnAdminWhoIsNotInvolvedSaysWhatBecameOfAWrite(t *testing.T) {
	person := func(id string, roles ...ident.Role) ident.Principal {
		return ident.Principal{Tenant: acme, Kind: ident.Person, ID: id, Roles: roles}
	}
	w := newWorld(t)
	who := w.start()
	it := w.unknown(who, "dropVendor")
	say := func(by ident.Principal, id, why string, k fault.Kind) {
		t.Helper()
		w.wantKind(w.tells(by, id, gate.Applied, why), k)
	}
	say(admin, it.ID, "I looked", fault.Conflict) // it is being looked up
	w.reconcile(it, 0)
	say(ident.Principal{}, it.ID, "I looked", fault.Denied)
	say(who, it.ID, "I looked", fault.Denied)
	say(ident.Principal{Tenant: acme, Kind: ident.System, ID: "x", Roles: ident.Roles}, it.ID, "I looked", fault.Denied)
	say(person("acc_x", ident.Requester, ident.Approver, ident.Builder, ident.Auditor), it.ID, "I looked", fault.Denied)
	say(person("acc_sam", ident.Admin), it.ID, "I looked", fault.Denied)
	say(ident.Principal{Tenant: "globex", Kind: ident.Person, ID: "acc_adm", Roles: ident.Roles}, it.ID, "I looked", fault.NotFound)
	say(admin, "int_x", "I looked", fault.NotFound)
	say(admin, it.ID, " \n", fault.Invalid)
	say(admin, it.ID, strings.Repeat("x", 301), fault.Invalid)
	w.wantState(it.ID, intent.NeedsHuman)
	say(admin, it.ID, "I looked, and saw "+canary+"-erp-key", "")
	got := w.wantState(it.ID, intent.Committed)
	if strings.Contains(got.Why+got.Result.Note, canary) {
		t.Errorf("it is on record: %q", got.Why)
	}
	if r := w.entries(audit.IntentResolved); len(r) != 2 || r[1].Actor != "person:acc_adm" || r[1].Fields["method"] != "person" {
		t.Errorf("the record is %+v", r)
	}
	say(admin, it.ID, "again", fault.Conflict)
}

func TestAPersonCanSayThatAWriteWasNotApplied(t *testing.T) {
	w := newWorld(t)
	it := w.unknown(w.start(), "dropVendor")
	w.reconcile(it, 0)
	w.must(w.tells(admin, it.ID, gate.NotApplied, "it is not there"))
	w.wantState(it.ID, intent.NotApplied)
}

// A process died with a write under way; the next one asks, and repeats nothing.
func TestWhatADeadProcessLeftUnderWayIsLookedUp(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("Siemens"))
	w.approve(it, nil)
	for _, to := range []intent.State{intent.Claimed, intent.Sending} {
		got := w.stored(it.ID)
		at, err := w.store.Attempt(t.Context(), acme, it.ID)
		w.must(err)
		_, err = w.store.Step(t.Context(), commit.Step{Tenant: acme, Intent: it.ID, Run: it.Run, From: got.State, To: to, Fence: at.Fence, Claimant: "proc_dead", At: w.now})
		w.must(err)
	}
	left, err := w.store.Left(t.Context())
	w.must(err)
	w.must(w.Recover(t.Context(), left))
	w.wantState(it.ID, intent.Unknown)
	due, _, err := w.store.DueMessages(t.Context(), w.now, false, 100)
	w.must(err)
	if len(due) != 1 || due[0].Kind != commit.MsgReconcile || due[0].Ref != it.ID || len(w.entries(audit.IntentSwept)) != 1 {
		t.Errorf("what follows is %+v", due)
	}
	w.must(w.dispatch(it))
	w.wantUntouched()
}

func TestAPointerFindsWhatThereIs(t *testing.T) {
	const doc = `{"items":[{"id":7},null,[]],"a/b":1,"m~n":2,"":3,"none":null,"empty":[ ],"zero":0,"no":false,"text":"","o":{},"0":"zero"}`
	for ptr, want := range map[string]string{
		"": doc, "/items": `[{"id":7},null,[]]`, "/items/0": `{"id":7}`, "/items/0/id": "7", "/a~1b": "1", "/m~0n": "2", "/": "3", "/zero": "0", "/no": "false", "/text": `""`, "/o": "{}", "/0": `"zero"`,
		"/items/1": "", "/items/2": "", "/items/3": "", "/none": "", "/empty": "", "/empty/0": "",
	} {
		if got, err := gate.Pointer(json.RawMessage(doc), ptr); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v, want %s", ptr, got, err, want)
		}
	}
	for _, ptr := range []string{"/items/-1", "/items/-", "/items/00", "/items/0x", "/items/+0", "/items/1e0", "/none/x", "/missing", "/missing/further", "/ITEMS", "/a/b"} {
		if got, err := gate.Pointer(json.RawMessage(doc), ptr); got != nil || err == nil {
			t.Errorf("%q: %s, and that is not an answer", ptr, got)
		}
	}
	for _, doc := range []string{"", "x", `"text"`, "7", `{"items":7}`, "null", "{}", `{"items":null}`} {
		if got, err := gate.Pointer(json.RawMessage(doc), "/items/0"); got != nil || err == nil {
			t.Errorf("%q: %s", doc, got)
		}
	}
	for _, doc := range []string{"[]", "[ \n]"} {
		if got, err := gate.Pointer(json.RawMessage(doc), ""); got != nil || err != nil {
			t.Errorf("%q: %s, %v", doc, got, err)
		}
	}
}

// What is found is a part of the document, and is never nothing.
func FuzzPointer(f *testing.F) {
	for _, s := range [][2]string{{`{"items":[]}`, "/items"}, {`{"items":[ 1 ]}`, "/items/0"}, {`[[1]]`, "/0/0"}, {`{"a/b":{"~":1}}`, "/a~1b/~0"}, {"null", ""}, {`{"":{"":1}}`, "//"}, {"{", "/a"}, {`[1]`, "/18446744073709551616"}} {
		f.Add([]byte(s[0]), s[1])
	}
	f.Fuzz(func(t *testing.T, doc []byte, ptr string) {
		got, err := gate.Pointer(doc, ptr)
		if err != nil && got != nil {
			t.Fatalf("%q and %v", got, err)
		}
		if got == nil || !json.Valid(doc) {
			return
		}
		if !strings.Contains(string(doc), string(got)) || slices.Contains([]string{"", "null", "[]"}, strings.Join(strings.Fields(string(got)), "")) {
			t.Fatalf("%q of %q is %q", ptr, doc, got)
		}
	})
}

// Whoever stops a Run wants to know what it has done.
func TestTheWriteOfARunThatHasEndedIsLookedUpToo(t *testing.T) {
	w := newWorld(t)
	w.mission.Limits.Calls = 1
	w.apply()
	who := w.start()
	it := w.unknown(who, "createVendor")
	w.must(w.StopRun(t.Context(), sam, who.ID))
	w.has(`{"items":[{"id":7}]}`)
	w.reconcile(it, 0)
	w.wantState(it.ID, intent.Committed)
}
