// Package ident has the names of things: tenants, ids, resource names, and the
// principal that every call is attributed to.
//
// It refuses to guess: an id or a name that does not have its form is an
// error, and a principal without a tenant or a kind authorises nothing.
//
// # Security
//
// Ids have 128 random bits, so they can't be guessed, but an id is never
// authority by itself; some tell the second in which they were made. A [Principal] is
// made by whoever authenticated the caller (package identity), never from a
// message's fields.
package ident

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// Tenant names an organisation. It is in every key, row, digest and log line;
// nothing crosses from one to another.
type Tenant string

// New makes an id: the prefix ("acc", "ses", "key", …), an underscore, and 26
// lower-case base32 characters with at least 128 random bits.
func New(prefix string) string { return prefix + "_" + random() }

func random() string { return strings.ToLower(rand.Text()) }

// digits are those of base32, in the order of their bytes.
const digits = "234567abcdefghijklmnopqrstuvwxyz"

// At makes an id of something of which there are many ("run", "int", "dec", …): as
// New does, with 7 characters of the time in seconds before the random ones. Such ids
// sort by the second in which they were made, so that rows which are written together
// lie together. That is all that the time is for: nobody reads it.
func At(prefix string, now time.Time) string {
	var at [7]byte // 35 bits: until the year 3058
	for i := range at {
		at[i] = digits[now.Unix()>>(5*(len(at)-1-i))&31]
	}
	return prefix + "_" + string(at[:]) + random()
}

// maxName is the most bytes in a resource's name; with two of them, "__" and a
// tool's name an MCP tool name still fits its 64 characters in the usual case.
const maxName = 40

// CheckName says whether s can name a resource (a Connection, a Mission, a
// Secret, …) or a tenant: lower-case letters, digits and single hyphens, a
// letter first, at most 40 bytes. The error is of kind Invalid.
func CheckName(s string) error {
	switch {
	case s == "":
		return fault.New(fault.Invalid, "the name is empty")
	case len(s) > maxName:
		return fault.Newf(fault.Invalid, "the name %q is longer than %d bytes", fault.Quote(s), maxName)
	case s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '-' || strings.Contains(s, "--"):
		return badName(s)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return badName(s)
		}
	}
	return nil
}

func badName(s string) error {
	return fault.Newf(fault.Invalid, "%q is not a name", fault.Quote(s)).
		WithHint("use lower-case letters, digits and single hyphens, and begin with a letter, like erp-read")
}

// Kind says what sort of caller a principal is.
type Kind string

// The kinds of principal.
const (
	Person Kind = "person" // somebody with an account, signed in
	Run    Kind = "run"    // a Worker, authenticated as its Run
	Worker Kind = "worker" // an outside Worker as itself: it starts Runs, and acts as them
	System Kind = "system" // the product itself: the scheduler, the sweeper
)

// Role is what a person may do besides deciding, which is a Team's business.
type Role string

// The roles. Builder implies nothing of admin; admin does not approve.
const (
	Requester Role = "requester" // start Runs of published Missions, see own Runs
	Approver  Role = "approver"  // see the Decision Queue; which items is the Team's business
	Builder   Role = "builder"   // apply resources
	Auditor   Role = "auditor"   // read the audit log, every Run and every Decision
	Admin     Role = "admin"     // accounts, Secrets, and a verdict on an UNKNOWN write
)

// Roles lists every role, in the order help texts show them.
var Roles = []Role{Requester, Approver, Builder, Auditor, Admin}

// Principal is an authenticated caller.
type Principal struct {
	Tenant Tenant
	Kind   Kind
	ID     string // account id, run id, or the system part's name; never changes
	Name   string // what people call it; for display only
	Roles  []Role // of a person
	Auth   Auth   // of an outside Worker
}

// Auth is how an outside Worker has shown who it is: for the record, and for the end
// of what it is given by it.
type Auth struct {
	How   string    // "token:" and its fingerprint, or "jwt:" and the subject, " by " and the issuer
	Via   string    // the keyed hash of a token that was minted here; empty of any other
	Until time.Time // when it is worth nothing any more
}

// WorkerName is the outside Worker's name in a principal as it is written; "" where
// it is of another kind.
func WorkerName(principal string) string {
	name, _ := strings.CutPrefix(principal, string(Worker)+":")
	if name == principal {
		return ""
	}
	return name
}

// Has reports whether p is a person with the role.
func (p Principal) Has(r Role) bool { return p.Kind == Person && slices.Contains(p.Roles, r) }

// Valid reports whether p names a caller at all.
func (p Principal) Valid() bool { return p.Tenant != "" && p.Kind != "" && p.ID != "" }

// String is "kind:id", as it is written in the audit log.
func (p Principal) String() string { return string(p.Kind) + ":" + p.ID }
