// Package audit is the append-only, tamper-evident record of every use of every
// credential and of every change of configuration: one Merkle log for each
// tenant, in the product's own database, written in the same transaction as what
// it records.
//
// An [Event] becomes one entry: canonical JSON (RFC 8785) of at most 60 KiB. A
// [Sequencer] gives it the log's next index, stores it with the hashes that it
// completes, and signs one checkpoint (C2SP tlog-checkpoint, an Ed25519 signed
// note) for each transaction. [Handler] serves the log as C2SP tlog-tiles, and
// [Verify] checks a whole log offline, without the program that wrote it.
//
// It refuses an event of an unknown type, a field that its type does not list,
// a value that does not have the field's form, a log whose stored end is not
// the one that was signed ([ErrDiverged]), and to seal a transaction in which
// an append had failed.
//
// # Security
//
// Entries hold names, ids, digests, states and short reasons that are scrubbed
// already; never a body, an argument or a secret. Nothing is redacted here: what
// is not allowed is an error. Who can write the database can destroy the log,
// but can't change it unnoticed without the signing key; a truncated log or one
// that was signed again is found only with a checkpoint that somebody kept
// elsewhere.
package audit

import (
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Event is one thing to record. Type, Tenant, At and Actor are needed; the other
// names are given where they apply, and are what people filter by.
type Event struct {
	Type       Type
	Tenant     ident.Tenant
	At         time.Time // kept in UTC, cut to milliseconds
	Actor      string    // ident.Principal.String() of who caused it: "person:acc_…", "run:run_…", "system:sweeper"
	Run        string
	Mission    string
	Intent     string
	Connection string
	Tool       string
	// Fields are those that the type allows, see types.go. Values are strings
	// (of any string type), integers, bools, []string, or time.Time, by the
	// field's form. An empty string or list is left out.
	Fields map[string]any
}

// ErrDiverged says that the stored log is not the one that was signed: somebody
// changed the database, or a second program writes it. The process has to stop;
// nothing may happen that can't be recorded.
var ErrDiverged error = fault.New(fault.Unavailable, "the stored audit log is not the one that was signed").
	WithHint("stop the server and run: sallyport audit verify --data DIR")

// MaxEntry is the most bytes in an entry.
const MaxEntry = 60 << 10
