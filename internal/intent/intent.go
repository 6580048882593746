// Package intent has the unit that everything turns on: what a Worker proposes,
// the states it goes through, and the digest that a Decision is bound to.
//
// It is pure: no clock, disk, network or logger. It refuses arguments that are
// not one canonical JSON object, and an Intent has no field in which a Worker
// could name a Secret, a host, a tenant or a starter.
//
// # Security
//
// The digest covers everything that decides what would be sent and what the
// approver was shown; see [Bound]. Canonical JSON refuses what two parsers
// could read in two ways.
package intent

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Proposal is what a Worker sends. The Run, and with it the tenant, the Mission
// and the starter, come from how it authenticated.
type Proposal struct {
	Connection string          `json:"connection"`
	Tool       string          `json:"tool"`
	Args       json.RawMessage `json:"args"`             // one JSON object
	Reason     string          `json:"reason,omitempty"` // shown to the approver
	// Repeat says that doing the same write a second time is meant.
	Repeat bool `json:"repeat,omitempty"`
	// Key makes the proposal idempotent within its Run: the same key gives the
	// same Intent. Optional; at most 100 bytes.
	Key string `json:"key,omitempty"`
	// Source is the address that the proposal came from, where it is known. The
	// door that it came through says so, never the Worker.
	Source netip.Addr `json:"-"`
}

// Limits on what a Worker sends.
const (
	MaxArgs   = 1 << 20 // bytes of canonical arguments; a completion carries its transcript
	MaxReason = 4 << 10 // bytes
	MaxKey    = 100     // bytes
)

// Check canonicalises the arguments and bounds every field. Kind Invalid.
func (p *Proposal) Check() error {
	if len(p.Args) == 0 {
		p.Args = json.RawMessage("{}")
	}
	if len(p.Args) > 4*MaxArgs {
		return fault.Newf(fault.Invalid, "the arguments are larger than %d KiB", MaxArgs>>10)
	}
	c, err := Canonical(p.Args)
	switch {
	case err != nil:
		return fault.Wrap(fault.Invalid, "reading the arguments", err)
	case c[0] != '{':
		return fault.New(fault.Invalid, "the arguments are not a JSON object")
	case len(c) > MaxArgs:
		return fault.Newf(fault.Invalid, "the arguments are larger than %d KiB", MaxArgs>>10)
	case len(p.Reason) > MaxReason:
		return fault.Newf(fault.Invalid, "the reason is longer than %d bytes", MaxReason)
	case len(p.Key) > MaxKey:
		return fault.Newf(fault.Invalid, "the key is longer than %d bytes", MaxKey)
	}
	p.Args = c
	return nil
}

// Intent is a stored proposal with everything that was resolved for it.
type Intent struct {
	Tenant     ident.Tenant    `json:"tenant"`
	ID         string          `json:"id"` // "int_…"
	Revision   int             `json:"revision"`
	Run        string          `json:"run"`
	Mission    string          `json:"mission"`
	Starter    string          `json:"starter"`         // principal of who started the Run: "person:acc_…" or "system:schedule"
	Owner      string          `json:"owner,omitempty"` // the account that answered for the outside Worker when it was proposed
	Connection string          `json:"connection"`
	Tool       string          `json:"tool"`
	Effect     resource.Effect `json:"effect"`
	Args       json.RawMessage `json:"args"` // canonical
	Reason     string          `json:"reason"`
	Repeat     bool            `json:"repeat,omitempty"`
	Key        string          `json:"key,omitempty"`
	Source     string          `json:"source,omitempty"` // the address that it came from, where it is known
	Bound      Bound           `json:"bound"`
	Digest     Digest          `json:"digest"`
	Salt       string          `json:"salt,omitempty"` // of what the audit log has of the bodies; erased with them
	State      State           `json:"state"`
	Why        string          `json:"why,omitempty"` // of a denial, rejection, failure
	Result     *Result         `json:"result,omitempty"`
	Edits      int             `json:"edits,omitempty"`  // how often an approver changed it; what it was is kept
	Edited     string          `json:"edited,omitempty"` // what is other than it was proposed; one line, scrubbed
	Theirs     json.RawMessage `json:"theirs,omitempty"` // the values that approvers gave with it; a list
	CreatedAt  time.Time       `json:"createdAt"`
	UpdatedAt  time.Time       `json:"updatedAt"`
}

// Bound is what the digest covers, in full. A field that is missing here is a
// field that an approver did not approve.
type Bound struct {
	Tenant              ident.Tenant    `json:"tenant"`
	Run                 string          `json:"run"`
	Intent              string          `json:"intent"`
	Revision            int             `json:"revision"`
	Mission             string          `json:"mission"`
	Connection          string          `json:"connection"`
	Integration         string          `json:"integration"`
	IntegrationRevision int64           `json:"integrationRevision"`
	Tool                string          `json:"tool"`
	ToolDigest          string          `json:"toolDigest"` // of its definition: schema, method, path, effect
	Args                json.RawMessage `json:"args"`
	Request             Request         `json:"request"`
	Reason              string          `json:"reason"`
	Repeat              bool            `json:"repeat"` // a deliberate second write of the same
	// Again is why it is asked a second time: a person's word on an earlier attempt
	// whose outcome nobody could find out.
	Again       string          `json:"again,omitempty"`
	Scheme      resource.Scheme `json:"scheme"`      // how and where the credential is injected
	Place       string          `json:"place"`       // of the header, query and child schemes: its name, or the variables
	Field       string          `json:"field"`       // which of the Secret's fields; of several, in Place's order
	SecretRef   string          `json:"secretRef"`   // the Secret's name; never a value
	VersionRule string          `json:"versionRule"` // "active", or "vN" where it is pinned
	// Salt is the Intent's: without it, who has the audit log's entry could find short
	// arguments by trying.
	Salt string `json:"salt,omitempty"`
}

// Request is the rendered request without its credential: exactly what would
// leave, so that the approver's page and the wire can be compared.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// Digest is a SHA-256 in lower-case hex.
type Digest string

// Digest of the canonical JSON of b.
func (b Bound) Digest() (Digest, error) {
	c, err := Marshal(b)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "digesting the intent", err)
	}
	sum := sha256.Sum256(append([]byte("sallyport intent v1\n"), c...))
	return Digest(hex.EncodeToString(sum[:])), nil
}

// Equal compares in constant time; an empty digest equals nothing.
func (d Digest) Equal(o Digest) bool {
	return d != "" && subtle.ConstantTimeCompare([]byte(d), []byte(o)) == 1
}

// SHA256 is the digest of some bytes, as the audit log names bodies by it.
func SHA256(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// Salted is the digest of a body as the audit log has it: SHA-256 of the salt's text
// and the body. Once the salt is erased nobody can find the body by trying.
func Salted(salt string, body []byte) Digest { return SHA256(append([]byte(salt), body...)) }

// Result is what came back, scrubbed: the exact bytes that Worker, rail, log
// and store see.
type Result struct {
	State       State           `json:"state"`
	Status      int             `json:"status,omitempty"` // of the system's answer
	ContentType string          `json:"contentType,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`   // JSON; text is a JSON string
	Note        string          `json:"note,omitempty"`   // for the Worker: what it means, what to do next
	Edited      string          `json:"edited,omitempty"` // what an approver changed before it was sent
	Redactions  int             `json:"redactions,omitempty"`
	Truncated   bool            `json:"truncated,omitempty"`
}
