package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Start is a request for a Run. Who starts it is the authenticated caller.
type Start struct {
	Mission string          `json:"mission"`
	Input   json.RawMessage `json:"input,omitempty"` // an object; the Mission's form says which fields
	Via     string          `json:"-"`               // portal, api, cli, schedule
	Source  netip.Addr      `json:"-"`               // the address that it came from, where it is known
	Outside bool            `json:"outside,omitempty"`
	// Key makes the start idempotent for its starter within the Mission; at most
	// 100 bytes. The same key with another Worker or input is a Conflict.
	Key string `json:"key,omitempty"`
}

// maxInput bounds a Run's input, in bytes of canonical JSON.
const maxInput = 64 << 10

// StartRun starts a Mission in the name of the caller: a requester, or the
// schedule. The input has to fit the form and hold no known secret: it is what
// the model reads.
func (g *Gate) StartRun(ctx context.Context, who ident.Principal, s Start) (intent.Run, error) {
	var none intent.Run
	if err := g.Machine.Halted(); err != nil {
		return none, err
	}
	if err := mayStart(who); err != nil {
		return none, err
	}
	if err := g.mayType(who); err != nil {
		return none, err
	}
	if len(s.Key) > intent.MaxKey {
		return none, fault.Newf(fault.Invalid, "the key is longer than %d bytes", intent.MaxKey)
	}
	m, err := g.mission(ctx, who, s)
	if err != nil {
		return none, err
	}
	if err := g.stopped(ctx, &candidate{run: intent.Run{Mission: m.Name}, it: intent.Intent{Tenant: who.Tenant}}, ""); err != nil {
		return none, err
	}
	if met := g.Vault.Scrub(who.Tenant).Contains([]byte(s.Key)); len(met) > 0 {
		return none, g.typedKnown(ctx, who, m.Name, "key", met, fault.New(fault.Denied, "the key holds a known secret").WithHint("a key is stored and shown: leave credentials out"))
	}
	input, err := g.input(ctx, who, m, s.Input)
	if err != nil {
		return none, g.typedInVain(who, err)
	}
	n := g.newRun(who, m, s, input)
	r := n.Run
	got, err := g.Runs.CreateRun(ctx, n)
	if err != nil {
		return none, err
	}
	// A Run is its starter's: who guesses a key must not be handed another's.
	if got.Starter != r.Starter || got.Worker != r.Worker || !bytes.Equal(got.Input, r.Input) {
		return none, fault.New(fault.Conflict, "the key was used for another start of this Mission").WithHint("use a new key for each Run")
	}
	return got, nil
}

// newRun is a Run with all that becomes true with it.
func (g *Gate) newRun(who ident.Principal, m *resource.Mission, s Start, input json.RawMessage) NewRun {
	now := g.Now()
	r := intent.Run{
		Tenant: who.Tenant, ID: ident.At("run", now), Mission: m.Name, Starter: who.String(), StarterName: who.Name, Via: s.Via,
		Worker: intent.BuiltIn, Auth: who.Auth.How, Source: address(s.Source), Input: input, Salt: rand.Text(), State: intent.RunWaiting, CreatedAt: now,
	}
	msgs := []commit.Message{{Kind: commit.MsgSegment, Ref: r.ID, Due: now}}
	if s.Outside {
		r.Worker, r.State, msgs = intent.Outside, intent.RunRunning, nil
	}
	title := m.Title
	if title == "" {
		title = m.Name
	}
	fields := map[string]any{"trigger": r.Via, "worker": r.Worker, "starter": r.Starter, "input": intent.Salted(r.Salt, input)}
	if r.Auth != "" {
		fields["auth"] = r.Auth
	}
	return NewRun{
		Run: r, Key: s.Key, Outbox: msgs,
		Events: []audit.Event{{Type: audit.RunStarted, Tenant: r.Tenant, At: now, Actor: r.Starter, Run: r.ID, Mission: r.Mission, Fields: fields}},
		Observe: []explain.Observation{g.Rail.Clean(explain.Observation{
			Tenant: r.Tenant, Run: r.ID, At: now, Kind: explain.Goal, Data: input,
			Title: fmt.Sprintf("%s, started by %s", title, r.StarterName), Text: m.Goal,
			Detail: &explain.Detail{Goal: &explain.Purpose{Mission: r.Mission, Goal: m.Goal, Starter: r.StarterName, Via: r.Via, Worker: r.Worker}},
		})},
	}
}

func mayStart(who ident.Principal) error {
	if !who.Valid() || !(who.Has(ident.Requester) || who.Kind == ident.System) {
		return fault.New(fault.Denied, "only a requester starts a Run").WithHint("sign in with an account that has the role requester")
	}
	return nil
}

// mission finds the Mission and checks that the caller may start it.
func (g *Gate) mission(ctx context.Context, who ident.Principal, s Start) (*resource.Mission, error) {
	world, err := g.World(who.Tenant)
	if err != nil {
		return nil, err
	}
	m, ok := world.Catalog.Mission(s.Mission)
	if !ok {
		return nil, fault.Newf(fault.NotFound, "there is no Mission %q", fault.Quote(s.Mission)).WithHint("list them with: sallyport mission list")
	}
	if m.Model == "" && !s.Outside {
		return nil, fault.Newf(fault.Invalid, "the Mission %s names no model, so only an outside Worker can run it", m.Name)
	}
	if len(m.Starters) == 0 || who.Kind == ident.System {
		return m, nil
	}
	for _, team := range m.Starters {
		if _, err := g.Decisions.MemberSince(ctx, who.Tenant, world.Catalog.TeamID(team), who.ID); err == nil {
			return m, nil
		} else if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return nil, fault.Newf(fault.Denied, "the Mission %s is started by members of %v", m.Name, m.Starters)
}

// input checks what a person filled in, the whole of it.
func (g *Gate) input(ctx context.Context, who ident.Principal, m *resource.Mission, in json.RawMessage) (json.RawMessage, error) {
	c, err := g.readInput(ctx, who, m, in)
	if err == nil {
		err = refuseTyped(c)
	}
	return c, err
}

// readInput checks what a person filled in, but for what only looks like a secret.
// Also what does not fit is searched: the refusal must not hide the incident.
func (g *Gate) readInput(ctx context.Context, who ident.Principal, m *resource.Mission, in json.RawMessage) (json.RawMessage, error) {
	if len(in) == 0 {
		in = json.RawMessage("{}")
	}
	if len(in) > 2*maxInput {
		return nil, fault.Newf(fault.Invalid, "the input is larger than %d KiB", maxInput>>10)
	}
	c, bad := intent.Canonical(in)
	if bad == nil {
		bad = m.CheckInput(c)
	} else {
		c, bad = in, fault.Wrap(fault.Invalid, "reading the input", bad)
	}
	if place, met := where(g.Vault.Scrub(who.Tenant), "input", c, nil); len(met) > 0 {
		if bad == nil {
			bad = fault.New(fault.Denied, "the input holds a known secret; a model would read it").WithHint("leave credentials out: the Mission's Connections have them")
		}
		bad = g.typedKnown(ctx, who, m.Name, place, met, bad)
	}
	if bad != nil {
		return nil, bad
	}
	return c, nil
}

// EndRun ends the caller's own Run with its verdict.
func (g *Gate) EndRun(ctx context.Context, who ident.Principal, verdict, summary string) error {
	r, err := g.run(ctx, who)
	if err != nil {
		return err
	}
	if err := g.Machine.Halted(); err != nil {
		return err // a restart goes on with the Run
	}
	if err := g.maySay(ctx, who, r, len(verdict) > 40 || len(summary) > intent.MaxReason, verdict, summary); err != nil {
		return err
	}
	if err := g.incident(ctx, ofRun(r), nil, sent{"verdict", verdict}, sent{"summary", summary}); err != nil {
		return err
	}
	return g.endRun(ctx, r, who.String(), verdict, summary)
}

// StopRun ends a Run from outside: its starter or an admin does.
func (g *Gate) StopRun(ctx context.Context, who ident.Principal, id string) error {
	r, err := g.Runs.Run(ctx, who.Tenant, id)
	if err != nil {
		return err
	}
	if !who.Has(ident.Admin) && who.String() != r.Starter && !g.ownerOf(ctx, who, r) {
		return fault.New(fault.Denied, "a Run is stopped by who started it, by the owner of the Worker that did, or by an admin")
	}
	if r.State == intent.RunEnded {
		return fault.Newf(fault.Conflict, "the Run has ended already, with the verdict %q", r.Verdict)
	}
	return g.endRun(ctx, r, who.String(), "stopped", "stopped by "+who.Name)
}

// ownerOf says whether a person answers for the outside Worker that started a Run.
func (g *Gate) ownerOf(ctx context.Context, who ident.Principal, r intent.Run) bool {
	o, err := g.outsiderOf(ctx, r)
	return err == nil && o != nil && who.Kind == ident.Person && who.ID == o.owner
}

func (g *Gate) endRun(ctx context.Context, r intent.Run, actor, verdict, summary string) error {
	set := g.Vault.Scrub(r.Tenant)
	verdict, _ = set.String(verdict)
	summary, _ = set.String(summary)
	now := g.Now()
	err := g.Runs.EndRun(ctx, r.Tenant, r.ID, verdict, summary, now,
		audit.Event{Type: audit.RunEnded, Tenant: r.Tenant, At: now, Actor: actor, Run: r.ID, Mission: r.Mission,
			Fields: map[string]any{"verdict": audit.Short(verdict), "turns": r.Used.Turns, "tokens": r.Used.InputTokens + r.Used.OutputTokens}},
		g.Rail.Clean(explain.Observation{Tenant: r.Tenant, Run: r.ID, At: now, Kind: explain.Verdict, Title: verdict, Text: summary}))
	g.Rail.Wake(r.Tenant, r.ID)
	return err
}

// Brief gives the caller's own Run what it is for and what it can propose, the
// Tools in a stable order.
func (g *Gate) Brief(ctx context.Context, who ident.Principal) (intent.Brief, error) {
	r, err := g.run(ctx, who)
	if err != nil {
		return intent.Brief{}, err
	}
	world, err := g.World(r.Tenant)
	if err != nil {
		return intent.Brief{}, err
	}
	m, ok := world.Catalog.Mission(r.Mission)
	if !ok {
		return intent.Brief{}, fault.New(fault.Denied, "the Run's Mission has been removed")
	}
	b := briefOf(world.Catalog, m)
	b.Run = r
	return b, nil
}

// Observe puts what the caller's Worker concluded on its own Run's rail.
func (g *Gate) Observe(ctx context.Context, who ident.Principal, kind explain.Kind, title, text string) error {
	r, err := g.run(ctx, who)
	if err != nil {
		return err
	}
	if !slices.Contains(explain.WorkerKinds, kind) {
		return fault.New(fault.Invalid, "a Worker can't record an observation of this kind") // its word is not repeated: nothing has searched it
	}
	if err := g.metered(ctx, r); err != nil {
		return err
	}
	if err := g.maySay(ctx, who, r, len(title) > maxWhy || len(text) > 16*intent.MaxReason, title, text); err != nil {
		return err
	}
	if err := g.incident(ctx, ofRun(r), nil, sent{"title of an observation", title}, sent{"observation", text}); err != nil {
		return err // the rail must not show a guess with the right part marked
	}
	if err := g.Rail.HasRoom(ctx, r.Tenant, r.ID); err != nil {
		return err
	}
	o := explain.Observation{Tenant: r.Tenant, Run: r.ID, At: g.Now(), Kind: kind, Title: explain.Said(title), Text: text}
	if kind != explain.Retrieval {
		o.Detail = &explain.Detail{Label: explain.NotProof}
	}
	return g.Rail.Append(ctx, o)
}

// ofRun is for what concerns a Run and no one Intent of it.
func ofRun(r intent.Run) *candidate {
	return &candidate{run: r, it: intent.Intent{Tenant: r.Tenant, Run: r.ID, Mission: r.Mission}}
}

// errNoIntent does not repeat the id: a door scrubs what it answers, and so would say
// which of a Worker's guesses is a Secret.
var errNoIntent = fault.New(fault.NotFound, "this Run has no such intent")

// Lookup gives the caller's own Run one of its Intents.
func (g *Gate) Lookup(ctx context.Context, who ident.Principal, id string) (intent.Intent, error) {
	r, err := g.run(ctx, who)
	if err != nil {
		return intent.Intent{}, err
	}
	it, err := g.Intents.Intent(ctx, who.Tenant, id)
	if err != nil || it.Run != r.ID {
		return intent.Intent{}, errNoIntent
	}
	return it, nil
}

// withinLimits ends what goes on too long. Turns, tokens and cost are counted
// where a completion is stored.
func (g *Gate) withinLimits(c *candidate) error {
	if g.Now().After(c.run.CreatedAt.Add(c.match.Mission.Limits.WallClock.D(30 * 24 * time.Hour))) {
		return fault.New(fault.Limit, "the Run has reached its limit of time")
	}
	return nil
}

func orDefault[T int | int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
