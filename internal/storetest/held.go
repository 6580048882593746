package storetest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// secretly makes what a text says a Secret's value.
func (o *office) secretly(value, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known = map[string]string{}; value != "" {
		o.known[value] = name
	}
}

// viewer is a person with a role.
func viewer(tenant ident.Tenant, roles ...ident.Role) ident.Principal {
	return ident.Principal{Tenant: tenant, Kind: ident.Person, ID: "acc_viewer", Name: "V", Roles: roles}
}

// wantHeld fails unless nothing of the action is shown, and the names to those
// alone who may see them.
func (o *office) wantHeld(it decision.Item, secret string) {
	o.t.Helper()
	if it.Held == nil || !strings.HasPrefix(it.Held.Why, decision.HeldText) || it.Held.Hint == "" {
		o.t.Fatalf("it is not held: %+v", it)
	}
	for what, who := range map[string]ident.Principal{"an approver": viewer(acme, ident.Approver), "a builder": viewer(acme, ident.Builder), "nobody": {},
		"another tenant's admin": viewer(globex, ident.Admin), "the Worker": {Tenant: acme, Kind: ident.Run, ID: it.Decision.Run}} {
		if got := shownTo(o, it, who); strings.Contains(got, secret) {
			o.t.Errorf("%s is told which Secret it is: %s", what, got)
		}
	}
	for _, role := range []ident.Role{ident.Admin, ident.Auditor} {
		got := it.For(viewer(acme, role))
		if !slices.Equal(got.Held.Secrets, []string{secret}) {
			o.t.Errorf("the role %s sees the Secrets %v", role, got.Held.Secrets)
		}
	}
	for what, text := range map[string]string{"arguments": "Siemens", "reason": "no duplicate", "request": "https://erp.example"} {
		if got := shownTo(o, it, viewer(acme, ident.Admin)); strings.Contains(got, text) {
			o.t.Errorf("the %s are shown: %s", what, got)
		}
	}
}

func shownTo(o *office, it decision.Item, who ident.Principal) string {
	o.t.Helper()
	b, err := json.Marshal(it.For(who))
	o.must(err)
	return string(b)
}

// held: somebody stores a Secret whose value stands in any one part of a waiting
// action. With it gone, the action is there again, word for word.
func held(o *office) {
	for what, value := range map[string]string{"arguments": `"name":"Siemens AG"`, "the reason": "no duplicate was", "the URL": "erp.example/vendors", "the Tool": "createVendor", "the Team": "finance"} {
		o.told = nil
		it := o.park()
		d := it.Decision
		before := shownTo(o, it, viewer(acme, ident.Admin))
		o.secretly(value, "weapon")
		got, err := o.desk.Get(o.ctx, acme, d.ID)
		o.must(err)
		o.wantHeld(got, "weapon")
		if strings.Contains(shownTo(o, got, viewer(acme, ident.Admin)), value) {
			o.t.Errorf("%s: what it is held for is shown", what)
		}
		items, err := o.desk.Queue(o.ctx, acme, decision.Filter{Run: d.Run})
		o.must(err)
		if len(items) != 1 {
			o.t.Fatalf("%s: the queue has %d of it", what, len(items))
		}
		o.wantHeld(items[0], "weapon")
		for _, h := range []*Human{o.ann, o.bob} {
			_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, h), o.Now)
			o.wantCode(err, decision.Altered)
			if !strings.Contains(err.Error(), decision.HeldText) || !fault.Is(err, fault.Conflict) || strings.Contains(err.Error()+fault.HintOf(err), "weapon") {
				o.t.Errorf("%s: the refusal is %v (%s)", what, err, fault.HintOf(err))
			}
		}
		var entries []audit.Entry
		for _, e := range o.entries(acme, audit.DecisionHeld) {
			if e.Fields["decision"] == d.ID {
				entries = append(entries, e)
			}
		}
		if names, _ := entries[0].Fields["secrets"].([]string); len(entries) != 1 || !slices.Equal(names, []string{"weapon"}) || entries[0].Intent != d.Intent {
			o.t.Errorf("%s: the record has %+v", what, entries)
		}
		if want := []string{d.ID + " " + d.Intent + " weapon"}; !slices.Equal(o.told, want) {
			o.t.Errorf("%s: who opens an incident was told %v", what, o.told)
		}
		o.secretly("", "")
		got, err = o.desk.Get(o.ctx, acme, d.ID)
		o.must(err)
		if got.Decision.HeldAt.IsZero() || got.Held != nil {
			o.t.Fatalf("%s: with the Secret gone it is %+v", what, got)
		}
		got.Decision.HeldAt = it.Decision.HeldAt
		if after := shownTo(o, got, viewer(acme, ident.Admin)); after != before {
			o.t.Errorf("%s: it is shown altered:\n%s\n%s", what, before, after)
		}
		_, err = o.desk.Decide(o.ctx, o.request(d, decision.Approve, o.ann), o.Now)
		o.must(err)
		o.wantState(d, decision.Approved, intent.Approved)
	}
}

// heldMeanwhile: the page was whole, and its digest is the right one.
func heldMeanwhile(o *office) {
	it := o.park()
	r := o.request(it.Decision, decision.Approve, o.ann)
	if no, err := o.desk.Would(o.ctx, o.ann.Account.Principal(), it, decision.Approve, o.Now); no != nil || err != nil {
		o.t.Fatalf("ann could not approve: %v, %v", no, err)
	}
	o.secretly("Siemens", "weapon")
	_, err := o.desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.Altered)
	now, err := o.desk.Get(o.ctx, acme, it.Decision.ID)
	o.must(err)
	for v, want := range map[decision.Verdict]decision.Code{decision.Approve: decision.Altered, decision.Reject: ""} {
		no, err := o.desk.Would(o.ctx, o.ann.Account.Principal(), now, v, o.Now)
		o.must(err)
		o.wantCode(no, want)
	}
	if no, err := o.desk.Would(o.ctx, o.eve.Account.Principal(), now, decision.Approve, o.Now); decision.CodeOf(no) != decision.NotInTeam || err != nil {
		o.t.Errorf("who is not in the Team is told %v, %v", no, err)
	}
	if es := o.entries(acme, audit.VerdictRefused); len(es) != 1 || es[0].Fields["why"] != string(decision.Altered) {
		o.t.Errorf("the record has %+v", es)
	}
	// The same factor, since nothing was decided with it: the refusal used it up no more than the page did.
	o.secretly("", "")
	_, err = o.desk.Decide(o.ctx, r, o.Now)
	o.must(err)
	o.wantState(it.Decision, decision.Approved, intent.Approved)
}

func heldEnds(o *office) {
	rejected, withdrawn, expired := o.park().Decision, o.park().Decision, o.park().Decision
	o.secretly("Siemens", "weapon")
	_, err := o.desk.Decide(o.ctx, o.request(rejected, decision.Reject, o.ann), o.Now)
	o.must(err)
	o.wantState(rejected, decision.Rejected, intent.Rejected)
	_, err = o.desk.Withdraw(o.ctx, ident.Principal{Tenant: acme, Kind: ident.Run, ID: withdrawn.Run}, acme, withdrawn.ID, "", o.Now)
	o.must(err)
	o.wantState(withdrawn, decision.Withdrawn, intent.Withdrawn)
	o.Pass(decision.DefaultLife)
	n, err := o.desk.Expire(o.ctx, o.Now)
	o.must(err)
	if o.wantState(expired, decision.Expired, intent.Expired); n != 1 {
		o.t.Errorf("%d expired", n)
	}
	for _, e := range o.entries(acme, audit.IntentDecided) {
		if e.Mission != o.missionName {
			o.t.Errorf("the record names the Mission %q", e.Mission)
		}
	}
}

// heldFailsClosed: what can't be checked, or can't be written down, is neither
// shown nor decided.
func heldFailsClosed(o *office) {
	it := o.park()
	no := fault.New(fault.Unavailable, "no")
	for what, spoil := range map[string]func(*decision.Config){
		"nobody knows the secrets": func(c *decision.Config) {
			c.Known = func(ident.Tenant, ...[]byte) ([]string, error) { return nil, no }
		},
		"it can't be recorded": func(c *decision.Config) {
			o.secretly("Siemens", "weapon")
			c.Hold = func(context.Context, decision.Decision, audit.Event, time.Time) error { return no }
		},
		"nobody can be told": func(c *decision.Config) {
			o.secretly("Siemens", "weapon")
			c.Altered = func(context.Context, decision.Decision, intent.Intent, []string) error { return no }
		},
	} {
		c := o.desk.Config
		spoil(&c)
		desk, err := decision.NewDesk(c)
		o.must(err)
		r := o.request(it.Decision, decision.Approve, o.ann)
		_, err = desk.Decide(o.ctx, r, o.Now)
		_, err2 := desk.Get(o.ctx, acme, it.Decision.ID)
		list, err3 := desk.Queue(o.ctx, acme, decision.Filter{})
		if err3 == nil && len(list) == 1 && list[0].Decision.Refused != "" && list[0].Intent.Args == nil && list[0].Decision.Digest == "" && what != "nobody knows the secrets" {
			err3 = no // it alone is not shown
		}
		for _, err := range []error{err, err2, err3} {
			if !fault.Is(err, fault.Unavailable) {
				o.t.Errorf("%s: %v", what, err)
			}
		}
		o.secretly("", "")
		if n := len(o.entries(acme, audit.DecisionHeld)); n != 0 {
			o.t.Errorf("%s: the record has %d of them", what, n)
		}
	}
	o.wantState(it.Decision, decision.Open, intent.Parked)
	c := o.desk.Config
	c.Known = nil
	if _, err := decision.NewDesk(c); err == nil {
		o.t.Error("there is a Desk that knows no secrets")
	}
	// Two looks at the same time are one entry.
	o.secretly("Siemens", "weapon")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, err := o.desk.Get(o.ctx, acme, it.Decision.ID); err != nil || got.Held == nil {
				o.t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := len(o.entries(acme, audit.DecisionHeld)); n != 1 || len(o.told) == 0 {
		o.t.Errorf("the record has %d of them, %v were told", n, o.told)
	}
}
