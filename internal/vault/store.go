package vault

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

// Store keeps what the vault encrypted. It interprets nothing. Every method
// that writes stores its audit events in the same transaction, and returns when
// both are durable.
type Store interface {
	// LoadVault reads everything, as of one moment.
	LoadVault(ctx context.Context) (Snapshot, error)
	// LastChanges gives the revisions that what LoadVault read has to have. The
	// vault holds its keys by then.
	LastChanges(ctx context.Context) (Changes, error)
	// SaveRing replaces the ring, all of it, where the stored one is at revision
	// was (0: there is none); Conflict otherwise.
	SaveRing(ctx context.Context, was int64, next Ring, evs []audit.Event) error
	// SaveSecrets makes one change; Conflict when a row is not at the revision
	// before the one that is written.
	SaveSecrets(ctx context.Context, c Change) error
	// RecordVault only records.
	RecordVault(ctx context.Context, evs []audit.Event) error
}

// ProjectRow is a tenant's project key, wrapped by the root key.
type ProjectRow struct {
	Tenant    ident.Tenant `json:"tenant"`
	Project   string       `json:"project"`
	Term      int          `json:"term"` // from 1; a new one for each rotation
	Wrapped   []byte       `json:"wrapped"`
	CreatedAt time.Time    `json:"createdAt"`
}

// Row is one that steers use: a Secret's head, or a tenant's register (then
// Name is empty). Body is canonical JSON.
type Row struct {
	Tenant ident.Tenant
	Name   string
	Rev    int64 // from 1, one more with each write
	Body   []byte
	MAC    []byte
}

// VersionRow is one version's ciphertexts. They are written once, and again only
// when their keys are rotated.
type VersionRow struct {
	Tenant  ident.Tenant
	Name    string
	Version int
	Key     []byte // the data key, wrapped by the project key
	Value   []byte // the fields under the data key
}

// Snapshot is everything that is stored.
type Snapshot struct {
	Ring      Ring // Rev 0 before the first start
	Registers []Row
	Secrets   []Row
	Versions  []VersionRow
	// Logged says that there is an audit log: this is no first start.
	Logged bool
}

// Changes are how many changes there were, by what the audit log has; negative
// where the log is not the one that was signed.
type Changes struct {
	Secrets map[ident.Tenant]int64 // of each tenant's Secrets, see audit.SecretChanges
	Ring    int64                  // of the ring, see audit.RingChanges
}

// Change is one change of a tenant's Secrets, all of it or nothing.
type Change struct {
	Secrets  []Row // heads
	Register Row
	Project  *ProjectRow  // a new term, or nil
	Versions []VersionRow // new, or with new keys
	Shred    []VersionID  // whose ciphertexts are overwritten and deleted
	Drop     []int        // terms of the project key that nothing refers to any more: overwritten and deleted
	Event    audit.Event
}

// VersionID names a version of a Secret.
type VersionID struct {
	Name    string
	Version int
}
