package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Workers knows the outside Workers.
type Workers interface {
	// Standing finds one that may act, with the account of who answers for it;
	// Denied when there is none of that name, or it may not.
	Standing(ctx context.Context, tenant ident.Tenant, name string) (w *resource.Worker, owner string, err error)
}

// AsRun is an outside Worker as one of its Runs, for the calls that a Run makes: what
// it does is on the record with how it has shown who it is.
func AsRun(who ident.Principal, r intent.Run) ident.Principal {
	return ident.Principal{Tenant: r.Tenant, Kind: ident.Run, ID: r.ID, Name: r.ID, Auth: who.Auth}
}

// WorkerRun is an outside Worker's Run of a Mission that lists it: the one that it has
// open, or a new one where start says so. A Worker has one open Run of a Mission.
// Errors: Denied, with one text for a Mission that does not exist and for one that does
// not list it; NotFound when none is open and none is to be started; Conflict when the
// open one has another input; Limit; Invalid.
func (g *Gate) WorkerRun(ctx context.Context, who ident.Principal, mission string, input json.RawMessage, start bool) (intent.Run, error) {
	var none intent.Run
	if err := g.Machine.Halted(); err != nil {
		return none, err
	}
	if !who.Valid() || who.Kind != ident.Worker || g.Workers == nil {
		return none, fault.New(fault.Denied, "only an outside Worker starts a Run of its own")
	}
	o, err := g.outsider(ctx, who.Tenant, who.ID, mission)
	if err != nil {
		return none, err
	}
	open, err := g.WorkerRuns.OpenRunOf(ctx, who.Tenant, mission, who.String())
	if err == nil {
		return g.sameRun(who, open, input)
	}
	if !fault.Is(err, fault.NotFound) {
		return none, err
	}
	if !start {
		return none, fault.Newf(fault.NotFound, "no Run of the Mission %s is open", o.mission.Name).WithHint("start one")
	}
	return g.startFor(ctx, who, o, input)
}

// sameRun is the open Run, unless another is asked for.
func (g *Gate) sameRun(who ident.Principal, open intent.Run, input json.RawMessage) (intent.Run, error) {
	if len(input) > 0 {
		c, err := intent.Canonical(input)
		if err != nil || len(input) > 2*maxInput {
			return intent.Run{}, fault.New(fault.Invalid, "the input is too large, or not JSON")
		}
		if !bytes.Equal(c, open.Input) {
			return intent.Run{}, fault.New(fault.Conflict, "a Run of this Mission is open, with another input").WithHint("end it first")
		}
	}
	if who.Auth.How != "" {
		open.Auth = who.Auth.How
	}
	return open, nil
}

// startFor starts a Run in the Worker's own name.
func (g *Gate) startFor(ctx context.Context, who ident.Principal, o *outsider, in json.RawMessage) (intent.Run, error) {
	if err := g.mayType(who); err != nil {
		return intent.Run{}, err
	}
	if err := g.take(ctx, who.Tenant, o); err != nil {
		return intent.Run{}, err
	}
	if err := g.stopped(ctx, &candidate{run: intent.Run{Mission: o.mission.Name, Starter: who.String()}, it: intent.Intent{Tenant: who.Tenant}}, ""); err != nil {
		return intent.Run{}, err
	}
	input, err := g.input(ctx, who, o.mission, in)
	if err != nil {
		return intent.Run{}, g.typedInVain(who, err)
	}
	n := g.newRun(who, o.mission, Start{Mission: o.mission.Name, Via: "worker", Outside: true}, input)
	n.Alone, n.Quotas = true, o.quotas("open Runs", func(l resource.WorkerLimits) int { return l.OpenRuns })
	got, err := g.Runs.CreateRun(ctx, n)
	if err != nil {
		return intent.Run{}, g.orExceeded(ctx, who.Tenant, who.ID, err)
	}
	return g.sameRun(who, got, input)
}

// Offer is what an outside Worker is told of a Mission that lists it before it has a Run
// of it: a Brief without one. Errors: those of WorkerRun.
func (g *Gate) Offer(ctx context.Context, who ident.Principal, mission string) (intent.Brief, error) {
	if !who.Valid() || who.Kind != ident.Worker {
		return intent.Brief{}, notListed
	}
	o, err := g.outsider(ctx, who.Tenant, who.ID, mission)
	if err != nil {
		return intent.Brief{}, err
	}
	world, err := g.World(who.Tenant)
	if err != nil {
		return intent.Brief{}, err
	}
	return briefOf(world.Catalog, o.mission), nil
}

// outsider is an outside Worker at a Mission, with whom its limits are counted together.
type outsider struct {
	worker  *resource.Worker
	owner   string   // account
	peers   []string // the principals of the owner's Workers, itself among them
	mission *resource.Mission
}

var notListed = fault.New(fault.Denied, "the Mission is not one of this Worker's").
	WithHint("a builder lists the Worker under the Mission's workers")

// outsider finds a Worker that may act, at a Mission that lists it.
func (g *Gate) outsider(ctx context.Context, tenant ident.Tenant, name, mission string) (*outsider, error) {
	if g.Workers == nil {
		return nil, notListed
	}
	w, owner, err := g.Workers.Standing(ctx, tenant, name)
	if err != nil {
		return nil, err
	}
	world, err := g.World(tenant)
	if err != nil {
		return nil, err
	}
	m, ok := world.Catalog.Mission(mission)
	if !ok || !slices.Contains(m.Workers, w.Name) {
		return nil, notListed
	}
	o := &outsider{worker: w, owner: owner, mission: m}
	for _, r := range world.Catalog.Resources() {
		if peer, ok := r.(*resource.Worker); ok && peer.Owner == w.Owner {
			o.peers = append(o.peers, principalOf(peer.Name))
		}
	}
	return o, nil
}

func principalOf(worker string) string { return string(ident.Worker) + ":" + worker }

// outsiderOf is the outside Worker that started a Run; nil where a person did.
func (g *Gate) outsiderOf(ctx context.Context, r intent.Run) (*outsider, error) {
	name := ident.WorkerName(r.Starter)
	if name == "" {
		return nil, nil //nolint:nilnil // a person's Run has none
	}
	return g.outsider(ctx, r.Tenant, name, r.Mission)
}

// Quota bounds what some outside Workers have together: those that are named, or
// without names all of them at one Mission.
type Quota struct {
	What     string // "open Runs of the Worker"
	Starters []string
	Mission  string
	Most     int
}

func (q Quota) key(t ident.Tenant) string {
	return string(t) + "\n" + q.Mission + "\n" + strings.Join(q.Starters, "\n")
}

// quotas are the Worker's, its owner's and the Mission's bound on one thing.
func (o *outsider) quotas(what string, of func(resource.WorkerLimits) int) []Quota {
	return []Quota{
		{What: what + " of the Worker", Starters: []string{principalOf(o.worker.Name)}, Most: of(o.worker.Limits.Or(resource.DefaultWorkerLimits))},
		{What: what + " of all Workers of its owner", Starters: o.peers, Most: of(o.worker.OwnerLimits.Or(resource.DefaultOwnerLimits))},
		{What: what + " of all Workers at the Mission", Mission: o.mission.Name, Most: of(o.mission.WorkerLimits.Or(resource.DefaultMissionLimits))},
	}
}

func (o *outsider) parked() []Quota {
	return o.quotas("parked Intents", func(l resource.WorkerLimits) int { return l.Parked })
}

// OverLimit is a store's answer where a Quota has no room: kind Limit.
type OverLimit struct{ Quota Quota }

// Error says which.
func (e *OverLimit) Error() string { return e.fault().Error() }

// Unwrap gives the fault.
func (e *OverLimit) Unwrap() error { return e.fault() }

func (e *OverLimit) fault() *fault.Error {
	return fault.Newf(fault.Limit, "the limit on %s is reached (%d); nothing was done", e.Quota.What, e.Quota.Most).
		WithHint("wait, end a Run or withdraw what waits; a builder sets the limits in the Worker and the Mission")
}

// WorkerRuns keeps what outside Workers have under way, and what they were denied.
type WorkerRuns interface {
	// OpenRunOf is a starter's Run of a Mission that has not ended; kind NotFound.
	OpenRunOf(ctx context.Context, tenant ident.Tenant, mission, starter string) (intent.Run, error)
	// UnderWay lists a Run's open Intents, the oldest first.
	UnderWay(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error)
	// WorkerCalls counts the Intents that those of a Quota have proposed since.
	WorkerCalls(ctx context.Context, tenant ident.Tenant, q Quota, since time.Time) (int, error)
	// CountExcess adds to what is kept, by tenant, Worker and minute.
	CountExcess(ctx context.Context, more []Excess) error
	// TellExcess makes one entry of each minute that began before, and keeps it no
	// longer; left is how many it still keeps.
	TellExcess(ctx context.Context, before time.Time, entry func(Excess) Told) (left int, err error)
}
