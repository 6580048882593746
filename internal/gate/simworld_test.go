package gate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// scenario is what can happen in an exploration, and how often.
type scenario struct {
	fine       bool               // reads that hardly matter are steps of their own too
	parked     bool               // the Intent waits; else it is approved, and its dispatch is in the outbox
	inline     bool               // a second dispatcher, beside the outbox
	verdicts   []decision.Verdict // of the members of the Team in turn
	people     int                // how many of them it takes; 0 is one
	crashes    int
	zombies    int // of the crashes: the process only seemed dead
	mishaps    int // writes of the store that fail before, or after they took effect
	doors      int // times that the vault opens nothing
	silences   int // lookups without an answer
	expiry     bool
	ending     bool // the Run ends
	withdrawn  bool // the Run's Worker takes it back
	revoking   bool // the approver leaves the Team
	stopping   intent.StopKind
	person     int                   // words of an admin
	lookup     bool                  // the Tool has one
	keys       *resource.Idempotency // as declared
	forgetful  bool                  // the system knows no keys, whatever is declared
	behaviours []string              // of the system, on a write; the last is repeated
	spoil      string                // the mutation: a rule that is taken out
}

const (
	simSettle = 30 * time.Second
	simID     = "int_1"
)

var simRun = intent.Run{Tenant: acme, ID: "run_1", Mission: "onboard", Starter: "person:acc_sam", Worker: intent.Outside, State: intent.RunRunning, CreatedAt: noon}

// simWorld is the model: one Intent, its Decision, the outbox, a system that
// counts, and the processes of the product.
type simWorld struct {
	*sim
	sc      scenario
	world   gate.World
	now     time.Time
	it      intent.Intent
	at      commit.Attempt
	owner   string // the claimant
	dec     decision.Decision
	run     intent.Run
	left    bool // the approver has left the Team
	factors map[string]bool
	stop    *intent.Stop
	outbox  map[string]message
	busy    map[string]int // which process's pump is at a kind of message
	gate    *gate.Gate
	desk    *decision.Desk
	proc    int
	up      bool // what was left behind is closed
	rested  bool // the Run was told of the end

	effects, pending int
	lateBy           time.Time       // when a late effect has happened, or never will
	known            map[string]bool // keys
	sends, grants    int             // requests whose bytes left; SENDING records
	granted          map[int64]bool  // fences
	reads            int             // claimed lookups under way
	mishapped        bool
}

type message struct {
	due   time.Time
	tries int
	gen   int
}

// simConfig is compiled once for each declaration.
var simConfigs sync.Map

func simConfig(sc scenario) gate.World {
	key := fmt.Sprintf("%v %+v %s", sc.lookup, sc.keys, sc.spoil)
	if w, ok := simConfigs.Load(key); ok {
		return w.(gate.World)
	}
	conn := func(name string, tools ...string) *resource.Connection {
		return &resource.Connection{Head: head(resource.KindConnection, name), Integration: "erp", Tools: tools, Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "erp-key"}}
	}
	create := connector.Tool{Name: "create", Effect: resource.Write, Digest: "d2", Idempotency: sc.keys}
	if sc.lookup {
		create.Lookup = &resource.Lookup{Connection: "erp-read", Tool: "find", Args: map[string]any{"reference": "$reference"}, Found: "/items", Settle: resource.Duration(simSettle)}
		if sc.spoil == "settling" {
			create.Lookup.Settle = 1
		}
	}
	tools := []connector.Tool{create, {Name: "find", Effect: resource.Read, Digest: "d1"}}
	snap, err := catalog.Build(catalog.Source{
		Resources: []resource.Resource{
			&resource.Team{Head: head(resource.KindTeam, "finance"), Members: []string{"ann"}},
			&resource.Integration{Head: head(resource.KindIntegration, "erp"), HTTP: &resource.HTTP{BaseURL: "https://erp.example", OpenAPI: json.RawMessage(`{}`)}},
			conn("erp-read", "find"), conn("erp-write", "create"),
			&resource.Mission{Head: head(resource.KindMission, "onboard"), Goal: "Do it.", Connections: []string{"erp-read", "erp-write"},
				Decisions: []resource.DecisionRule{{Connection: "erp-write", Team: "finance"}}},
		},
		NewKind:   func(*resource.Integration) (connector.Kind, error) { return simKind(tools), nil },
		Revisions: map[catalog.Key]int64{}, TeamIDs: map[string]string{"finance": "team_1"},
	})
	if err != nil {
		panic(err)
	}
	schema := json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"},"reference":{"type":"string"}}}`)
	set, err := policy.Compile(nil, policy.World{Connections: []string{"erp-read", "erp-write"}, Missions: []string{"onboard"}, Teams: []string{"finance"},
		Tools: []policy.Tool{{Integration: "erp", Name: "create", Effect: resource.Write, Schema: schema}, {Integration: "erp", Name: "find", Effect: resource.Read, Schema: schema}}})
	if err != nil {
		panic(err)
	}
	w := gate.World{Catalog: snap, Policy: set}
	simConfigs.Store(key, w)
	return w
}

// simKind is the connector: what a door answers is in the answer's header.
type simKind []connector.Tool

func (k simKind) Tools() []connector.Tool { return k }
func (simKind) Origin() resource.Origin {
	return resource.Origin{Scheme: "https", Host: "erp.example:443"}
}
func (simKind) Network() resource.Network           { return resource.Network{} }
func (simKind) Check(string, json.RawMessage) error { return nil }
func (k simKind) Render(tool string, args json.RawMessage, ref string) (intent.Request, error) {
	r := intent.Request{Method: "POST", URL: "https://erp.example/" + tool, Headers: map[string]string{"Reference": ref}, Body: string(args)}
	if k[0].Idempotency != nil && tool == "create" {
		r.Headers["Idempotency-Key"] = intent.IdempotencyKey(ref)
	}
	return r, nil
}
func (simKind) Do(ctx context.Context, door http.RoundTripper, call connector.Call) connector.Answer {
	r, err := http.NewRequestWithContext(ctx, call.Request.Method, call.Request.URL, http.NoBody)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Idempotency-Key", call.Request.Headers["Idempotency-Key"])
	return door.(simDoor).send(call.Tool, r)
}

// newSimWorld makes the model at the beginning of a schedule.
func newSimWorld(s *sim, sc scenario) *simWorld {
	w := &simWorld{sim: s, sc: sc, world: simConfig(sc), now: noon, run: simRun, factors: map[string]bool{}, outbox: map[string]message{}, busy: map[string]int{}, known: map[string]bool{}, granted: map[int64]bool{}}
	m, err := w.world.Catalog.Match("onboard", "erp-write", "create")
	if err != nil {
		panic(err)
	}
	args := json.RawMessage(`{"name":"Siemens"}`)
	req, _ := m.Kind.Render("create", args, simID)
	w.it = intent.Intent{Tenant: acme, ID: simID, Revision: 1, Run: "run_1", Mission: "onboard", Starter: simRun.Starter, Connection: "erp-write", Tool: "create",
		Effect: resource.Write, Args: args, State: intent.Parked, CreatedAt: noon, UpdatedAt: noon, Bound: intent.Bound{
			Tenant: acme, Run: "run_1", Intent: simID, Revision: 1, Mission: "onboard", Connection: "erp-write", Integration: "erp", IntegrationRevision: m.Revision,
			Tool: "create", ToolDigest: m.Tool.Digest, Args: args, Request: req, Scheme: resource.SchemeBearer, SecretRef: "erp-key", VersionRule: "active"}}
	w.it.Digest, _ = w.it.Bound.Digest()
	if w.dec, err = decision.New(w.it, []decision.Need{{Team: "finance", Count: max(sc.people, 1)}}, time.Hour, noon); err != nil {
		panic(err)
	}
	w.dec.ID, w.dec.Needs[0].TeamID = "dec_1", "team_1"
	if !sc.parked {
		w.it.State, w.dec.State, w.dec.Votes = intent.Approved, decision.Approved, simVotes(max(sc.people, 1))
		w.outbox[commit.MsgDispatch] = message{due: noon}
	}
	for i, v := range sc.verdicts {
		s.spawn(fmt.Sprintf("%s%d", v, i), 0, func(t *task) { w.decide(t, v, i) })
	}
	w.boot()
	w.up = true
	if sc.inline {
		s.spawn("inline", w.proc, func(t *task) { t.saw("%v", fault.KindOf(w.gate.Dispatch(context.Background(), acme, simID))) })
	}
	w.others()
	return w
}

// boot makes a process: a gate with a machine of its own over the model.
func (w *simWorld) boot() {
	w.proc++
	quiet := slog.New(slog.DiscardHandler)
	clock := func() time.Time { return w.now }
	machine := commit.New(w, fmt.Sprintf("proc_%d", w.proc), clock, quiet)
	machine.Wait = func(context.Context, time.Duration) {}
	empty := func(ident.Tenant) *scrub.Set { return new(scrub.Holder).Load() }
	w.gate = gate.New(gate.Config{
		Intents: w, Earlier: nil, Runs: simRuns{w}, Stops: w, Decisions: w, Vault: simVault{w}, Machine: machine, Rail: explain.New(nil, empty),
		World: func(ident.Tenant) (gate.World, error) { return w.world, nil }, Transport: func(*catalog.Match) http.RoundTripper { return nil },
		Now: clock, Log: quiet,
	})
	desk, err := decision.NewDesk(decision.Config{Store: simDesk{w}, Papers: struct{ decision.Papers }{}, Facts: w, // nothing is changed or asked here
		Involved: w,
		Clean:    func(_ ident.Tenant, s string) string { return s }, Wake: func(ident.Tenant, string) {}, Now: clock,
		Known: func(ident.Tenant, ...[]byte) ([]string, error) { return nil, nil },
		Hold:  func(context.Context, decision.Decision, audit.Event, time.Time) error { return nil }})
	if err != nil {
		panic(err)
	}
	w.desk, w.gate.Editors = desk, desk
}

// options is what can happen next.
func (w *simWorld) options() (labels []string, acts []func()) {
	add := func(label string, act func()) { labels, acts = append(labels, label), append(acts, act) }
	sending := false
	for _, t := range w.tasks {
		sending = sending || t.at == "bytes"
		add(t.name+": "+t.at, func() { w.step(t) })
	}
	if w.gate.Machine.Halted() != nil { // nothing more of it goes on until somebody starts it again
		if !w.alive(w.proc) {
			add("restart", func() { w.restart(false) })
		}
		return labels, acts
	}
	for _, kind := range []string{commit.MsgDispatch, commit.MsgReconcile} {
		m, ok := w.outbox[kind]
		if ok && w.up && w.busy[kind] != w.proc && !m.due.After(w.now) {
			add("deliver "+kind, func() { w.deliver(kind) })
		}
	}
	if next := w.nextDue(); w.up && !sending && !next.IsZero() {
		add("time passes", func() { w.pass(next) })
	}
	if w.pending > 0 {
		add("the late effect", w.land)
	}
	if w.sc.crashes > 0 {
		add("crash", func() { w.sc.crashes--; w.restart(false) })
		if w.sc.zombies > 0 {
			add("seems dead", func() { w.sc.crashes--; w.sc.zombies--; w.restart(true) })
		}
	}
	w.happenings(add, sending)
	return labels, acts
}

// happenings are what people and the clock do.
func (w *simWorld) happenings(add func(string, func()), sending bool) {
	if w.sc.expiry && !sending {
		add("the Decision's time is over", func() {
			w.sc.expiry = false
			w.land()
			w.now = w.dec.ExpiresAt
			w.spawn("sweeper", w.proc, func(t *task) {
				_, err := w.desk.Expire(context.Background(), w.now)
				t.saw("%v", fault.KindOf(err))
			})
		})
	}
	if w.sc.ending {
		add("the Run ends", func() { w.sc.ending = false; w.endRun() })
	}
	if w.sc.revoking {
		add("the approver leaves", func() { w.sc.revoking, w.left = false, true })
	}
	if w.sc.person > 0 && w.up && w.it.State == intent.NeedsHuman && w.pending == 0 && !sending {
		add("a person looks", func() {
			w.sc.person--
			w.spawn("person", 0, w.personLooks)
		})
	}
	if w.sc.stopping != "" && w.stop != nil && w.up {
		add("resumed", func() { w.sc.stopping = ""; w.lift() })
	}
}

func (w *simWorld) alive(proc int) bool {
	for _, t := range w.tasks {
		if t.proc == proc {
			return true
		}
	}
	return false
}

// nextDue is the next time at which a message is due.
func (w *simWorld) nextDue() (next time.Time) {
	for _, m := range w.outbox {
		if m.due.After(w.now) && m.due.Before(noon.Add(1000*time.Hour)) && (next.IsZero() || m.due.Before(next)) {
			next = m.due
		}
	}
	return next
}

// pass moves the clock; what a system still had to do it has done by then: that
// is what the settling time means.
func (w *simWorld) pass(to time.Time) {
	if w.pending > 0 && !to.Before(w.lateBy) {
		w.land()
	}
	w.now = to
}

// land lets the late effect happen.
func (w *simWorld) land() {
	for ; w.pending > 0; w.pending-- {
		w.effect()
	}
}

// effect is what a write does to the system, unless it knows the key.
func (w *simWorld) effect() {
	key := intent.IdempotencyKey(simID)
	if w.sc.keys != nil && !w.sc.forgetful {
		if w.known[key] {
			return
		}
		w.known[key] = true
	}
	if w.effects++; w.effects > 1 {
		w.fail("the system has it %d times", w.effects)
	}
}

// restart begins a new process: the old one's tasks are gone, or only seem so.
func (w *simWorld) restart(zombie bool) {
	if !zombie {
		old := w.proc
		w.kill(func(t *task) bool { return t.proc == old })
	}
	w.boot()
	w.up = false
	w.spawn("recover", w.proc, func(t *task) {
		g := w.gate
		w.yield("left")
		var left []commit.Left
		if s := w.it.State; s == intent.Claimed || s == intent.Sending {
			it := w.it
			if w.sc.spoil == "SENDING" {
				it.State = intent.Claimed
			}
			left = []commit.Left{{Intent: it, Fence: w.at.Fence, Claimant: w.owner}}
		}
		t.saw("left %d %s %d", len(left), w.it.State, w.at.Fence)
		if err := g.Recover(context.Background(), left); err != nil {
			t.saw("not up")
			w.sc.crashes++ // it is started once more
			return
		}
		w.up = true
	})
}

// deliver hands a message to a worker of the pump.
func (w *simWorld) deliver(kind string) {
	m := w.outbox[kind]
	g, proc := w.gate, w.proc
	w.busy[kind] = proc
	w.spawn("pump "+kind, w.proc, func(t *task) {
		t.saw("%d %d", m.gen, m.tries)
		var again time.Time
		var err error
		if kind == commit.MsgDispatch {
			err = g.Dispatch(context.Background(), acme, simID)
		} else {
			again, err = g.Reconcile(context.Background(), acme, simID, m.tries)
		}
		w.yield("done")
		if w.busy[kind] == proc {
			delete(w.busy, kind)
		}
		now, ok := w.outbox[kind]
		if !ok {
			return
		}
		_, stopped := isStopped(err)
		switch {
		case now.gen != m.gen:
		case stopped && w.stop != nil:
			now.due = noon.Add(10000 * time.Hour) // until it is lifted
		case stopped:
		case err != nil:
			now.due = w.now // at once: how long it waits changes nothing, and would make no end of states
		case again.IsZero():
			delete(w.outbox, kind)
			return
		default:
			now.due, now.tries = again, now.tries+1
		}
		w.outbox[kind] = now
	})
}

// state is the model's, for comparing.
func (w *simWorld) state() string {
	msgs := ""
	for _, k := range []string{commit.MsgDispatch, commit.MsgReconcile} {
		if m, ok := w.outbox[k]; ok {
			msgs += fmt.Sprintf("%s %d %d;", k, m.due.Sub(noon), min(m.tries, 8))
		}
	}
	b := w.sc
	return fmt.Sprint(w.now.Sub(noon), w.it.State, w.it.Revision, w.at.Fence, w.at.Sent.Sub(noon), w.at.Resent, w.owner, w.it.UpdatedAt.Sub(noon), w.dec.ID, w.dec.State, w.run.State, w.left,
		len(w.factors), w.stop != nil, msgs, w.proc, w.up, w.rested, w.effects, w.pending, len(w.known), w.sends, w.grants, w.gate.Machine.Halted() != nil, w.busy,
		b.crashes, b.zombies, b.mishaps, b.doors, b.silences, b.expiry, b.ending, b.revoking, b.stopping, b.person, len(b.behaviours))
}

// simDoor is the way to the system.
type simDoor struct{ w *simWorld }

func (simDoor) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

func (d simDoor) send(tool string, r *http.Request) connector.Answer {
	if tool == "find" {
		return d.w.find()
	}
	return d.w.create(r.Header.Get("Idempotency-Key"))
}

// find is the lookup.
func (w *simWorld) find() connector.Answer {
	t := w.yield("lookup")
	if w.sc.silences > 0 && w.choose("it answers", "it does not answer") == "it does not answer" {
		w.sc.silences--
		t.saw("silence")
		return connector.Answer{Outcome: connector.Unclear, Status: 502, Err: fault.New(fault.Internal, "502")}
	}
	body := `{"items":[]}`
	if w.effects > 0 {
		body = `{"items":[1]}`
	}
	t.saw("has %d", w.effects)
	return connector.Answer{Outcome: connector.Done, Status: 200, Body: json.RawMessage(body)}
}

// create is the write: here bytes leave.
func (w *simWorld) create(key string) connector.Answer {
	t := w.yield("bytes")
	how := w.choose(w.sc.behaviours...)
	if how == "not sent" {
		t.saw("not sent")
		return connector.Answer{Outcome: connector.NotSent, Passing: true, Err: fault.New(fault.Unavailable, "refused")}
	}
	w.checkSend(t, key)
	w.sends++
	seen := w.sc.keys != nil && !w.sc.forgetful && w.known[intent.IdempotencyKey(simID)]
	t.saw("%s %v", how, seen)
	switch {
	case how == "refused", how == "done" && seen && w.sc.keys.Semantics == resource.Rejects:
		status := 400
		if how == "done" {
			status = w.sc.keys.Status
		}
		return connector.Answer{Outcome: connector.Refused, Status: status, Err: fault.New(fault.Conflict, "no")}
	case how == "late":
		w.pending++
		w.lateBy = w.now.Add(simSettle)
	case how != "cut":
		w.effect()
	}
	if how == "done" {
		return connector.Answer{Outcome: connector.Done, Status: 201, Body: json.RawMessage(`{"id":7}`)}
	}
	return connector.Answer{Outcome: connector.Unclear, Err: fault.New(fault.Unknown, "cut")}
}

// simVault opens the model's door.
type simVault struct{ w *simWorld }

func (simVault) Head(context.Context, ident.Tenant, string) (vault.Meta, error) {
	return vault.Meta{Name: "erp-key", Version: 1}, nil
}
func (v simVault) Open(context.Context, vault.DoorSpec) (http.RoundTripper, error) {
	if v.w.sc.doors > 0 && v.w.choose("the door opens", "it does not") == "it does not" {
		v.w.sc.doors--
		v.w.current.saw("no door")
		return nil, fault.New(fault.Unavailable, "no door")
	}
	return simDoor(v), nil
}
func (simVault) Scrub(ident.Tenant) *scrub.Set                           { return new(scrub.Holder).Load() }
func (simVault) Quarantine(context.Context, vault.Found) (string, error) { return "", nil }
func (simVault) Dismissed(ident.Tenant, []byte) bool                     { return false }
