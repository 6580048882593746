package api_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
)

// refusedFor names the verdicts that an item says would not count.
func refusedFor(s api.Shown) (out []string) {
	for _, c := range s.Cannot {
		if c.Detail == "" || c.Kind == "" {
			out = append(out, "without a reason")
		}
		out = append(out, string(c.Verdict)+" "+string(c.Code))
	}
	return out
}

func TestADecisionSaysWhatItsViewerCannotDoBeforeACodeIsSpent(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	d := o.parked().Decision
	at := "/v1/decisions/" + d.ID
	see := func(name string) (s api.Shown) {
		o.call(o.as(name), "GET", at, nil, 200, &s)
		return s
	}
	for name, want := range map[string][]string{
		"approver": {"break-glass not_admin"},
		"admin":    {"approve not_in_team", "reject not_in_team", "break-glass not_admin"},
	} {
		got := refusedFor(see(name))
		if name == "admin" { // made before the action, so the glass is theirs
			want = want[:2]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s can't %q, want %q", name, got, want)
		}
	}
	o.app.Desk.Passkeys = true
	if s := see("approver"); !s.Decision.Passkey || !slices.Equal(refusedFor(s), []string{"break-glass not_admin"}) {
		t.Errorf("with a passkey alone: %q", refusedFor(s))
	}
	o.app.Desk.Passkeys = false
	if s := see("approver"); s.StartedBy != "requester" {
		t.Errorf("it was started by %q", s.StartedBy)
	}
	before := o.refusedVerdicts()
	o.call(o.as("approver"), "POST", at, map[string]any{"verdict": "reject", "digest": d.Digest, "password": password("approver"), "code": o.code("approver")}, 200, nil)
	if got := refusedFor(see("approver")); !slices.Equal(got, []string{"approve not_open", "reject not_open", "break-glass not_open"}) {
		t.Errorf("when it is decided: %q", got)
	}
	if o.refusedVerdicts() != before {
		t.Error("looking at a Decision is on the record as a refused verdict")
	}
}

func (o *office) refusedVerdicts() int {
	w := o.do(o.as("auditor"), "GET", "/v1/audit/entries?type=verdict.refused", nil)
	return strings.Count(w.Body.String(), `"why"`)
}

// What a person has stopped is said wherever it would look as if it went on. The Worker
// learns that, and not why.
func TestWhatIsStoppedIsSaidByDecisionRunAndIntent(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	it := o.parked()
	run := "/v1/runs/" + it.Decision.Run
	var d api.Shown
	var r api.RunShown
	var i api.IntentShown
	look := func(token string) {
		d, r, i = api.Shown{}, api.RunShown{}, api.IntentShown{}
		o.call(o.as("approver"), "GET", "/v1/decisions/"+it.Decision.ID, nil, 200, &d)
		o.call(token, "GET", run, nil, 200, &r)
		o.call(token, "GET", run+"/intents/"+it.Decision.Intent, nil, 200, &i)
	}
	if look(o.as("requester")); len(d.Stops)+len(r.Stops)+len(i.Stops) != 0 || i.ID != it.Decision.Intent || r.ID != it.Decision.Run {
		t.Fatalf("nothing is stopped, and it says %+v, %+v, %+v", d.Stops, r.Stops, i.Stops)
	}
	o.call(o.as("admin"), "POST", "/v1/stops", map[string]any{"kind": "connection", "name": "bank", "reason": "it looks wrong"}, 200, nil)
	if look(o.as("requester")); len(d.Stops) != 1 || len(r.Stops) != 0 || len(i.Stops) != 1 || d.Stops[0].ByName != "admin" || d.Stops[0].Reason != "it looks wrong" {
		t.Errorf("the Connection is stopped, and it says %+v, %+v, %+v", d.Stops, r.Stops, i.Stops)
	}
	o.call(o.as("admin"), "POST", "/v1/stops", map[string]any{"kind": "all", "reason": "all of it looks wrong"}, 200, nil)
	token, err := o.app.Directory.MintRun(t.Context(), it.Decision.Tenant, it.Decision.Run, o.now().Add(1e12), o.now())
	o.must(err)
	if look(token); len(d.Stops) != 2 || len(r.Stops) != 1 || len(i.Stops) != 2 {
		t.Errorf("all is stopped, and it says %+v, %+v, %+v", d.Stops, r.Stops, i.Stops)
	}
	for _, s := range append(r.Stops, i.Stops...) {
		if s.By+s.ByName+s.Reason != "" || s.Kind == "" || s.Since.IsZero() {
			t.Errorf("the Worker is told %+v", s)
		}
	}
	o.call(o.as("approver"), "POST", "/v1/decisions/"+it.Decision.ID, map[string]any{"verdict": decision.Reject, "digest": it.Decision.Digest, "password": password("approver"), "code": o.code("approver")}, 200, nil)
	if look(o.as("requester")); len(d.Stops)+len(i.Stops) != 0 {
		t.Errorf("nothing of it is held up any more, and it says %+v, %+v", d.Stops, i.Stops)
	}
}

// To ask and to change take no proof, also where only passkeys count; what is refused of
// either is on the record by its own name, and never as a verdict without one.
func TestAskingTakesNoPasskeyAndItsRefusalIsNoVerdict(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	d := o.parked().Decision
	o.app.Desk.Passkeys = true
	at := "/v1/decisions/" + d.ID
	o.call(o.as("approver"), "POST", at+"/questions", map[string]any{"digest": d.Digest, "text": "is it a new bank?"}, 200, nil)
	if n := o.refusedVerdicts(); n != 0 {
		t.Fatalf("%d verdicts were refused", n)
	}
	old := strings.Repeat("0", 64)
	o.call(o.as("approver"), "POST", at+"/questions", map[string]any{"digest": old, "text": "is it?"}, 409, nil)
	o.call(o.as("approver"), "POST", at+"/edit", map[string]any{"digest": old, "args": map[string]any{}}, 409, nil)
	body := o.do(o.as("auditor"), "GET", "/v1/audit/entries?type=verdict.refused", nil).Body.String()
	for _, want := range []string{`"verdict":"ask"`, `"verdict":"edit"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
}
