package intent

import (
	"time"

	"sallyport.dev/internal/ident"
)

// HoldKind is what a legal hold is on.
type HoldKind string

// The kinds of hold.
const (
	HoldRun     HoldKind = "run"
	HoldMission HoldKind = "mission"
	HoldRecord  HoldKind = "record" // every Run that an entry names with this record
)

// Hold keeps bodies from being erased.
type Hold struct {
	Tenant ident.Tenant `json:"-"`
	Kind   HoldKind     `json:"kind"`
	Name   string       `json:"name"`
	Since  time.Time    `json:"since"`
	By     string       `json:"by"` // account
	Reason string       `json:"reason"`
}
