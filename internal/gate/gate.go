// Package gate is the one way to an effect on the outside world. Admit takes
// what a Worker proposes through identity, grant, schema, secrets, policy and
// Decision, in that order, and hands what passes to package commit.
//
// It refuses: a caller that is not a Run, a Run that has ended, a Connection
// that the Mission does not hold, a Tool that the Connection does not allow,
// arguments that don't fit or hold a known secret, what policy denies, and what
// can't be checked. Every refusal is on the record, and every one comes before
// the Secret is resolved.
//
// # Security
//
// There is one match (catalog.Match) per call: policy, the digest, the rendered
// request and the door all use it. What a Decision approved is rendered again at
// dispatch and compared by digest. A denial has one text for what does not
// exist and for what is not held, so that it tells a Worker nothing.
package gate

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// World is what one tenant has applied, compiled: always replaced as a whole,
// so that one call never mixes two states of configuration.
type World struct {
	Catalog *catalog.Snapshot
	Policy  *policy.Set
}

// Proposed is a new Intent with everything that becomes true with it.
type Proposed struct {
	Intent     intent.Intent
	ArgsDigest intent.Digest
	Decision   *decision.Decision // of a parked Intent, or made by policy
	Claimant   string             // of a read, which is claimed as it is stored
	MaxParked  int
	MaxCalls   int
	Turn       bool            // a completion: counted against the Run's limits as it is stored
	Limits     resource.Limits // of a Turn
	// Own marks a lookup of the Boundary's own, which no limit of the Worker's
	// and no end of the Run keeps from finding out what became of a write.
	Own bool
	// Quotas are those of outside Workers, on what is parked; none where it is not.
	Quotas []Quota
	// Uses are counted again, and stored; see ErrUsedUp. Of an Own one there are none.
	Uses    []policy.Use
	Events  []audit.Event
	Observe []explain.Observation
	Outbox  []commit.Message
}

// Intents stores Intents and their steps.
type Intents interface {
	commit.Store
	// Propose stores a new Intent, or returns the earlier one that it repeats.
	// Conflict: its key was used for something else, and must not be answered
	// with another's result. Limit: too many calls, or parked ones; ErrUsedUp: a
	// rate or a budget has no room for it any more. Denied: the Run has ended.
	Propose(ctx context.Context, p Proposed) (it intent.Intent, fresh bool, err error)
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
	// IntentsByID are those of a tenant that are there and not refused.
	IntentsByID(ctx context.Context, tenant ident.Tenant, ids []string) ([]intent.Intent, error)
	Attempt(ctx context.Context, tenant ident.Tenant, id string) (commit.Attempt, error)
	// Repark takes an Intent back into the queue, as it is bound now, under a new
	// Decision: an approved one, or one that a person wants to be tried again. uses
	// are stored as by Propose, but for what has its place already.
	Repark(ctx context.Context, s commit.Step, it intent.Intent, d decision.Decision, uses []policy.Use) error
}

// Earlier is what was proposed before: what a key stands for, and what was used.
type Earlier interface {
	// IntentByKey is the Run's Intent with that key, and the digest of its
	// arguments; kind NotFound when there is none.
	IntentByKey(ctx context.Context, tenant ident.Tenant, run, key string) (intent.Intent, intent.Digest, error)
	// PolicyUse is what other Intents have used of a limit within its window before
	// now, and whether this one has its place already.
	PolicyUse(ctx context.Context, tenant ident.Tenant, u policy.Use, intentID string, now time.Time) (used int64, held bool, err error)
	// Answered lists a Run's Intents that its Worker has an answer to, in the order
	// of the answers, but for those of the Connection except: the last ones, with at
	// most so many bytes. all says whether these are all there are.
	Answered(ctx context.Context, tenant ident.Tenant, run, except string, most int) (its []intent.Intent, all bool, err error)
}

// NewRun is a Run to be stored with what becomes true with it.
type NewRun struct {
	Run     intent.Run
	Key     string // idempotency of the start, may be empty
	Alone   bool   // where the starter has an open Run of the Mission, that one is given instead
	Quotas  []Quota
	Events  []audit.Event
	Observe []explain.Observation
	Outbox  []commit.Message
}

// Runs stores Runs.
type Runs interface {
	Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error)
	// CreateRun stores a Run, or returns the one that was started with its key, or
	// that is open where there may be one alone. An [OverLimit] where a Quota is full.
	CreateRun(ctx context.Context, n NewRun) (intent.Run, error)
	EndRun(ctx context.Context, tenant ident.Tenant, id, verdict, summary string, at time.Time, ev audit.Event, o explain.Observation) error
	// Incident writes one down, with its entry and, where it has a Run, with its
	// Observation; n is how many of those that count the Run has now. One that goes
	// on is counted, and is not always on the record again.
	Incident(ctx context.Context, in incident.Incident, ev audit.Event, o explain.Observation) (n int, err error)
	// Refuse counts a refused proposal against the Run and writes it down.
	Refuse(ctx context.Context, run string, ev audit.Event, o explain.Observation) (int, error)
}

// Decisions reads what was decided on an Intent, and whether who decided may
// still do so.
type Decisions interface {
	// DecisionOf is the latest Decision on an Intent; kind NotFound.
	DecisionOf(ctx context.Context, tenant ident.Tenant, intentID string) (decision.Decision, error)
	// MemberSince is when an account joined a Team, by the Team's id; kind
	// NotFound when it is no member, or is disabled.
	MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error)
	// AdminSince is since when an account has the role admin; kind NotFound when it
	// has it not, or is disabled.
	AdminSince(ctx context.Context, tenant ident.Tenant, account string) (time.Time, error)
}

// Vault opens doors and keeps what is found; it hands out nothing else.
type Vault interface {
	Head(ctx context.Context, tenant ident.Tenant, ref string) (vault.Meta, error)
	Open(ctx context.Context, spec vault.DoorSpec) (http.RoundTripper, error)
	Scrub(tenant ident.Tenant) *scrub.Set
	// Renewed says that a version, which is a pointer, has another value by now than
	// the one that was refused; see vault.Vault.
	Renewed(ctx context.Context, tenant ident.Tenant, secret string, version int, used vault.External) bool
	// Quarantine keeps a value that nobody stored; see vault.Vault.
	Quarantine(ctx context.Context, f vault.Found) (string, error)
	// Dismissed says that a person called the value no secret.
	Dismissed(tenant ident.Tenant, value []byte) bool
}

// Config is what a Gate is made of; every field is needed.
type Config struct {
	Intents   Intents
	Earlier   Earlier
	Runs      Runs
	Stops     Stops
	Decisions Decisions
	Editors   Editors
	Edits     Edits
	Vault     Vault
	Machine   *commit.Machine
	Rail      *explain.Rail
	World     func(ident.Tenant) (World, error)
	Transport func(*catalog.Match) http.RoundTripper // to the system, without a credential
	Now       func() time.Time
	Log       *slog.Logger
	// Notices keeps what a person has to see about a system.
	Notices Notices
	// Grants are authorizations by people.
	Grants Grants
	// Credentials are asked what became of a version that a system refuses; nil: a
	// refusal stands.
	Credentials Credentials
	// RecordKey hides the names of records that are private; nil: they are left out.
	RecordKey RecordKey
	// Workers and WorkerRuns are what outside Workers need; nil: there are none.
	Workers    Workers
	WorkerRuns WorkerRuns
}

// Gate admits Intents. Its methods are safe for concurrent use.
type Gate struct {
	Config
	tries  tries
	meter  meter
	excess excesses
}

// New makes a gate.
func New(c Config) *Gate { return &Gate{Config: c} }

// run loads the Run that the caller authenticated as.
func (g *Gate) run(ctx context.Context, who ident.Principal) (intent.Run, error) {
	if !who.Valid() || who.Kind != ident.Run {
		return intent.Run{}, fault.New(fault.Denied, "only a Run proposes an action")
	}
	r, err := g.Runs.Run(ctx, who.Tenant, who.ID)
	if err != nil {
		return r, fault.Wrap(fault.KindOf(err), "checking the Run", err)
	}
	if r.State == intent.RunEnded {
		return r, fault.New(fault.Denied, "the Run has ended")
	}
	if who.Auth.How != "" {
		r.Auth = who.Auth.How
	}
	_, err = g.outsiderOf(ctx, r) // a Worker that may not act any more may not by a Run either
	return r, err
}

// candidate is one call with everything that was resolved for it.
type candidate struct {
	run   intent.Run
	world World
	match *catalog.Match
	meta  vault.Meta
	// external is what the door was opened with, where that is not in our store.
	external vault.External
	verdict  policy.Verdict
	it       intent.Intent
	own      bool           // a lookup of the Boundary's own
	outside  *outsider      // who started the Run, where it is an outside Worker; as it was looked up last
	origins  *origin.Report // of the arguments, once they were traced

	decision   string   // by which it was claimed
	approvers  []string // who gave it
	redactions int      // places that were taken out of the answer
	incidents  int      // how many the Run has, after one of this very attempt
}

// resolve finds the one match, checks the arguments and names the Secret's
// version. It touches no credential.
func (g *Gate) resolve(ctx context.Context, c *candidate) (err error) {
	it := &c.it
	if c.world, err = g.World(it.Tenant); err != nil {
		return fault.Wrap(fault.Unavailable, "reading the configuration", err)
	}
	if c.match, err = c.world.Catalog.Match(c.run.Mission, it.Connection, it.Tool); err != nil {
		return err
	}
	it.Effect = c.match.Tool.Effect
	if err = c.match.Kind.Check(it.Tool, it.Args); err != nil {
		return err
	}
	if c.match.Connection.Auth.Scheme == resource.SchemeNone {
		return nil
	}
	if c.meta, err = g.Vault.Head(ctx, it.Tenant, c.match.Connection.Auth.Secret); err != nil {
		kind := fault.Denied // it was removed, disabled, or is refused: another try changes nothing
		if fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Internal) {
			kind = fault.Unavailable
		}
		return fault.Wrap(kind, "looking up the Connection's Secret", err)
	}
	return nil
}

// bind renders the request and digests everything that decides what is sent and
// what an approver sees.
func (c *candidate) bind(pin bool) error {
	it := &c.it
	req, err := c.match.Kind.Render(it.Tool, it.Args, it.ID)
	if err != nil {
		return err
	}
	auth := c.match.Connection.Auth
	place, field := auth.Place()
	it.Bound = intent.Bound{
		Tenant: it.Tenant, Run: it.Run, Intent: it.ID, Revision: it.Revision, Mission: c.run.Mission,
		Connection: it.Connection, Integration: c.match.Integration.Name, IntegrationRevision: c.match.Revision,
		Tool: it.Tool, ToolDigest: c.match.Tool.Digest, Args: it.Args, Request: req, Reason: it.Reason,
		Repeat: it.Repeat, Again: it.Bound.Again, Scheme: auth.Scheme, Place: place, Field: field, SecretRef: c.meta.Name, VersionRule: c.versionRule(pin),
		Salt: it.Salt,
	}
	it.Digest, err = it.Bound.Digest()
	return err
}
