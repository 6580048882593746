package decision

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// What is known to be secret is shown to nobody. So a Secret whose value stands in
// an action that waits, stored by mistake or to hide the account that money goes
// to, would alter what its approver reads. Such a Decision is held: nothing of the
// action is shown, and nobody can approve it.

// HeldText is how a Decision that is held is shown, everywhere in these words.
const HeldText = "held: its page would be altered"

const (
	heldWhy  = HeldText + ", because a Secret's value stands in the action"
	heldHint = "reject it; or have an admin destroy that version of the Secret (an active one after a rollback or another activation), " +
		"and the action is shown and can be approved as it was proposed; admins and auditors see the Secret's name"
	hidden = "(held)" // in place of a name that has the value in it
)

// Held says that an open Decision is not shown, and what helps.
type Held struct {
	Why  string `json:"why"`
	Hint string `json:"hint"`
	// Secrets are the names of those concerned, see [Item.For].
	Secrets []string `json:"secrets,omitempty"`
	names   []string
}

// For is the item as a person may see it: the names of the Secrets for which it
// is held are for admins and auditors.
func (it Item) For(who ident.Principal) Item {
	if it.Held != nil && who.Tenant == it.Decision.Tenant && who.Kind == ident.Person && (who.Has(ident.Admin) || who.Has(ident.Auditor)) {
		h := *it.Held
		h.Secrets = h.names
		it.Held = &h
	}
	return it
}

// look holds an item whose page a known secret would alter.
func (k *Desk) look(ctx context.Context, it Item) (Item, error) {
	it.Decision.Votes = slices.Clone(it.Decision.Votes)
	for n, v := range it.Decision.Votes { // a Secret may have been stored since
		it.Decision.Votes[n].Reason = k.Clean(it.Decision.Tenant, v.Reason)
	}
	names, err := k.alters(ctx, it)
	it.Decision.Origins = k.cleanOrigins(it)
	if err != nil || len(names) == 0 {
		return it, err
	}
	it.Decision.Origins = nil
	h := Item{Decision: it.Decision, Held: &Held{Why: heldWhy, Hint: heldHint, names: names}}
	i, b := it.Intent, it.Intent.Bound
	shown := func(name string) string { // or not, where the value stands in a name
		if err == nil && name != "" {
			var met []string
			if met, err = k.Known(i.Tenant, []byte(name)); len(met) > 0 {
				return hidden
			}
		}
		return name
	}
	h.Intent = intent.Intent{Tenant: i.Tenant, ID: i.ID, Revision: i.Revision, Run: i.Run, Mission: shown(i.Mission), Starter: i.Starter,
		Connection: shown(i.Connection), Tool: shown(i.Tool), Effect: i.Effect, State: i.State, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
	h.Intent.Bound = intent.Bound{Tenant: b.Tenant, Run: b.Run, Intent: b.Intent, Revision: b.Revision, Mission: h.Intent.Mission,
		Connection: h.Intent.Connection, Integration: shown(b.Integration), Tool: h.Intent.Tool}
	h.Decision.Mission, h.Decision.Needs = h.Intent.Mission, slices.Clone(it.Decision.Needs)
	for n := range h.Decision.Needs {
		h.Decision.Needs[n].Team = shown(h.Decision.Needs[n].Team)
	}
	return h, err
}

// alters names the Secrets that stand in what an open Decision's page would show;
// none for every other Decision. The first time it is written down.
func (k *Desk) alters(ctx context.Context, it Item) ([]string, error) {
	d := it.Decision
	if d.State != Open {
		return nil, nil
	}
	texts, err := shownOf(it)
	if err != nil {
		return nil, err
	}
	names, err := k.Known(d.Tenant, texts...)
	if err != nil || len(names) == 0 || !d.HeldAt.IsZero() {
		return names, err
	}
	if k.Altered != nil { // before it is marked: rather told twice than never
		if err := k.Altered(ctx, d, it.Intent, names); err != nil {
			return nil, &unrecorded{fault.Wrap(fault.Unavailable, "reporting a Decision that is held", err)}
		}
	}
	now := k.Now()
	if err := k.Hold(ctx, d, heldEvent(it, names, now), now); err != nil {
		return nil, &unrecorded{fault.Wrap(fault.Unavailable, "recording a Decision that is held", err)}
	}
	return names, nil
}

// shownOf lists what the page, the API and the command line show of an action:
// all that the digest covers, each text by itself as it would be read, and the
// whole as JSON.
func shownOf(it Item) ([][]byte, error) {
	d, i, b := it.Decision, it.Intent, it.Intent.Bound
	whole, err := json.Marshal(b)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "encoding the action", err)
	}
	out := [][]byte{whole, b.Args, i.Args}
	for _, s := range []string{b.Reason, i.Reason, i.Why, d.Note, b.Mission, b.Connection, b.Tool, b.Integration, b.SecretRef, b.Field, b.Place,
		b.Request.Method + " " + b.Request.URL, b.Request.Body} {
		out = append(out, []byte(s))
	}
	for _, n := range d.Needs {
		out = append(out, []byte(n.Team))
	}
	for _, r := range it.Edits {
		out = append(out, r.Args, []byte(r.Reason))
	}
	for _, n := range it.Notes {
		out = append(out, []byte(n.Text))
	}
	for name, value := range b.Request.Headers {
		out = append(out, []byte(name+": "+value))
	}
	return slices.DeleteFunc(out, func(t []byte) bool { return len(t) == 0 }), nil
}

func heldEvent(it Item, names []string, at time.Time) audit.Event {
	d := it.Decision
	return audit.Event{Type: audit.DecisionHeld, Tenant: d.Tenant, At: at, Actor: "system:desk", Run: d.Run, Mission: d.Mission, Intent: d.Intent,
		Fields: map[string]any{"decision": d.ID, "digest": d.Digest, "teams": teamIDs(d), "secrets": names}}
}
