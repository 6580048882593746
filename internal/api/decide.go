package api

import (
	"cmp"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// Queue is a page of the Decision Queue, the oldest first.
type Queue struct {
	Items []decision.Item `json:"items"`
}

// Verdict is a person's verdict with their fresh proof. A session's token alone
// decides nothing.
type Verdict struct {
	Verdict  decision.Verdict `json:"verdict"` // approve or reject
	Digest   intent.Digest    `json:"digest"`  // of the action that was looked at
	Reason   string           `json:"reason,omitempty"`
	Password string           `json:"password,omitempty"`
	Code     string           `json:"code,omitempty"`    // one-time code
	Passkey  *identity.Answer `json:"passkey,omitempty"` // in place of both: a passkey's answer to the route "challenge"
}

// Resolution is a person's word on a write whose outcome nothing could find out,
// with their fresh proof.
type Resolution struct {
	Revision int          `json:"revision"` // of the Intent, as it was looked for
	Finding  gate.Finding `json:"finding"`  // applied, not_applied, or again: it was not, and approvers are asked anew
	Why      string       `json:"why"`      // how they know; one line, at most 300 bytes
	Fresh
}

func (a *API) decisions() {
	viewers := with(ident.Approver, ident.Auditor, ident.Admin)
	handle(a, "GET", "/v1/decisions", "The Decision Queue; ?state= (default open), ?run=, ?mine=true, ?after=", viewers, func(c *call, _ none) (Queue, error) {
		f := decision.Filter{State: decision.State(c.FormValue("state")), Run: c.FormValue("run"), After: c.FormValue("after"), Limit: limit(c, 50)}
		if f.State == "" {
			f.State = decision.Open
		}
		if f.State == "all" {
			f.State = ""
		} else if !slices.Contains(decision.States, f.State) {
			return Queue{}, fault.Newf(fault.Invalid, "%s is no state of a Decision", fault.Quote(string(f.State))).
				WithHint("open, approved, rejected, expired, withdrawn, void, or all")
		}
		if c.FormValue("mine") == "true" || !c.who.Has(ident.Auditor) && !c.who.Has(ident.Admin) {
			f.Member = c.who.ID
		}
		items, err := a.Desk.Queue(c.Context(), c.who.Tenant, f)
		for i := range items {
			items[i] = items[i].For(c.who)
		}
		return Queue{emptied(items)}, err
	})
	handle(a, "GET", "/v1/decisions/{decision}", "Show a Decision with the exact action", viewers, a.showDecision)
	handle(a, "POST", "/v1/decisions/{decision}", "Approve or reject, with a passkey or with password and one-time code; where several people are needed, one vote", with(ident.Approver), a.decide)
	a.watch(viewers)
	a.morePeople()
	handle(a, "GET", "/v1/unknown", "The writes whose outcome a person has to find out", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Intents, error) {
		l, err := a.Store.IntentsIn(c.Context(), c.who.Tenant, intent.NeedsHuman)
		return Intents{emptied(l)}, err
	})
	handle(a, "POST", "/v1/intents/{intent}/resolution", "Say what became of a write whose outcome is unknown, with password and one-time code", with(ident.Admin), a.resolve)
}

func (a *API) resolve(c *call, in Resolution) (intent.Intent, error) {
	r := gate.Resolution{Finding: in.Finding, Revision: in.Revision, Why: in.Why}
	q, err := a.Gate.Ask(c.Context(), c.who, c.PathValue("intent"), r)
	if err != nil {
		return intent.Intent{}, err
	}
	if in.Password == "" || in.Code == "" {
		return intent.Intent{}, fault.New(fault.Denied, "this word takes the password and a one-time code")
	}
	f, err := a.Directory.Authorize(c.Context(), c.who, in.Password, in.Code, q.Act(r, c.who.ID), a.Now())
	if err != nil {
		return intent.Intent{}, err
	}
	r.Factor = decision.Factor(f)
	return a.Gate.Resolve(c.Context(), c.who, c.PathValue("intent"), r)
}

// item loads the Decision of the path, if the caller may see it. What they may
// not see does not exist for them.
func (a *API) item(c *call) (decision.Item, error) {
	it, err := a.Desk.Get(c.Context(), c.who.Tenant, c.PathValue("decision"))
	if err != nil {
		return it, err
	}
	if sees, err := a.Desk.SeesDecision(c.Context(), c.who, it.Decision); err != nil || !sees {
		return decision.Item{}, cmp.Or(err, decision.Refuse(decision.OtherTenant))
	}
	return it.For(c.who), nil
}

func (a *API) decide(c *call, in Verdict) (decision.Decision, error) {
	if in.Verdict == decision.Glass {
		return decision.Decision{}, fault.New(fault.Invalid, "breaking the glass has a route of its own").WithHint("POST /v1/decisions/{decision}/break-glass")
	}
	return a.give(c, in)
}

// give hands a verdict with its proof to the Desk.
func (a *API) give(c *call, in Verdict) (decision.Decision, error) {
	it, err := a.Desk.Get(c.Context(), c.who.Tenant, c.PathValue("decision"))
	if err != nil {
		return decision.Decision{}, err
	}
	r := decision.Request{Tenant: c.who.Tenant, Decision: it.Decision.ID, Verdict: in.Verdict, Digest: in.Digest, Reason: in.Reason, Who: c.who}
	if r.Factor, err = a.factor(c, in, it); err != nil {
		return decision.Decision{}, err
	}
	return a.Desk.Decide(c.Context(), r, a.Now())
}
