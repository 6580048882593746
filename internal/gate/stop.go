package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Stops keeps what people have stopped. The store of the Intents keeps them too:
// it compares each claim with them, in one order.
type Stops interface {
	Stops(ctx context.Context, tenant ident.Tenant) ([]intent.Stop, error)
	// SetStop stores a stop; of one that is there already it gives that one.
	SetStop(ctx context.Context, s intent.Stop, ev audit.Event, o []explain.Observation) (intent.Stop, error)
	// LiftStop takes one away; kind NotFound.
	LiftStop(ctx context.Context, tenant ident.Tenant, kind intent.StopKind, name string, ev audit.Event, o []explain.Observation, at time.Time) error
	// OpenRuns lists the Runs of every tenant that have not ended.
	OpenRuns(ctx context.Context) ([]intent.Run, error)
}

// stopped is an [intent.Stopped] when a person has stopped the candidate's Run or
// Mission, or the Connection, if one is given. What can't be read stops too.
func (g *Gate) stopped(ctx context.Context, c *candidate, connection string) error {
	list, err := g.Stops.Stops(ctx, c.it.Tenant)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "reading what is stopped", err)
	}
	for _, s := range list {
		if s.Holds(c.run.Use(connection)) {
			return &intent.Stopped{Stop: s}
		}
	}
	return nil
}

// Halt names what is to be stopped, or resumed.
type Halt struct {
	Kind   intent.StopKind `json:"kind"`
	Name   string          `json:"name,omitempty"`
	Reason string          `json:"reason"` // one line, at most 300 bytes
}

// Stop throws the kill switch. When it has returned, no attempt that it holds up
// is claimed any more, and no write that was not SENDING by then sends a byte. An
// admin may stop anything; an approver a Mission whose Decisions are a Team's of
// theirs, and its Runs; the owner of an outside Worker that Worker. What is stopped already stays so, and is given.
func (g *Gate) Stop(ctx context.Context, who ident.Principal, h Halt) (intent.Stop, error) {
	h.Reason = strings.TrimSpace(h.Reason)
	if err := h.check(); err != nil {
		return intent.Stop{}, err
	}
	if err := g.mayStop(ctx, who, h); err != nil {
		return intent.Stop{}, err
	}
	reason := (&candidate{it: intent.Intent{Tenant: who.Tenant}}).clip(g, h.Reason)
	if !who.Has(ident.Admin) && !who.Has(ident.Approver) {
		reason = byOwner
	}
	list, _ := g.Stops.Stops(ctx, who.Tenant) // where it can't be read, the stop is tried all the same
	for _, s := range list {
		if s.Kind == h.Kind && s.Name == h.Name {
			return s, nil
		}
	}
	s := intent.Stop{Tenant: who.Tenant, Kind: h.Kind, Name: h.Name, Since: g.Now(), By: who.String(), ByName: who.Name, Reason: reason}
	observed, err := g.affected(ctx, s, "Stopped by "+who.Name, "No credential is used for it until an admin resumes it. What was approved waits. The reason: "+reason)
	if err != nil {
		return intent.Stop{}, err
	}
	s, err = g.Stops.SetStop(ctx, s, audit.Event{Type: audit.StopSet, Tenant: s.Tenant, At: s.Since, Actor: s.By,
		Fields: map[string]any{"kind": string(s.Kind), "name": s.Name, "why": reason}}, observed)
	g.wake(observed)
	return s, err
}

// byOwner is the reason of a stop by somebody without a role. Their own words stay
// out of it: a reason is shown to everybody who is signed in, and comes back scrubbed,
// which would tell them whether they have guessed a secret.
const byOwner = "the Worker's owner stopped it"

func (h Halt) check() error {
	switch {
	case !slices.Contains(intent.StopKinds, h.Kind):
		return fault.Newf(fault.Invalid, "%q is nothing that can be stopped", fault.Quote(string(h.Kind))).WithHint("it is run, mission, connection, worker or all")
	case (h.Kind == intent.StopAll) != (h.Name == ""):
		return fault.New(fault.Invalid, "a Run, a Mission, a Connection or a Worker has a name, and all has none")
	case h.Reason == "" || len(h.Reason) > maxWhy:
		return fault.Newf(fault.Invalid, "say why, in at most %d bytes", maxWhy)
	}
	return nil
}

// mayStop checks who asks, and that there is what they name.
func (g *Gate) mayStop(ctx context.Context, who ident.Principal, h Halt) error {
	denied := fault.New(fault.Denied, "only an admin may stop this; nothing was stopped").
		WithHint("an approver stops a Mission whose Decisions are a Team's of theirs, and its Runs; an owner their Worker")
	switch {
	case !who.Valid() || who.Kind != ident.Person:
		return denied
	case h.Kind == intent.StopWorker && !who.Has(ident.Admin):
		if g.answersFor(ctx, who, h.Name) {
			return nil
		}
		return denied // also of what does not exist
	case !who.Has(ident.Admin) && !who.Has(ident.Approver):
		return denied
	}
	world, err := g.World(who.Tenant)
	if err != nil {
		if who.Has(ident.Admin) && (h.Kind == intent.StopAll || h.Kind == intent.StopRun || h.Kind == intent.StopWorker) {
			return nil // whatever is wrong: this still works
		}
		return err
	}
	mission, there := h.Name, true
	switch h.Kind {
	case intent.StopRun:
		r, err := g.Runs.Run(ctx, who.Tenant, h.Name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		mission, there = r.Mission, err == nil
		if there && r.State == intent.RunEnded {
			return fault.New(fault.Conflict, "the Run has ended")
		}
	case intent.StopMission:
		_, there = world.Catalog.Mission(h.Name)
	case intent.StopConnection:
		_, there = world.Catalog.Connection(h.Name)
		mission = ""
	case intent.StopWorker:
		mission, there = "", false
		for _, r := range world.Catalog.Resources() {
			w, ok := r.(*resource.Worker)
			there = there || ok && w.Name == h.Name
		}
	case intent.StopAll:
		mission = ""
	}
	if !who.Has(ident.Admin) {
		if there = there && mission != ""; !there {
			return denied // also of what does not exist
		}
		return g.decidesOn(ctx, who, world, mission, denied)
	}
	if !there {
		return fault.Newf(fault.NotFound, "there is no %s %q", h.Kind, fault.Quote(h.Name))
	}
	return nil
}

// answersFor says whether a person is the owner of an outside Worker.
func (g *Gate) answersFor(ctx context.Context, who ident.Principal, worker string) bool {
	if g.Workers == nil {
		return false
	}
	_, owner, err := g.Workers.Standing(ctx, who.Tenant, worker)
	return err == nil && owner == who.ID
}

// decidesOn says whether a Mission's Decisions are a Team's of the caller.
func (g *Gate) decidesOn(ctx context.Context, who ident.Principal, world World, mission string, no error) error {
	m, ok := world.Catalog.Mission(mission)
	if !ok {
		return no
	}
	for _, rule := range m.Decisions {
		_, err := g.Decisions.MemberSince(ctx, who.Tenant, world.Catalog.TeamID(rule.Team), who.ID)
		if err == nil || !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return no
}

// ResumeAct is what an admin confirms with a fresh proof to lift a stop.
func ResumeAct(h Halt, who ident.Principal) intent.Digest {
	b, err := intent.Marshal(map[string]any{"tenant": who.Tenant, "account": who.ID, "kind": h.Kind, "name": h.Name, "reason": h.Reason})
	if err != nil {
		return "" // equals no digest
	}
	sum := sha256.Sum256(append([]byte("sallyport resume v1\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:]))
}

// Resume lifts a stop: an admin does, with a fresh proof. What waited goes on, if
// its Decision still holds. Errors: Denied, NotFound, Invalid.
func (g *Gate) Resume(ctx context.Context, who ident.Principal, h Halt, f decision.Factor) error {
	now := g.Now()
	switch {
	case !who.Valid() || who.Kind != ident.Person || !who.Has(ident.Admin):
		return fault.New(fault.Denied, "only an admin resumes what was stopped")
	case f.ID == "" || f.Tenant != who.Tenant || f.Account != who.ID || !f.For.Equal(ResumeAct(h, who)) || now.Sub(f.At) > decision.FactorLife || f.At.After(now):
		return fault.New(fault.Denied, "to resume takes a fresh proof of who does it").WithHint("give your password and a one-time code with it")
	}
	h.Reason = strings.TrimSpace(h.Reason)
	if err := h.check(); err != nil {
		return err
	}
	reason := (&candidate{it: intent.Intent{Tenant: who.Tenant}}).clip(g, h.Reason)
	s := intent.Stop{Tenant: who.Tenant, Kind: h.Kind, Name: h.Name}
	observed, err := g.affected(ctx, s, "Resumed by "+who.Name, "What waited goes on. The reason: "+reason)
	if err != nil {
		return err
	}
	err = g.Stops.LiftStop(ctx, who.Tenant, h.Kind, h.Name, audit.Event{Type: audit.StopLifted, Tenant: who.Tenant, At: now, Actor: who.String(),
		Fields: map[string]any{"kind": string(h.Kind), "name": h.Name, "why": reason, "factor": f.ID}}, observed, now)
	g.wake(observed)
	return err
}

// affected makes the Observation for each Run that goes on and that the stop holds
// up, wholly or in part.
func (g *Gate) affected(ctx context.Context, s intent.Stop, title, text string) ([]explain.Observation, error) {
	runs, err := g.Stops.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	holds := map[string]bool{} // Missions that hold the Connection
	if world, err := g.World(s.Tenant); err == nil && s.Kind == intent.StopConnection {
		for _, r := range runs {
			if m, ok := world.Catalog.Mission(r.Mission); ok {
				holds[r.Mission] = slices.Contains(append(slices.Clone(m.Connections), m.Model), s.Name)
			}
		}
	}
	if s.Kind != intent.StopAll {
		title += ": the " + string(s.Kind) + " " + s.Name
	}
	var out []explain.Observation
	for _, r := range runs {
		if r.Tenant == s.Tenant && (holds[r.Mission] || s.Holds(r.Use(""))) {
			out = append(out, g.Rail.Clean(explain.Observation{Tenant: r.Tenant, Run: r.ID, At: g.Now(), Kind: explain.Check, Title: title, Text: text}))
		}
	}
	return out, nil
}

func (g *Gate) wake(observed []explain.Observation) {
	for _, o := range observed {
		g.Rail.Wake(o.Tenant, o.Run)
	}
}
