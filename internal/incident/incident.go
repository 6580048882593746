// Package incident has what became of a secret that was met where none belongs:
// one record for each, with a page that answers "how could it get there?", and
// what a person did about it; and of each time that admins broke the glass, since that
// is looked into in the same way. [Tell] is the whole reasoning, a function of what is
// on record; [Desk] gathers that and takes a person's word.
//
// It refuses to show an incident to anybody but admins and auditors, to close one
// for another than an admin, to call a Secret rotated that has no newer version,
// and a note with a secret in it. The same thing again, while it is open, counts
// on the one that is there; and one Run, or one person, can't fill the list: see
// [MostAnHour].
//
// # Security
//
// The name of the Secret is for admins and auditors: who sent it learns neither
// which one was met nor whose, or the scrubber would answer guesses. A value is
// nowhere in here. Places, and names that a Worker chose, are its own words: they
// were scrubbed when they were stored, are scrubbed again when they are read, and
// are text for whoever shows them, never markup.
package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Kind is what happened.
type Kind string

// The kinds.
const (
	Sent     Kind = "sent"      // a Worker sent a known secret: stopped
	Typed    Kind = "typed"     // a person typed a known one into a Run's input or key: stopped
	Carried  Kind = "carried"   // a door refused a request that carried one besides its credential
	Met      Kind = "met"       // a system's answer had what looks like a secret that nobody told us: masked
	HandedIn Kind = "handed-in" // a person typed an unknown one and handed it in, into quarantine
	Altered  Kind = "altered"   // a Decision's page would be altered by a hit
	// BreakGlass is the one kind that is about no secret: an admin approved in place of
	// the Teams.
	BreakGlass Kind = "break_glass"
)

// Kinds are all of them.
var Kinds = []Kind{Sent, Typed, Carried, Met, HandedIn, Altered, BreakGlass}

// Counts says whether an incident counts against its Run: what the Worker sent,
// at once or in pieces that the rendered request puts together.
func (k Kind) Counts() bool { return k == Sent || k == Carried }

// Known says whether the secret is one that the vault has: it has a name, and no
// rule found it.
func (k Kind) Known() bool { return k == Sent || k == Typed || k == Carried || k == Altered }

// Ruled says whether a rule found what was met.
func (k Kind) Ruled() bool { return k == Met || k == HandedIn }

// The states.
const (
	Open   = "open"
	Closed = "closed"
)

// What came of an incident.
const (
	Promoted  = "promoted"  // what was in quarantine is a Secret now
	Dismissed = "dismissed" // it was no secret: let through from now on
	Rotated   = "rotated"   // the Secret has a new version
	Explained = "explained" // somebody knows, and nothing is to be done; the note says what
)

// Incident is one thing that happened, and how often.
type Incident struct {
	Tenant     ident.Tenant `json:"tenant"`
	ID         string       `json:"id"` // "inc_…"
	Kind       Kind         `json:"kind"`
	At         time.Time    `json:"at"`
	LastAt     time.Time    `json:"lastAt"`
	Count      int          `json:"count"`
	Run        string       `json:"run,omitempty"` // empty: no Run was started
	Mission    string       `json:"mission,omitempty"`
	Worker     string       `json:"worker,omitempty"` // "built-in" or "outside"
	Intent     string       `json:"intent,omitempty"` // the first one; not stored where it was refused
	Connection string       `json:"connection,omitempty"`
	Tool       string       `json:"tool,omitempty"`
	Actor      string       `json:"actor"`                // a principal
	Place      string       `json:"place"`                // "arguments: /vendor/notes", "reason", "input: /comment"
	Secret     string       `json:"secret,omitempty"`     // the known one's name
	Also       []string     `json:"also,omitempty"`       // other known ones in the same place
	Rule       string       `json:"rule,omitempty"`       // of an unknown one
	Family     string       `json:"family,omitempty"`     // of the rule
	Confidence string       `json:"confidence,omitempty"` // of the rule
	Quarantine string       `json:"quarantine,omitempty"` // the name under which the vault keeps it
	NotKept    string       `json:"notKept,omitempty"`    // why it was not kept
	State      string       `json:"state"`
	ClosedAt   time.Time    `json:"closedAt,omitzero"`
	ClosedBy   string       `json:"closedBy,omitempty"` // a principal
	ClosedName string       `json:"closedByName,omitempty"`
	Outcome    string       `json:"outcome,omitempty"`
	Note       string       `json:"note,omitempty"` // one line
}

// MostAnHour is how many incidents of one kind one Run, or where there is none one
// person, opens in an hour. What is more counts on the latest of them.
const MostAnHour = 20

// RecordEvery is how often an incident that nobody's Run is stopped for is put on
// the record again while it goes on.
const RecordEvery = time.Hour

// Same is what two incidents have in common that are the same thing.
func (i Incident) Same() string {
	source := i.Run
	if source == "" {
		source = i.Actor + "\n" + i.Mission
	}
	var b strings.Builder
	kept := i.Quarantine // each value that is kept is its own: a person judges it through its incident
	if i.Kind.Known() {
		kept = ""
	}
	for _, s := range []string{string(i.Kind), source, i.Connection, i.Tool, i.Secret, i.Rule, i.Place, kept} {
		b.WriteString(strconv.Itoa(len(s)) + ":" + s)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// maxPlace bounds a place, and each name that a Worker chose, in bytes.
const maxPlace = 1000

// Check refuses what is not a new incident in its form; kind Internal, since the
// product makes them.
func (i Incident) Check() error {
	short := true
	for _, s := range append([]string{i.Run, i.Mission, i.Worker, i.Intent, i.Connection, i.Tool, i.Actor, i.Place, i.Secret, i.Rule, i.Family,
		i.Confidence, i.Quarantine, i.NotKept}, i.Also...) {
		short = short && len(s) <= maxPlace
	}
	switch {
	case !slices.Contains(Kinds, i.Kind), i.Tenant == "", i.ID == "", i.At.IsZero(), i.Actor == "", i.Place == "",
		i.Kind.Known() != (i.Secret != ""), i.Kind.Ruled() && i.Rule == "", i.Kind == BreakGlass && i.Intent == "", i.Kind.Counts() && i.Run == "",
		i.State != Open, i.Count != 1, !short:
		return fault.Newf(fault.Internal, "an incident of the kind %q is not whole", fault.Quote(string(i.Kind)))
	}
	return nil
}

// New begins an incident: open, and counted once.
func New(k Kind, t ident.Tenant, actor, place string, now time.Time) Incident {
	return Incident{Tenant: t, ID: ident.At("inc", now), Kind: k, At: now, LastAt: now, Count: 1, Actor: actor, Place: place, State: Open}
}

// quarantinePrefix begins the names under which the vault keeps what nobody stored.
const quarantinePrefix = "quarantined-"

// Of names the known secrets that were met: the first, and the others. names is
// not empty. One that is known from the quarantine alone is to be judged first.
func (i Incident) Of(names []string) Incident {
	i.Secret, i.Also = names[0], names[1:]
	if strings.HasPrefix(i.Secret, quarantinePrefix) {
		i.Quarantine = i.Secret
	}
	return i
}
