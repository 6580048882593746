package connector

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// Item is a [Notice] that waits for a person, as it is stored. What a system says is
// in Pinned and Seen alone: text, never markup, scrubbed when it came in.
type Item struct {
	Tenant      ident.Tenant `json:"-"`
	ID          string       `json:"id"`
	Kind        NoticeKind   `json:"kind"`
	Integration string       `json:"integration"`
	Connection  string       `json:"connection"`
	Tool        string       `json:"tool"` // as the system calls it
	Pinned      string       `json:"pinned,omitempty"`
	PinnedHash  string       `json:"pinnedHash,omitempty"`
	Seen        string       `json:"seen,omitempty"`
	SeenHash    string       `json:"seenHash,omitempty"`
	Why         string       `json:"why"`
	At          time.Time    `json:"at"`
	State       ItemState    `json:"state"`
	By          string       `json:"by,omitempty"` // a principal
	SettledAt   time.Time    `json:"settledAt,omitzero"`
	Note        string       `json:"note,omitempty"`
}

// ItemState is what became of an Item.
type ItemState string

// The states.
const (
	ItemOpen     ItemState = "open"
	ItemAccepted ItemState = "accepted" // the definition that was seen is the pinned one now
	ItemRefused  ItemState = "refused"  // it is not, and the tool stays disabled; or a question that was seen
)

// MaxItems is how many may be open at one Integration; a server that changes with
// each call does not fill the list.
const MaxItems = 100

// ItemOf makes an Item of a Notice. The same notice is the same Item.
func ItemOf(t ident.Tenant, integration, connection string, n Notice, at time.Time) Item {
	i := Item{Tenant: t, Kind: n.Kind, Integration: integration, Connection: connection, Tool: n.Tool,
		Pinned: string(n.Pinned), Seen: string(n.Seen), PinnedHash: hashOf(n.Pinned), SeenHash: hashOf(n.Seen), Why: n.Why, At: at, State: ItemOpen}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(n.Kind), integration, n.Tool, i.PinnedHash, i.SeenHash, n.Why}, "\n")))
	i.ID = "chg_" + hex.EncodeToString(sum[:10])
	return i
}

// hashOf is the SHA-256 (hex) of a text; "" of none.
func hashOf(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// System is an Integration as people look at it.
type System struct {
	Name        string    `json:"name"`
	Title       string    `json:"title,omitempty"`
	Kind        string    `json:"kind"` // http, model or mcp
	Origin      string    `json:"origin"`
	Revision    int64     `json:"revision"`
	Connections []string  `json:"connections"`
	Tools       []Offered `json:"tools"`
	Skipped     []string  `json:"skipped,omitempty"` // what is not offered, and why
}

// Offered is a Tool of a System.
type Offered struct {
	Name   string          `json:"name"`
	Title  string          `json:"title,omitempty"`
	Effect resource.Effect `json:"effect"`
	Digest string          `json:"digest"`
}
