package intent

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"sallyport.dev/internal/ident"
)

// Act is one person giving one verdict on one Decision: what their fresh proof is
// for. Who verifies the audit log makes it again from an entry's own fields, so it
// has nothing that is not on the record.
type Act struct {
	Tenant   ident.Tenant
	Decision string
	Intent   string
	Revision int
	Digest   Digest
	Needs    []string // who has to approve, as "TEAM:COUNT" with the Team's id, in order
	Expires  time.Time
	Verdict  string // "approve", "reject" or "break-glass"
	Account  string // id
}

// Sum is the act's digest; "", which equals none, when something is no text.
func (a Act) Sum() Digest {
	b, err := Marshal(map[string]any{
		"tenant": a.Tenant, "decision": a.Decision, "intent": a.Intent, "revision": a.Revision, "digest": a.Digest,
		"needs": a.Needs, "expires": a.Expires.UnixMilli(), "verdict": a.Verdict, "account": a.Account,
	})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte("sallyport verdict v1\n"), b...))
	return Digest(hex.EncodeToString(sum[:]))
}
