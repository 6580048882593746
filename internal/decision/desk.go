package decision

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Store keeps Decisions.
type Store interface {
	// Decision is NotFound when the tenant has none of that id.
	Decision(ctx context.Context, tenant ident.Tenant, id string) (Decision, error)
	// Decisions lists a page, the oldest first.
	Decisions(ctx context.Context, tenant ident.Tenant, f Filter) ([]Decision, error)
	// OverdueDecisions lists open ones of every tenant that expire at or before
	// now, at most limit.
	OverdueDecisions(ctx context.Context, now time.Time, limit int) ([]Decision, error)
	// Settle ends an open Decision with everything that follows, in one
	// transaction; see [Settlement]. What it finds changed is a [Refusal].
	Settle(ctx context.Context, s Settlement) error
	// Refused appends the entry of a verdict that does not count.
	Refused(ctx context.Context, ev audit.Event) error
}

// Facts is what a verdict is judged by, besides the Decision.
type Facts interface {
	// Intent is NotFound when the tenant has none of that id.
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
	// MemberSince is when an account joined a Team, by the Team's id; NotFound
	// when it is not in it, or is disabled.
	MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error)
}

// Involved says who is a party to an Intent, and what its Mission allows now.
type Involved interface {
	Parties(ctx context.Context, i intent.Intent) (Parties, error)
}

// Settlement is the end of an open Decision. The store compares, in the
// transaction: that the Decision is open with the same digest; that the Intent is
// parked at the Decision's revision; and where By is set, that the Decision has
// not expired at At, that By's membership, of the Team's id, is older than the
// Intent, and that the Factor is on record, for the same account and act, younger
// than [FactorLife] and not used. Then it writes the Decision, uses the Factor up,
// moves the Intent to To, appends Event and Title with Text to the Explain rail,
// and puts the follow-up into the outbox: the dispatch of an approved Intent, the
// next segment of the Run for every other.
type Settlement struct {
	Decision Decision // as it becomes
	To       intent.State
	Why      string  // what the Worker reads
	Factor   *Factor // to use up; nil where no person decided
	Event    audit.Event
	Title    string // of the Observation, scrubbed
	Text     string // of the Observation, scrubbed
	At       time.Time
}

// Filter narrows the Decision Queue. Empty fields don't.
type Filter struct {
	State  State
	Member string // account id: only of Teams that it is in
	Run    string
	Intent string
	After  string // a Decision's id: what follows it in the queue
	Limit  int    // default 50, at most 200
}

// Item is one item of the Decision Queue.
type Item struct {
	Decision Decision `json:"decision"`
	// Intent is without its arguments, reason and request while it is held.
	Intent intent.Intent `json:"intent"`
	Held   *Held         `json:"held,omitempty"`
}

// Config is what a Desk works with. All of it is needed but Altered.
type Config struct {
	Store    Store
	Facts    Facts
	Involved Involved
	// Clean scrubs a text with the tenant's current set.
	Clean func(ident.Tenant, string) string
	// Known gives the names of the tenant's Secrets whose values stand in the
	// texts, in any encoding, by the current set. Unavailable: nobody can say.
	Known func(t ident.Tenant, texts ...[]byte) ([]string, error)
	// Hold marks an open Decision as one that was held, with its entry, in one
	// transaction. On one that is marked already, or not open, it does nothing.
	Hold func(ctx context.Context, d Decision, ev audit.Event, at time.Time) error
	// Altered is told of a Decision that is held, with the whole Intent and the
	// names of the Secrets: once, or again where that could not be recorded.
	Altered func(ctx context.Context, d Decision, i intent.Intent, secrets []string) error
	Now     func() time.Time
	// Wake tells who follows the Run's rail that there is something new.
	Wake func(tenant ident.Tenant, run string)
}

// Desk is the service. It is safe for concurrent use.
type Desk struct{ Config }

// NewDesk makes the service.
func NewDesk(c Config) (*Desk, error) {
	if c.Store == nil || c.Facts == nil || c.Involved == nil || c.Clean == nil || c.Known == nil || c.Hold == nil || c.Now == nil || c.Wake == nil {
		return nil, fault.New(fault.Internal, "opening the Decision Queue without all that it works with")
	}
	return &Desk{c}, nil
}

// Queue lists a page of Decisions with their Intents, the oldest first. One that
// is held has nothing of its action.
func (k *Desk) Queue(ctx context.Context, tenant ident.Tenant, f Filter) ([]Item, error) {
	switch {
	case f.Limit <= 0:
		f.Limit = 50
	case f.Limit > 200:
		f.Limit = 200
	}
	ds, err := k.Store.Decisions(ctx, tenant, f)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(ds))
	for _, d := range ds {
		i, err := k.Facts.Intent(ctx, tenant, d.Intent)
		if fault.Is(err, fault.Denied) {
			continue // its row is refused, which is on the record: nobody can decide on it, and the others wait
		}
		if err != nil {
			return nil, err
		}
		it, err := k.look(ctx, Item{Decision: d, Intent: i})
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// Get is one Decision with its Intent, without its action where it is held; kind
// NotFound.
func (k *Desk) Get(ctx context.Context, tenant ident.Tenant, id string) (Item, error) {
	it, err := k.whole(ctx, tenant, id)
	if err != nil {
		return it, err
	}
	return k.look(ctx, it)
}

// whole is Get, held or not: for what is judged, and never for what is shown.
func (k *Desk) whole(ctx context.Context, tenant ident.Tenant, id string) (Item, error) {
	d, err := k.Store.Decision(ctx, tenant, id)
	if err != nil {
		return Item{}, err
	}
	i, err := k.Facts.Intent(ctx, tenant, d.Intent)
	return Item{Decision: d, Intent: i}, err
}

// Sees says whether the caller may see a Run: its own, a person the ones that
// they started, an auditor or an admin every one, and an approver those with an
// action that a Team of theirs decides or has decided on.
func (k *Desk) Sees(ctx context.Context, who ident.Principal, r intent.Run) (bool, error) {
	switch {
	case who.Tenant != r.Tenant || !who.Valid():
		return false, nil
	case who.Kind == ident.Run:
		return who.ID == r.ID, nil
	case r.Starter == who.String() || who.Has(ident.Auditor) || who.Has(ident.Admin):
		return true, nil
	}
	return k.concerns(ctx, who, Filter{Run: r.ID})
}

// SeesDecision says whether a person may see a Decision: an auditor or an admin
// every one, an approver those of their Teams.
func (k *Desk) SeesDecision(ctx context.Context, who ident.Principal, d Decision) (bool, error) {
	switch {
	case who.Tenant != d.Tenant || who.Kind != ident.Person:
		return false, nil
	case who.Has(ident.Auditor) || who.Has(ident.Admin):
		return true, nil
	}
	return k.concerns(ctx, who, Filter{Intent: d.Intent})
}

func (k *Desk) concerns(ctx context.Context, who ident.Principal, f Filter) (bool, error) {
	if !who.Has(ident.Approver) {
		return false, nil
	}
	f.Member, f.Limit = who.ID, 1
	ds, err := k.Store.Decisions(ctx, who.Tenant, f)
	return len(ds) > 0, err
}

// MaxReason is the most bytes of a person's reason.
const MaxReason = 500

// CleanReason makes a reason one line of visible text. Kind Invalid when it is
// too long or not text.
func CleanReason(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fault.New(fault.Invalid, "the reason is not valid text")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r): // control and invisible direction characters
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > MaxReason {
		return "", fault.Newf(fault.Invalid, "the reason is longer than %d bytes", MaxReason)
	}
	return s, nil
}
