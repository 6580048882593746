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
	// now, at most limit, in the order of their expiry; after one of them, the zero
	// Decision being before all.
	OverdueDecisions(ctx context.Context, now time.Time, after Decision, limit int) ([]Decision, error)
	// Settle takes steps on open Decisions with everything that follows from each, in
	// one transaction: all of them or none; see [Settlement]. What it finds changed
	// is a [Refusal], or [ErrRaced].
	Settle(ctx context.Context, s ...Settlement) error
	// Refused appends the entry of a verdict that does not count.
	Refused(ctx context.Context, ev audit.Event) error
}

// Papers keeps what belongs to an action besides the votes.
type Papers interface {
	// Revisions lists what an Intent was before each change, the oldest first.
	Revisions(ctx context.Context, tenant ident.Tenant, intentID string) ([]Revision, error)
	// Notes lists the questions and answers on an Intent, or on all of a Run where
	// intentID is empty, the oldest first.
	Notes(ctx context.Context, tenant ident.Tenant, run, intentID string) ([]Note, error)
	// Tell stores a question or an answer, on an open Decision; see [Telling].
	Tell(ctx context.Context, n Telling) error
}

// Facts is what a verdict is judged by, besides the Decision.
type Facts interface {
	// Intent is NotFound when the tenant has none of that id.
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
	// MemberSince is when an account joined a Team, by the Team's id; NotFound
	// when it is not in it, is disabled, or has not the role approver.
	MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error)
	// AdminSince is since when an account has the role admin; NotFound when it has
	// it not, or is disabled. Who got another password since has it since then.
	AdminSince(ctx context.Context, tenant ident.Tenant, account string) (time.Time, error)
}

// Involved says who is a party to an Intent, and what its Mission allows now.
type Involved interface {
	Parties(ctx context.Context, i intent.Intent) (Parties, error)
}

// Settlement is a step of an open Decision: a vote, or its end, or both. The store
// compares, in the transaction: that the Decision is open with the same digest, and
// has as many votes as it was judged with; that the Intent is parked at the
// Decision's revision; and where there is a Vote, that the Decision has not expired
// at At, that the person's membership, of the Team's id, is older than the Intent
// (that they are an admin, where they break the glass), and that the Factor is on
// record, for the same account and act, younger than [FactorLife] and not used. An
// approval has to be one by the stored needs. Then it writes the Decision, uses the
// Factor up, moves the Intent to To, appends Events, and Title with Text to the
// Explain rail, and puts the follow-up of an end into the outbox: the dispatch of
// an approved Intent, the next segment of the Run for every other.
type Settlement struct {
	Decision Decision     // as it becomes
	Judged   int          // how many votes it had when it was judged
	Vote     *Vote        // the new one, also in Decision; nil where no person decided
	To       intent.State // empty: it goes on waiting
	Why      string       // what the Worker reads
	Factor   *Factor      // to use up, by the first of several; nil where no person decided
	Events   []audit.Event
	Title    string // of the Observation, scrubbed
	Text     string // of the Observation, scrubbed
	At       time.Time
}

// ErrRaced is Settle's answer when somebody else has voted since it was judged: it
// is judged again.
var ErrRaced error = fault.New(fault.Conflict, "others decided at the same moment").WithHint("look at it again, and give your verdict with a new one-time code")

// Filter narrows the Decision Queue. Empty fields don't.
type Filter struct {
	State  State
	Member string // account id: only of Teams that it is in
	Run    string
	Intent string
	After  string // a Decision's id: what follows it in the queue
	Limit  int    // default 50, at most 200
	// Refused lists what can't be trusted too, each with nothing but its place and why.
	Refused bool
}

// Item is one item of the Decision Queue.
type Item struct {
	Decision Decision `json:"decision"`
	// Intent is without its arguments, reason and request while it is held.
	Intent intent.Intent `json:"intent"`
	Held   *Held         `json:"held,omitempty"`
	// Edits are what the action was before approvers changed it, the oldest first.
	Edits []Revision `json:"edits,omitempty"`
	// Notes are the questions to who started the Run, with their answers.
	Notes []Note `json:"notes,omitempty"`
}

// Config is what a Desk works with. All of it is needed but Altered, OnGlass and
// Attribute.
type Config struct {
	Store    Store
	Papers   Papers
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
	// NoGlass says that nobody can approve in place of the Teams here.
	NoGlass bool
	// OnGlass is told of each vote that breaks the glass, after it is durable; it may
	// be nil.
	OnGlass func(ctx context.Context, d Decision, v Vote)
	Now     func() time.Time
	// Passkeys says that only verdicts by passkey count, on every Decision.
	Passkeys bool
	// Attribute says of actions what their entries name: system, record, who started
	// it; by the Intent's id, without those that can't be read; nil, nothing.
	Attribute func(ctx context.Context, tenant ident.Tenant, intents []string) (map[string]About, error)
	// Wake tells who follows the Run's rail that there is something new.
	Wake func(tenant ident.Tenant, run string)
}

// Desk is the service. It is safe for concurrent use.
type Desk struct{ Config }

// NewDesk makes the service.
func NewDesk(c Config) (*Desk, error) {
	if c.Store == nil || c.Papers == nil || c.Facts == nil || c.Involved == nil || c.Clean == nil || c.Known == nil || c.Hold == nil || c.Now == nil || c.Wake == nil {
		return nil, fault.New(fault.Internal, "opening the Decision Queue without all that it works with")
	}
	return &Desk{c}, nil
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
	if fault.Is(err, fault.NotFound) {
		return Item{}, fault.New(fault.NotFound, "there is no such Decision").WithHint("see those of your Teams with: sallyport decision list --state all")
	}
	if err != nil {
		return Item{}, err
	}
	i, err := k.Facts.Intent(ctx, tenant, d.Intent)
	if err != nil {
		return Item{}, err
	}
	return k.with(ctx, Item{Decision: k.asking(d), Intent: i})
}

// with adds what the action was, and what was asked about it. Where a part of
// either is gone, so that a page would hide it, nobody decides.
func (k *Desk) with(ctx context.Context, it Item) (Item, error) {
	d, err := it.Decision, error(nil)
	if it.Intent.Edits > 0 {
		if it.Edits, err = k.Papers.Revisions(ctx, d.Tenant, d.Intent); err != nil {
			return Item{}, err
		}
	}
	if d.Notes > 0 {
		if it.Notes, err = k.Papers.Notes(ctx, d.Tenant, d.Run, d.Intent); err != nil {
			return Item{}, err
		}
	}
	if len(it.Edits) < it.Intent.Edits || len(it.Notes) < d.Notes {
		return Item{}, fault.New(fault.Denied, "a part of what is on record about the action is gone").
			WithHint("somebody else has changed the database: stop the server, and look at the audit log")
	}
	it.Edits = it.Edits[:it.Intent.Edits] // another one may have been made since
	for n := range it.Edits {
		next := it.Intent.Args
		if n+1 < len(it.Edits) {
			next = it.Edits[n+1].Args
		}
		it.Edits[n].Changes = intent.Diff(it.Edits[n].Args, next)
	}
	return it, nil
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
