package api

import (
	"context"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Retainer erases bodies, and keeps them.
type Retainer interface {
	EraseRun(ctx context.Context, who ident.Principal, run, why string) (actions int64, err error)
	Holds(ctx context.Context, t ident.Tenant) ([]intent.Hold, error)
	SetHold(ctx context.Context, who ident.Principal, kind intent.HoldKind, name, why string) (intent.Hold, error)
	LiftHold(ctx context.Context, who ident.Principal, kind intent.HoldKind, name, why string) error
}

// EraseRun asks for a Run's bodies to be erased, with a fresh proof.
type EraseRun struct {
	Why string `json:"why"` // one line, for the record
	Fresh
}

// Erased says what was.
type Erased struct {
	Run     string `json:"run"`
	Actions int64  `json:"actions"` // whose arguments and answers are gone
}

// Holds lists legal holds, the oldest first.
type Holds struct {
	Holds []intent.Hold `json:"holds"`
}

// SetHold asks for a legal hold.
type SetHold struct {
	Kind intent.HoldKind `json:"kind"` // run, mission, record
	Name string          `json:"name"`
	Why  string          `json:"why"` // one line, for the record
}

// LiftHold asks for one to be lifted, with a fresh proof.
type LiftHold struct {
	SetHold
	Fresh
}

func (a *API) retention() {
	admin := with(ident.Admin)
	handle(a, "POST", "/v1/runs/{run}/erase", "Erase a Run's form, arguments, answers, transcript and rail, with password and one-time code", admin, func(c *call, in EraseRun) (Erased, error) {
		run := c.PathValue("run")
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "run.erase", "run": run}); err != nil {
			return Erased{}, err
		}
		n, err := a.Retainer.EraseRun(c.Context(), c.who, run, in.Why)
		return Erased{run, n}, err
	})
	handle(a, "GET", "/v1/holds", "List legal holds", with(ident.Auditor, ident.Admin), func(c *call, _ none) (Holds, error) {
		l, err := a.Retainer.Holds(c.Context(), c.who.Tenant)
		return Holds{emptied(l)}, err
	})
	handle(a, "POST", "/v1/holds", "Hold what a Run, a Mission's Runs, or the Runs that touched a record have: nothing of it is erased", with(ident.Auditor, ident.Admin), func(c *call, in SetHold) (intent.Hold, error) {
		return a.Retainer.SetHold(c.Context(), c.who, in.Kind, in.Name, in.Why)
	})
	handle(a, "POST", "/v1/holds/lift", "Lift a legal hold, with password and one-time code", admin, func(c *call, in LiftHold) (none, error) {
		if err := a.authorize(c, in.Fresh, map[string]any{"act": "hold.lift", "kind": string(in.Kind), "name": in.Name}); err != nil {
			return none{}, err
		}
		return none{}, a.Retainer.LiftHold(c.Context(), c.who, in.Kind, in.Name, in.Why)
	})
}
