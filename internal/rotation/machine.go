package rotation

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// Config is what a Machine is made of; all but Crash, Stopped and Holds is needed.
type Config struct {
	Policies  Policies
	Rotations Rotations
	Vault     Vault
	// Ways are how a rotator's system is reached.
	Ways func(resource.Rotator) (vault.Ways, error)
	// Stopped says that a person has stopped everything.
	Stopped func(ctx context.Context, t ident.Tenant) error
	// Holds says whether a text has a known secret in it; nil: nothing is known.
	Holds func(t ident.Tenant, text []byte) bool
	Now   func() time.Time
	Log   *slog.Logger
	// Crash is called between the parts of a step, for tests that end there.
	Crash func(Rotation, Point)
}

// Point is a moment of a step.
type Point string

// The points, in order.
const (
	BeforeStep Point = "before"   // nothing of the act is on the record
	BeforeAct  Point = "recorded" // that it begins is
	AfterAct   Point = "made"     // it was made, and that is on no record
	AfterStep  Point = "after"
)

// Points lists them.
var Points = []Point{BeforeStep, BeforeAct, AfterAct, AfterStep}

// Machine takes rotations from step to step. Safe for concurrent use; one process
// has one.
type Machine struct {
	Config
	watch watch

	mu       sync.Mutex
	under    map[key]bool
	changing map[key]chan struct{} // closed when the switch was made, or will not be
	unbegun  map[key]Unbegun       // the last event that has begun nothing; one for each policy with events
}

type key struct {
	tenant ident.Tenant
	secret string
}

// New makes a machine.
func New(c Config) *Machine {
	return &Machine{Config: c, under: map[key]bool{}, changing: map[key]chan struct{}{}, unbegun: map[key]Unbegun{}}
}

// Advance makes what is due of a tenant's rotations, each as far as it goes, and
// begins those that a schedule asks for. Several at once leave each other's alone, so
// that a system that hangs holds up no other. An error is one of reading.
func (m *Machine) Advance(ctx context.Context, t ident.Tenant) error {
	if m.Stopped != nil {
		if err := m.Stopped(ctx, t); err != nil {
			return err
		}
	}
	all, err := m.Rotations.Rotations(ctx, t)
	if err != nil {
		return err
	}
	for _, r := range all {
		if !r.State.Final() {
			m.run(ctx, r)
		}
	}
	return m.startDue(ctx, t, all)
}

// run takes one rotation as far as it goes now.
func (m *Machine) run(ctx context.Context, r Rotation) {
	k := key{r.Tenant, r.Secret}
	m.mu.Lock()
	if m.under[k] {
		m.mu.Unlock()
		return
	}
	m.under[k] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.under, k)
		m.mu.Unlock()
	}()
	if err := m.setBack(ctx, &r); err != nil {
		return
	}
	for ctx.Err() == nil && !r.State.Final() && r.State != NeedsPerson && !m.waits(&r) {
		if m.Stopped != nil && m.Stopped(ctx, r.Tenant) != nil {
			return // between two steps, too
		}
		next, err := m.step(ctx, r)
		if fault.Is(err, fault.Conflict) {
			return // another worker has taken it on
		}
		if err != nil {
			m.Log.WarnContext(ctx, "a step of a rotation could not be recorded", slog.String("rotation", r.ID), slog.String("secretName", r.Secret), slog.Any("kind", fault.KindOf(err)))
			return
		}
		r = next
	}
}

// slack is how far a clock may be set back without a word.
const slack = time.Minute

// setBack takes what is due back with a clock that was ahead and was mended: it is as
// far away as it was.
func (m *Machine) setBack(ctx context.Context, r *Rotation) error {
	ahead := r.Updated.Sub(m.Now())
	if ahead <= slack || r.State.Final() {
		return nil
	}
	r.Due = r.Due.Add(-ahead)
	return m.store(ctx, r, r.State, "the clock was set back")
}

// since is how long ago something was. What is of the future was written by a clock
// that was ahead: that is long ago.
func since(now, then time.Time) time.Duration {
	if then.Sub(now) > slack {
		return math.MaxInt64
	}
	return now.Sub(then)
}

// waits says that nothing is due: in its grace a rotation looks at what calls say.
func (m *Machine) waits(r *Rotation) bool {
	return r.Due.After(m.Now()) && (r.State != Grace || !m.jumped(r))
}

// step makes one step: it is recorded that the act begins, the act is made, and
// what came of it is recorded. A crash anywhere in it comes back here with Begun.
func (m *Machine) step(ctx context.Context, r Rotation) (Rotation, error) {
	m.crash(r, BeforeStep)
	again := r.Begun
	r.Begun, r.Tries = true, r.Tries+1
	if err := m.store(ctx, &r, r.State, ""); err != nil {
		return r, err
	}
	m.crash(r, BeforeAct)
	m.mark(r)
	out := m.act(ctx, &r, again)
	m.crash(r, AfterAct)
	from := r.State
	if out.to == "" { // the same again, later
		r.Begun, r.Due = true, m.Now().Add(pause(r.Tries))
		if out.unmade {
			r.Begun = false
		}
		out.to = r.State
	} else {
		r.Begun, r.Tries, r.Due = false, 0, m.Now().Add(out.wait)
	}
	r.State, r.Why = out.to, out.why
	if out.to == NeedsPerson {
		r.Stuck = from
	}
	if err := m.store(ctx, &r, from, out.why); err != nil {
		return r, err
	}
	m.unmark(r)
	m.tell(ctx, r)
	m.crash(r, AfterStep)
	return r, nil
}

// pause is how long to wait before a try again: from 2 seconds to 5 minutes.
func pause(tries int) time.Duration { return min(2*time.Second<<min(tries-1, 8), 5*time.Minute) }

func (m *Machine) crash(r Rotation, p Point) {
	if m.Crash != nil {
		m.Crash(r, p)
	}
}

// store writes one record of a step.
func (m *Machine) store(ctx context.Context, r *Rotation, from State, why string) error {
	r.Updated, r.Rev = m.Now(), r.Rev+1
	return m.Rotations.StepRotation(ctx, *r, event(*r, audit.RotationStepped, System(r.Tenant), map[string]any{"from": string(from), "count": r.Tries, "why": audit.Short(why)}))
}

// event is the entry of a rotation. The last one has another type.
func event(r Rotation, t audit.Type, by ident.Principal, more map[string]any) audit.Event {
	f := map[string]any{"rotation": r.ID, "secret": r.Secret, "secretVersion": max(r.Version, r.Was), "state": string(r.State)}
	for k, v := range more {
		if s, ok := v.(string); !ok || s != "" {
			f[k] = v
		}
	}
	if t == audit.RotationStepped && r.State.Final() {
		t = audit.RotationEnded
	}
	return audit.Event{Type: t, Tenant: r.Tenant, At: r.Updated, Actor: by.String(), Fields: f}
}

// tell logs what a person should hear of.
func (m *Machine) tell(ctx context.Context, r Rotation) {
	at := []any{slog.String("rotation", r.ID), slog.String("secretName", r.Secret), slog.String("why", r.Why)}
	switch r.State { //nolint:exhaustive // of the others nobody has to hear
	case NeedsPerson:
		at = append(at, slog.String("hint", ResolveHint(r.ID)))
		m.Log.ErrorContext(ctx, "a rotation waits for a person", at...)
	case RolledBack:
		m.Log.ErrorContext(ctx, "a rotation was rolled back: the version before is the active one again", at...)
	case Failed:
		m.Log.ErrorContext(ctx, "a rotation failed: the version before is the active one", at...)
	}
}

// job is what the vault needs of a rotation.
func (m *Machine) job(r *Rotation) (vault.RotationJob, error) {
	w, err := m.Ways(r.Policy.Rotator)
	return vault.RotationJob{Tenant: r.Tenant, Secret: r.Secret, ID: r.ID, Was: r.Was, Rotator: r.Policy.Rotator, Ways: w, Actor: System(r.Tenant)}, err
}
