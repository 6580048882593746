package gate_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// approvedName is what the approved action is about.
const approvedName = "DE89370400440532013000"

// The matrix of what may have changed between the approval and the claim.
func TestWhatChangedSinceTheApprovalIsFoundBeforeTheSecretIsResolved(t *testing.T) {
	setup := ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"}
	for name, c := range map[string]struct {
		change func(*world, *intent.Intent)
		spoil  func(*decision.Decision)
		to     intent.State
	}{
		"nothing": {nil, nil, intent.Committed},
		"the policy's text alone": {func(w *world, _ *intent.Intent) {
			w.policy(`@id("other") forbid (principal, action, resource == Tool::"erp/dropVendor");`)
		}, nil, intent.Committed},
		"the Secret was rotated": {func(w *world, _ *intent.Intent) {
			_, err := w.realVault.Rotate(w.t.Context(), write(setup, "-rotated"))
			w.must(err)
		}, nil, intent.Committed},
		"the value became a Secret": {func(w *world, _ *intent.Intent) {
			_, err := w.realVault.Set(w.t.Context(), vault.Write{Tenant: acme, Name: "weapon", Actor: setup, Fields: map[string][]byte{"token": []byte(approvedName)}})
			w.must(err)
		}, nil, intent.Denied},
		"policy denies now": {func(w *world, _ *intent.Intent) {
			w.policy(`@id("frozen") forbid (principal, action, resource);`)
		}, nil, intent.Denied},
		"there is no policy": {func(w *world, _ *intent.Intent) { w.noPolicy = true; w.apply() }, nil, intent.Denied},
		"the Mission lost the Connection": {func(w *world, _ *intent.Intent) {
			w.mission.Connections, w.mission.Decisions = []string{"erp-read"}, nil
			w.apply()
		}, nil, intent.Denied},
		"the Tool is another": {func(w *world, _ *intent.Intent) {
			tool := w.tools["createVendor"]
			tool.Digest = "another"
			w.tools["createVendor"] = tool
			w.apply()
		}, nil, intent.Failed},
		"the approver left the Team": {func(w *world, _ *intent.Intent) {
			_, err := w.store.ApplyTeam(w.t.Context(), acme, resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{}}, "system:test", w.now)
			w.must(err)
		}, nil, intent.Denied},
		"the approver left and came back": {func(w *world, _ *intent.Intent) {
			for _, m := range [][]string{{}, {"ann"}} {
				_, err := w.store.ApplyTeam(w.t.Context(), acme, resource.Team{Head: head(resource.KindTeam, "finance"), Members: m}, "system:test", w.now)
				w.must(err)
			}
		}, nil, intent.Denied},
		"the approval is too old": {func(w *world, _ *intent.Intent) { w.pass(8 * 24 * time.Hour) }, nil, intent.Expired},
		"the Run has ended": {func(w *world, it *intent.Intent) {
			w.must(w.EndRun(w.t.Context(), worker(intent.Run{Tenant: acme, ID: it.Run}), "done", ""))
		}, nil, intent.Withdrawn},
		"the approval is for another digest":  {nil, func(d *decision.Decision) { d.Digest = intent.SHA256([]byte("another")) }, intent.Failed},
		"the approval is for another Intent":  {nil, func(d *decision.Decision) { d.Intent = "int_x" }, intent.Failed},
		"the approval is of another revision": {nil, func(d *decision.Decision) { d.Revision = 2 }, intent.Failed},
		"the approval is another tenant's":    {nil, func(d *decision.Decision) { d.Tenant = "globex" }, intent.Failed},
		"the Decision is still open":          {nil, func(d *decision.Decision) { d.State = decision.Open }, intent.Denied},
		"it was rejected":                     {nil, func(d *decision.Decision) { d.State = decision.Rejected }, intent.Denied},
		"nobody decided":                      {nil, func(d *decision.Decision) { d.By = "" }, intent.Denied},
		"it was decided without a factor":     {nil, func(d *decision.Decision) { d.Factor = "" }, intent.Denied},
		"policy is said to have decided":      {nil, func(d *decision.Decision) { d.AutoBy, d.By = decision.AutoByPolicy, "" }, intent.Denied},
		"an unknown account decided":          {nil, func(d *decision.Decision) { d.By = "acc_x" }, intent.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			it := w.admit(w.start(), create("to "+approvedName))
			w.approve(it, c.spoil)
			if c.change != nil {
				c.change(w, &it)
			}
			w.must(w.dispatch(it))
			got := w.wantState(it.ID, c.to)
			if c.to == intent.Committed {
				w.wantArrived(1)
				return
			}
			w.wantUntouched()
			if got.Result != nil && strings.Contains(got.Result.Note+got.Why, "weapon") {
				t.Errorf("the Worker is told which Secret it is: %+v", got.Result)
			}
			if c.to != intent.Withdrawn && (len(w.entries(audit.IntentDenied)) != 1 || got.Result == nil || !strings.HasPrefix(got.Result.Note, "Nothing was sent")) {
				t.Errorf("the record is %+v, the Worker reads %+v", w.entries(audit.IntentDenied), got.Result)
			}
		})
	}
}

func TestUnknownApproverFailsClosed(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("x"))
	w.approve(it, func(d *decision.Decision) { d.By = "acc_nobody" })
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Denied)
	w.wantUntouched()
}

func TestDigestMismatchFailsClosed(t *testing.T) {
	w := newWorld(t)
	it := w.admit(w.start(), create("x"))
	w.approve(it, func(d *decision.Decision) { d.Digest = intent.SHA256([]byte("y")) })
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Failed)
	w.wantUntouched()
}

// What was approved with its Secret pinned is void when that is rotated.
func TestAPinnedSecretThatWasRotatedVoidsTheApproval(t *testing.T) {
	w := newWorld(t)
	w.mission.Decisions[0].PinSecret = true
	w.apply()
	it := w.admit(w.start(), create("x"))
	if it.Bound.VersionRule != "v1" {
		t.Fatalf("it is bound to %q", it.Bound.VersionRule)
	}
	w.approve(it, nil)
	_, err := w.realVault.Rotate(t.Context(), write(ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"}, "-rotated"))
	w.must(err)
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Failed)
	w.wantUntouched()
}

// Policy let it through by itself, the process died before it was sent, and now
// policy wants a person.
func TestWhatPolicyNowAsksAboutIsParkedAgain(t *testing.T) {
	w := newWorld(t)
	w.policy(unattended)
	who := w.start()
	w.broken["Step CLAIMED"] = errStore
	it, err := w.Admit(t.Context(), who, create("x"))
	w.wantKind(err, fault.Unavailable)
	delete(w.broken, "Step CLAIMED")
	w.policy("")
	w.must(w.dispatch(it))
	w.wantState(it.ID, intent.Parked)
	w.wantUntouched()
	if d, err := w.store.DecisionOf(t.Context(), acme, it.ID); err != nil || d.State != decision.Open || d.AutoBy != "" {
		t.Errorf("the Decision is %+v, %v", d, err)
	}
}

// The strictest of the Mission's rule and of policy: policy's Team, the shorter
// wait. Two Teams that policies name are no answer.
func TestWhoDecidesIsTheStrictestAnswer(t *testing.T) {
	const ask = `forbid (principal, action == Action::"call_unattended", resource == Tool::"erp/createVendor");`
	for name, c := range map[string]struct {
		rule    resource.Duration
		cedar   string
		expires time.Duration
	}{
		"nobody says how long": {0, "", decision.DefaultLife},
		"the Mission says it":  {resource.Duration(time.Hour), "", time.Hour},
		"policy is stricter":   {resource.Duration(time.Hour), `@id("a") @expires("5m") @approvers("finance") ` + ask, 5 * time.Minute},
		"the Mission is":       {resource.Duration(time.Hour), `@id("a") @expires("9h") ` + ask, time.Hour},
		"policy alone says it": {0, `@id("a") @expires("9h") ` + ask, 9 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mission.Decisions[0].Expires = c.rule
			w.policy(c.cedar)
			it := w.admit(w.start(), create("x"))
			d, err := w.store.DecisionOf(t.Context(), acme, it.ID)
			w.must(err)
			if d.ExpiresAt.Sub(d.CreatedAt) != c.expires || d.Team != "finance" || d.TeamID != w.teamID() {
				t.Errorf("it waits %s for %s", d.ExpiresAt.Sub(d.CreatedAt), d.Team)
			}
		})
	}
}
