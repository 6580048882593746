package api

import (
	"cmp"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
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
	Password string           `json:"password"`
	Code     string           `json:"code"` // one-time code
}

// Resolution is a person's word on a write whose outcome nothing could find out.
type Resolution struct {
	Applied bool   `json:"applied"`
	Why     string `json:"why"`
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
	handle(a, "GET", "/v1/decisions/{decision}", "Show a Decision with the exact action", viewers, func(c *call, _ none) (decision.Item, error) {
		return a.item(c)
	})
	handle(a, "POST", "/v1/decisions/{decision}", "Approve or reject, with password and one-time code; where several people are needed, one vote", with(ident.Approver), a.decide)
	a.watch(viewers)
	a.morePeople()
	handle(a, "GET", "/v1/unknown", "The writes whose outcome a person has to find out", with(ident.Admin, ident.Auditor), func(c *call, _ none) (Intents, error) {
		l, err := a.Store.IntentsIn(c.Context(), c.who.Tenant, intent.NeedsHuman)
		return Intents{emptied(l)}, err
	})
	handle(a, "POST", "/v1/intents/{intent}/resolution", "Say what became of a write whose outcome is unknown", with(ident.Admin), func(c *call, in Resolution) (intent.Intent, error) {
		return a.Gate.Resolve(c.Context(), c.who, c.PathValue("intent"), in.Applied, in.Why)
	})
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
	// Without a proof or a verdict, or where no verdict of this kind can count, it
	// goes to the Desk as it is, which refuses it on the record.
	known := in.Verdict == decision.Approve || in.Verdict == decision.Reject || in.Verdict == decision.Glass
	if held := it.Held != nil && in.Verdict != decision.Reject; !held && in.Password != "" && in.Code != "" && known {
		if r.Factor, err = a.factor(c, in.Password, in.Code, it.Decision.Act(in.Verdict, c.who.ID)); err != nil {
			return decision.Decision{}, err
		}
	}
	return a.Desk.Decide(c.Context(), r, a.Now())
}

// factor confirms that a person means one act.
func (a *API) factor(c *call, password, code string, act intent.Digest) (*decision.Factor, error) {
	f, err := a.Directory.Confirm(c.Context(), c.who, password, code, act, a.Now())
	if err != nil {
		return nil, err
	}
	out := decision.Factor(f)
	return &out, nil
}
