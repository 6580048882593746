// Package storetest is the conformance suite that every store has to pass: the
// promises of identity and decision, told as stories and played against the real
// services over the store under test.
//
// It is imported by tests alone. It refuses to look inside: what a store did is
// read through the same interfaces that the product uses.
package storetest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault"
)

// Store is what the suite needs of a store.
type Store interface {
	identity.Store
	gate.WorkerRuns
	decision.Store
	decision.Papers
	explain.Store
	incident.Store
	Incident(ctx context.Context, in incident.Incident, ev audit.Event, o explain.Observation) (n int, err error)
	Intents(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error)
	CreateRun(ctx context.Context, n gate.NewRun) (intent.Run, error)
	Propose(ctx context.Context, p gate.Proposed) (it intent.Intent, fresh bool, err error)
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
	PolicyUse(ctx context.Context, tenant ident.Tenant, u policy.Use, intentID string, now time.Time) (used int64, held bool, err error)
	Answered(ctx context.Context, tenant ident.Tenant, run, except string, most int) (its []intent.Intent, all bool, err error)
	SweepUses(ctx context.Context, now time.Time) error
	Repark(ctx context.Context, s commit.Step, it intent.Intent, d decision.Decision, uses []policy.Use) error
	Edit(ctx context.Context, e gate.Edited) error
	Step(ctx context.Context, s commit.Step) (fence int64, err error)
	Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error)
	EndRun(ctx context.Context, tenant ident.Tenant, id, verdict, summary string, at time.Time, ev audit.Event, o explain.Observation) error
	Hold(ctx context.Context, d decision.Decision, ev audit.Event, at time.Time) error
	AdminSince(ctx context.Context, tenant ident.Tenant, account string) (time.Time, error)
	DecisionOf(ctx context.Context, tenant ident.Tenant, intentID string) (decision.Decision, error)
	vault.LeaseStore
	Audit() audit.Reader
}

// Keys are keyed hashes without a vault.
type Keys struct{ Key string }

// MAC is an HMAC under a key that depends on purpose and tenant.
func (k Keys) MAC(p vault.Purpose, t ident.Tenant, parts ...string) ([]byte, error) {
	key := sha256.Sum256([]byte(k.Key)) // FIPS 140-only mode takes no short one
	m := hmac.New(sha256.New, key[:])
	for _, s := range append([]string{string(p), string(t)}, parts...) {
		_ = binary.Write(m, binary.BigEndian, uint32(len(s))) // short strings of tests
		m.Write([]byte(s))
	}
	return m.Sum(nil), nil
}

// Scrub knows no secrets.
func (Keys) Scrub(ident.Tenant) *scrub.Set { return &scrub.Set{} }

// World is a store with the services over it, and a clock that the story moves.
type World struct {
	t     *testing.T
	ctx   context.Context
	Store Store
	Dir   *identity.Directory
	Now   time.Time
	// Workers are the outside Workers that are applied.
	Workers map[ident.Tenant][]*resource.Worker
}

// Start is when every story begins.
var Start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// NewWorld makes the services over a store.
func NewWorld(t *testing.T, s Store) *World {
	t.Helper()
	applied := map[ident.Tenant][]*resource.Worker{}
	dir, err := identity.New(s, Keys{"a key of the store tests alone"},
		identity.WithWorkers(func(t ident.Tenant) ([]*resource.Worker, error) { return applied[t], nil }, nil, acme, func() string { return "" }),
		identity.WithPasskeys(func() (passkey.Party, error) { return party, nil }, identity.WaitingPeriod))
	if err != nil {
		t.Fatal(err)
	}
	return &World{t: t, ctx: context.Background(), Store: s, Dir: dir, Now: Start, Workers: applied}
}

// Pass moves the clock.
func (w *World) Pass(d time.Duration) { w.Now = w.Now.Add(d) }

// Admin is the product itself, in a tenant.
func Admin(tenant ident.Tenant) ident.Principal {
	return ident.Principal{Tenant: tenant, Kind: ident.System, ID: "setup"}
}

// Human is a person of a story, with everything that they know.
type Human struct {
	w        *World
	Account  identity.Account
	Password string
	Factor   identity.Enrolment
}

// Password is what everybody in a story has chosen.
const Password = "correct horse battery"

// Human creates a person with an account, an approver where no role is given.
func (w *World) Human(tenant ident.Tenant, name string, roles ...ident.Role) *Human {
	w.t.Helper()
	if len(roles) == 0 {
		roles = []ident.Role{ident.Approver}
	}
	a, e, err := w.Dir.CreateAccount(w.ctx, Admin(tenant), identity.NewAccount{Tenant: tenant, Name: name, Roles: roles, Password: Password}, w.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	return &Human{w, a, Password, e}
}

// Code is what the person's authenticator shows now.
func (h *Human) Code() string {
	h.w.t.Helper()
	c, err := identity.Code(h.Factor.Secret, h.Factor.Alg, h.w.Now)
	if err != nil {
		h.w.t.Fatal(err)
	}
	return c
}

// NextCode waits until the authenticator shows a new code.
func (h *Human) NextCode() string {
	h.w.Pass(30 * time.Second)
	return h.Code()
}

// SignIn signs the person in with a new code.
func (h *Human) SignIn() (identity.Session, string) {
	h.w.t.Helper()
	s, token, err := h.w.Dir.SignIn(h.w.ctx, h.Account.Tenant, h.Account.Name, h.Password, h.NextCode(), h.w.Now)
	if err != nil {
		h.w.t.Fatal(err)
	}
	return s, token
}

// wantKind fails unless err is of the kind.
func (w *World) wantKind(err error, k fault.Kind) {
	w.t.Helper()
	if fault.KindOf(err) != k {
		w.t.Fatalf("got %v of kind %q, want kind %q", err, fault.KindOf(err), k)
	}
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// entries reads a tenant's audit entries of a type.
func (w *World) entries(tenant ident.Tenant, typ audit.Type) []audit.Entry {
	w.t.Helper()
	rows, err := w.Store.Audit().List(w.ctx, tenant, audit.Filter{Type: typ}, 0, 1000)
	w.must(err)
	out := make([]audit.Entry, len(rows))
	for i, r := range rows {
		out[i], err = audit.ParseEntry(r.Entry)
		w.must(err)
	}
	return out
}

// wantNowhere fails if the tenant's audit log has the text.
func (w *World) wantNowhere(tenant ident.Tenant, text string) {
	w.t.Helper()
	rows, err := w.Store.Audit().List(w.ctx, tenant, audit.Filter{}, 0, 1000)
	w.must(err)
	for _, r := range rows {
		if strings.Contains(string(r.Entry), text) {
			w.t.Fatalf("the audit log has %q: %s", text, r.Entry)
		}
	}
}
