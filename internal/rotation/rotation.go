// Package rotation gives Secrets new versions without a call that fails: a version
// is made, tried at its system and made the active one; the one before goes on for
// its grace, and is then disabled here and deleted there. It is asked for by hand,
// by a schedule or by an event.
//
// It refuses a second rotation of a Secret while one goes on, a rotation that
// nobody has set a policy for, to delete what the active version signs in with, and
// to ask a system twice for a credential unless that makes no second one, or what
// was made can be found and taken away. What it can't know it asks a person.
//
// The steps, each on the record before it is made and after:
//
//	making ─ applying ─ trying ─ switching ─ grace ─ disabling ─ deleting ─ done
//	   │         │         │         │          └ returning ─ discarding ─ rolled_back
//	   └─────────┴─────────┴─ discarding ─ failed              any ─ needs_person
//
// # Security
//
// Nothing in here sees a value: the vault makes the steps that touch one. A row of
// a rotation that somebody without the key has changed is refused by the store, and
// then nothing of that rotation goes on; the versions' states are the vault's own.
package rotation

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// State is what is done next, or was done last.
type State string

// The states, in the order of the drawing.
const (
	Making      State = "making"    // the next version, pending
	Applying    State = "applying"  // the system is told a value that we chose
	Trying      State = "trying"    // the new version signs in
	Switching   State = "switching" // it becomes the active one
	Grace       State = "grace"     // the one before goes on
	Disabling   State = "disabling" // here
	Deleting    State = "deleting"  // at the system
	Returning   State = "returning" // the one before becomes the active one again
	Discarding  State = "discarding"
	NeedsPerson State = "needs_person"

	Done       State = "done"
	Failed     State = "failed"      // the version before is still the active one
	RolledBack State = "rolled_back" // it is again
)

// Final says that nothing follows.
func (s State) Final() bool { return s == Done || s == Failed || s == RolledBack }

// Trigger is what a rotation was begun by.
type Trigger string

// The triggers.
const (
	ByHand     Trigger = "hand"
	BySchedule Trigger = "schedule"
	ByEvent    Trigger = "event"
)

// Rotation is one.
type Rotation struct {
	Tenant ident.Tenant `json:"-"`
	ID     string       `json:"id"` // "rot_…"
	Secret string       `json:"secret"`
	State  State        `json:"state"`
	// Begun says that the state's act may have been made: it is written before.
	Begun bool `json:"begun,omitempty"`
	// Tries is how often the act was begun.
	Tries   int `json:"tries,omitempty"`
	Was     int `json:"was"`               // the version that was active when it began
	Version int `json:"version,omitempty"` // the new one, once it is there
	// Stuck is the state in which a person is needed; Back says that what is
	// discarded was active before.
	Stuck State `json:"stuck,omitempty"`
	Back  bool  `json:"back,omitempty"`
	// Policy is the one that it began with: a change of it is for the next one.
	Policy  resource.Rotation `json:"policy"`
	Trigger Trigger           `json:"trigger"`
	By      string            `json:"by"` // a principal
	Why     string            `json:"why,omitempty"`
	Due     time.Time         `json:"due"` // when the next step is
	Started time.Time         `json:"started"`
	Updated time.Time         `json:"updated"`
	Rev     int64             `json:"revision"`
}

// Policy is a Secret's, as an admin has set it.
type Policy struct {
	Tenant ident.Tenant      `json:"-"`
	Secret string            `json:"secret"`
	Spec   resource.Rotation `json:"policy"`
	By     string            `json:"by"`
	At     time.Time         `json:"at"`
	Rev    int64             `json:"revision"`
}

// Policies stores them.
type Policies interface {
	// RotationPolicy is a Secret's; kind NotFound.
	RotationPolicy(ctx context.Context, t ident.Tenant, secret string) (Policy, error)
	RotationPolicies(ctx context.Context, t ident.Tenant) ([]Policy, error)
	// SetRotationPolicy stores one where the stored one is of the revision before;
	// Conflict otherwise.
	SetRotationPolicy(ctx context.Context, p Policy, ev audit.Event) error
	RemoveRotationPolicy(ctx context.Context, p Policy, ev audit.Event) error
}

// Rotations stores them.
type Rotations interface {
	// Rotations lists those that go on, and of each Secret the last that ended.
	Rotations(ctx context.Context, t ident.Tenant) ([]Rotation, error)
	Rotation(ctx context.Context, t ident.Tenant, id string) (Rotation, error)
	// StartRotation stores a new one; Conflict where one of the Secret goes on.
	StartRotation(ctx context.Context, r Rotation, ev audit.Event) error
	// StepRotation stores a step where the stored one is of the revision before;
	// Conflict otherwise.
	StepRotation(ctx context.Context, r Rotation, ev audit.Event) error
}

// Vault makes the steps that touch values or versions; see there for errors.
type Vault interface {
	MakeVersion(ctx context.Context, j vault.RotationJob) (int, error)
	ApplyVersion(ctx context.Context, j vault.RotationJob, n int) error
	TryVersion(ctx context.Context, j vault.RotationJob, n int) error
	DeleteVersion(ctx context.Context, j vault.RotationJob, n int) error
	ClearMade(ctx context.Context, j vault.RotationJob) (int, error)
	// Watchable says whether a backend tells of changes at a path.
	Watchable(t ident.Tenant, backend, path string) error
	Switches
}

// Switches are those that change which version is the active one.
type Switches interface {
	SwitchVersion(ctx context.Context, j vault.RotationJob, n int) error
	ReturnVersion(ctx context.Context, j vault.RotationJob, n int, why string) error
	EndVersion(ctx context.Context, j vault.RotationJob, n int) error
	Show(ctx context.Context, t ident.Tenant, name string) (vault.Secret, error)
}

// System is who does what a schedule or an event asks for.
func System(t ident.Tenant) ident.Principal {
	return ident.Principal{Tenant: t, Kind: ident.System, ID: "rotation", Name: "rotation"}
}

// errOver is a rotation that has ended.
func errOver(r Rotation) error {
	return fault.Newf(fault.Conflict, "the rotation of %s has ended: %s", r.Secret, r.State)
}
