package vault

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/kek"
)

// Store keeps what the vault encrypted. It interprets nothing. Every method
// that writes stores its audit events in the same transaction, and returns when
// both are durable.
type Store interface {
	// LoadVault reads everything, as of one moment.
	LoadVault(ctx context.Context) (Snapshot, error)
	// SaveSeals adds seals of the root key where there are exactly existing
	// ones; Conflict otherwise.
	SaveSeals(ctx context.Context, existing int, add []SealRow, ev audit.Event) error
	// SaveSecret makes one change; Conflict when a row is not at the revision
	// before the one that is written.
	SaveSecret(ctx context.Context, c Change) error
	// RecordVault only records.
	RecordVault(ctx context.Context, evs []audit.Event) error
}

// SealRow is the root key under one seal.
type SealRow struct {
	Vault      string // the vault's id
	Generation int    // of the root key, from 1
	Sealed     kek.Sealed
	Check      []byte // key check value of the root key
	CreatedAt  time.Time
}

// ProjectRow is a tenant's project key, wrapped by the root key.
type ProjectRow struct {
	Tenant    ident.Tenant
	Project   string
	Term      int // from 1; a new one for each rotation
	Wrapped   []byte
	CreatedAt time.Time
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

// VersionRow is one version's ciphertexts. They are written once.
type VersionRow struct {
	Tenant  ident.Tenant
	Name    string
	Version int
	Key     []byte // the data key, wrapped by the project key
	Value   []byte // the fields under the data key
}

// Snapshot is everything that is stored.
type Snapshot struct {
	Seals     []SealRow
	Projects  []ProjectRow
	Registers []Row
	Secrets   []Row
	Versions  []VersionRow
	// Changes counts, by tenant, the changes of Secrets that the audit log has.
	Changes map[ident.Tenant]int64
}

// Change is one change of one Secret, all of it or nothing.
type Change struct {
	Secret   Row
	Register Row
	Project  *ProjectRow // a new term, or nil
	Version  *VersionRow // a new version, or nil
	Shred    []int       // versions whose ciphertexts are overwritten and deleted
	Event    audit.Event
}
