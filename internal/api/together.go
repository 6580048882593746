package api

import (
	"cmp"
	"encoding/json"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// Glass is an admin's approval in place of the Teams; it takes two admins.
type Glass struct {
	Digest   intent.Digest    `json:"digest"` // of the action that was looked at
	Reason   string           `json:"reason"`
	Password string           `json:"password,omitempty"`
	Code     string           `json:"code,omitempty"`
	Passkey  *identity.Answer `json:"passkey,omitempty"` // in place of both
}

// Verdicts is one verdict on several Decisions that are alike: all count, or none.
type Verdicts struct {
	Verdict   decision.Verdict `json:"verdict"`   // approve or reject
	Decisions []decision.Seen  `json:"decisions"` // at most 50, each as it was looked at
	Reason    string           `json:"reason,omitempty"`
	Password  string           `json:"password"`
	Code      string           `json:"code"`
}

// Decided lists what became of several.
type Decided struct {
	Decisions []decision.Decision `json:"decisions"`
}

// Edit changes the arguments of an action that waits. It approves nothing.
type Edit struct {
	Digest intent.Digest   `json:"digest"` // of the action that was looked at
	Args   json.RawMessage `json:"args"`   // all of them
	Reason string          `json:"reason,omitempty"`
}

// Question is one to who started the Run.
type Question struct {
	Digest intent.Digest `json:"digest"` // of the action that was looked at
	Text   string        `json:"text"`
}

// Answer is one to a question.
type Answer struct {
	Text string `json:"text"`
}

// Notes are questions and answers, the oldest first.
type Notes struct {
	Notes []decision.Note `json:"notes"`
}

// morePeople is what several people do about one Decision, and one about several.
func (a *API) morePeople() {
	handle(a, "POST", "/v1/decisions", "Approve or reject several of one Connection and Tool, with one confirmation: all or none", with(ident.Approver), a.decideAll)
	handle(a, "POST", "/v1/decisions/{decision}/break-glass", "Approve in place of the Teams, with a reason; it takes two admins", with(ident.Admin),
		func(c *call, in Glass) (decision.Decision, error) {
			return a.give(c, Verdict{Verdict: decision.Glass, Digest: in.Digest, Reason: in.Reason, Password: in.Password, Code: in.Code, Passkey: in.Passkey})
		})
	handle(a, "POST", "/v1/decisions/{decision}/edit", "Change the arguments of what waits: votes are void, and it is voted on anew", with(ident.Approver),
		func(c *call, in Edit) (decision.Decision, error) {
			if _, err := a.item(c); err != nil {
				return decision.Decision{}, err
			}
			return a.Gate.Edit(c.Context(), c.who, gate.Edit{Decision: c.PathValue("decision"), Seen: in.Digest, Args: in.Args, Reason: in.Reason})
		})
	handle(a, "POST", "/v1/decisions/{decision}/questions", "Ask who started the Run about what waits", with(ident.Approver), func(c *call, in Question) (decision.Note, error) {
		if _, err := a.item(c); err != nil {
			return decision.Note{}, err
		}
		return a.Desk.Ask(c.Context(), c.who, c.PathValue("decision"), in.Digest, in.Text, a.Now())
	})
	handle(a, "POST", "/v1/decisions/{decision}/questions/{question}/answer", "Answer a question about an action of a Run that you started", signedIn, func(c *call, in Answer) (decision.Note, error) {
		return a.Desk.Answer(c.Context(), c.who, c.PathValue("decision"), c.PathValue("question"), in.Text, a.Now())
	})
	handle(a, "GET", "/v1/runs/{run}/questions", "The questions about a Run's actions, with their answers", signedIn, func(c *call, _ none) (Notes, error) {
		r, err := a.run(c)
		if err != nil {
			return Notes{}, err
		}
		l, err := a.Desk.Questions(c.Context(), c.who.Tenant, r.ID)
		return Notes{emptied(l)}, err
	})
}

func (a *API) decideAll(c *call, in Verdicts) (Decided, error) {
	r := decision.Together{Tenant: c.who.Tenant, List: in.Decisions, Verdict: in.Verdict, Reason: in.Reason, Who: c.who}
	ids := make([]string, len(in.Decisions))
	for i, s := range in.Decisions {
		ids[i] = s.Decision
	}
	items, act, err := a.Desk.Alike(c.Context(), c.who.Tenant, ids, in.Verdict, c.who.ID)
	if err != nil {
		return Decided{}, err
	}
	for _, it := range items {
		if sees, err := a.Desk.SeesDecision(c.Context(), c.who, it.Decision); err != nil || !sees {
			return Decided{}, cmp.Or(err, decision.Refuse(decision.OtherTenant))
		}
	}
	spend := in.Password != "" && in.Code != "" && !slices.ContainsFunc(items, func(it decision.Item) bool { return it.Decision.Passkey })
	if spend { // else the Desk refuses it on the record
		if r.Factor, err = a.freshly(c, in.Password, in.Code, act); err != nil {
			return Decided{}, err
		}
	}
	l, err := a.Desk.DecideAll(c.Context(), r, a.Now())
	return Decided{emptied(l)}, err
}
