package api

import (
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Shown is a Decision with the exact action, and what its Worker had seen before.
type Shown struct {
	decision.Item
	// StartedBy is the name of who started the Run.
	StartedBy string `json:"startedBy,omitempty"`
	// Stops are what holds the action up, whatever is decided.
	Stops []intent.Stop `json:"stops,omitempty"`
	// Cannot lists the verdicts that would not count if the caller gave them now, with
	// why: to be looked at before a one-time code is spent. It promises nothing.
	Cannot []Cannot `json:"cannot,omitempty"`
	// Evidence is not there while the Decision is held.
	Evidence []explain.Evidence `json:"evidence"`
	// EvidenceCut: the rail has more before the first of it.
	EvidenceCut bool `json:"evidenceCut,omitempty"`
}

// Cannot is a verdict that would be refused.
type Cannot struct {
	Verdict decision.Verdict `json:"verdict"`
	Code    decision.Code    `json:"code,omitempty"` // empty: for want of the role
	Kind    fault.Kind       `json:"kind"`
	Detail  string           `json:"detail"`
	Hint    string           `json:"hint,omitempty"`
}

// RunShown is a Run with what holds it up.
type RunShown struct {
	intent.Run
	Stops []intent.Stop `json:"stops,omitempty"`
}

// IntentShown is an Intent with what holds it up.
type IntentShown struct {
	intent.Intent
	Stops []intent.Stop `json:"stops,omitempty"`
}

func (a *API) showDecision(c *call, _ none) (out Shown, err error) {
	if out.Item, err = a.item(c); err != nil {
		return Shown{}, err
	}
	d := out.Decision
	if out.Held == nil {
		if out.Evidence, out.EvidenceCut, err = a.Rail.Evidence(c.Context(), c.who.Tenant, d.Run, d.CreatedAt); err != nil {
			return Shown{}, err
		}
	}
	out.Evidence = emptied(out.Evidence)
	r, err := a.Store.Run(c.Context(), c.who.Tenant, d.Run)
	if err != nil {
		return Shown{}, err
	}
	out.StartedBy = r.StarterName
	if !out.Intent.State.Final() && (d.State == decision.Open || d.State == decision.Approved) {
		if out.Stops, err = a.holding(c, r.Use(out.Intent.Connection)); err != nil {
			return Shown{}, err
		}
	}
	out.Cannot, err = a.cannot(c, out.Item)
	return out, err
}

// cannot asks the Desk what it would say to each verdict.
func (a *API) cannot(c *call, it decision.Item) (out []Cannot, err error) {
	for _, v := range []decision.Verdict{decision.Approve, decision.Reject, decision.Glass} {
		no, err := a.Desk.Would(c.Context(), c.who, it, v, a.Now())
		if err != nil {
			return nil, err
		}
		if no == nil && v != decision.Glass && !c.who.Has(ident.Approver) {
			no = fault.New(fault.Denied, "your account does not have the role approver")
		}
		if no != nil {
			out = append(out, Cannot{v, decision.CodeOf(no), fault.KindOf(no), no.Error(), fault.HintOf(no)})
		}
	}
	return out, nil
}

// holding lists the stops that hold up a use. Who threw one, and why, is for people.
func (a *API) holding(c *call, u intent.Use) (out []intent.Stop, err error) {
	all, err := a.Gate.Stops.Stops(c.Context(), c.who.Tenant)
	for _, s := range all {
		if !s.Holds(u) {
			continue
		}
		if c.who.Kind != ident.Person {
			s.By, s.ByName, s.Reason = "", "", ""
		}
		out = append(out, s)
	}
	return out, err
}

func (a *API) showRun(c *call, _ none) (out RunShown, err error) {
	if out.Run, err = a.run(c); err == nil && out.State != intent.RunEnded {
		out.Stops, err = a.holding(c, out.Run.Use(""))
	}
	return out, err
}

func (a *API) showIntent(c *call, _ none) (out IntentShown, err error) {
	r, err := a.run(c)
	if err != nil {
		return out, err
	}
	out.Intent, err = a.Store.Intent(c.Context(), r.Tenant, c.PathValue("intent"))
	if err != nil || out.Intent.Run != r.ID {
		return IntentShown{}, fault.New(fault.NotFound, "the Run has no such Intent")
	}
	if !out.State.Final() {
		out.Stops, err = a.holding(c, r.Use(out.Connection))
	}
	return out, err
}
