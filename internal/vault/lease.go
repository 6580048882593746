package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// Lease is a credential that a backend has made for one Run, or is asked to make, as it
// is on record: where it is from and how it is ended. It has no value; that is in
// memory alone. What is on record and has no value in memory is of no use to
// anybody, and is revoked.
type Lease struct {
	Tenant  ident.Tenant `json:"-"`
	ID      string       `json:"id"` // ours
	Run     string       `json:"run"`
	Secret  string       `json:"secret"`
	Version int          `json:"version"`
	Backend string       `json:"backend"`
	Path    string       `json:"path"`
	// Where is the SHA-256 of the address that made it: under the backend's name there
	// can be another server by now.
	Where string `json:"-"`
	// Handle and Lease are by what the backend ends it; see backend.Lessor. They are
	// no secrets, and shown to nobody but the backend.
	Handle  string     `json:"-"`
	Lease   string     `json:"-"`
	Digest  string     `json:"digest,omitempty"` // SHA-256 of Lease, to find it at the backend
	State   LeaseState `json:"state"`
	Issued  time.Time  `json:"issued"`
	Expires time.Time  `json:"expires,omitzero"` // it ends by then, whatever becomes of us
	Why     string     `json:"why,omitempty"`    // of one that is left: why it is to be ended
}

// LeaseState is how far a lease has come.
type LeaseState string

// The states. One that was revoked, or has come to its end, is on record no more; the
// audit log has it.
const (
	LeaseAsked LeaseState = "asked" // durable before the backend makes anything
	LeaseLive  LeaseState = "live"  // in use by its Run
	LeaseLeft  LeaseState = "left"  // it was to be revoked, and the backend has not done it; it is tried again
)

// LeaseStore keeps leases, each change with its audit event.
type LeaseStore interface {
	// Leases are a tenant's.
	Leases(ctx context.Context, t ident.Tenant) ([]Lease, error)
	// SaveLease stores a new one, or one in place of what is stored.
	SaveLease(ctx context.Context, l Lease, ev audit.Event) error
	// ProlongLease stores when one ends, which is not on the record: it is renewed often.
	ProlongLease(ctx context.Context, l Lease) error
	// EndLease forgets one.
	EndLease(ctx context.Context, l Lease, ev audit.Event) error
}

// KeepLeases says where leases are kept. Before that, no backend makes a credential.
// look is called when a change of a Secret may have ended the use of some: it has
// [Vault.TendLeases] called soon, and does not wait.
func (v *Vault) KeepLeases(store LeaseStore, look func()) {
	v.hires.mu.Lock()
	defer v.hires.mu.Unlock()
	v.hires.store, v.hires.look = store, look
}

// Leases lists what is on record for a Secret, or with an empty name for all.
func (v *Vault) Leases(ctx context.Context, t ident.Tenant, secret string) ([]Lease, error) {
	if _, err := v.open(); err != nil {
		return nil, err
	}
	store := v.hires.kept()
	if store == nil {
		return nil, nil
	}
	all, err := store.Leases(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []Lease
	for _, l := range all {
		if secret == "" || l.Secret == secret {
			out = append(out, l)
		}
	}
	return out, nil
}

// LeasesLeft lists a tenant's leases that could not be revoked, for the doctor.
func (v *Vault) LeasesLeft(ctx context.Context, t ident.Tenant) (out []Lease, err error) {
	all, err := v.Leases(ctx, t, "")
	for _, l := range all {
		if l.State == LeaseLeft {
			out = append(out, l)
		}
	}
	return out, err
}

// Dynamic says whether a version's value is made anew for each Run.
func (v *Vault) Dynamic(ver Version) bool {
	return ver.Pointer != nil && v.cfg.Backends.Lessor(ver.Pointer.Backend) != nil
}

// event is an entry about a lease. It has no id of the backend's but its digest: who
// reads the record and has a token there could end it by that.
func (l Lease) event(typ audit.Type, now time.Time, state, why string) audit.Event {
	fields := map[string]any{"lease": l.ID, "secret": l.Secret, "secretVersion": l.Version, "backend": l.Backend, "path": l.Path, "state": state}
	if l.Lease != "" {
		fields["digest"] = l.Digest
	}
	if !l.Expires.IsZero() {
		fields["expires"] = l.Expires
	}
	if why != "" {
		fields["why"] = why
	}
	return audit.Event{Type: typ, Tenant: l.Tenant, At: now, Actor: "system:leases", Run: l.Run, Fields: fields}
}

// leaseDigest is how a backend's lease is named to people.
func leaseDigest(id string) string {
	h := sha256.Sum256([]byte(id))
	return hex.EncodeToString(h[:])
}
