package audit

import (
	"context"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Query asks what a log has about something. Empty fields don't narrow it; at least
// one has to be given.
type Query struct {
	Record, Secret, Run, Mission, Person, Worker string // Person: an account's id
	Connection, System, Tool, Intent, Decision   string
	Type                                         Type
	HiddenRecord                                 string // the keyed hash of Record, where it can be made
	Since, Until                                 time.Time
	Limit                                        int   // uses, at most MaxUses; 0: 50
	Before                                       int64 // entries from this index on are left out; 0: none
}

// MaxUses is the most uses of an answer.
const MaxUses = 200

// Term is a condition on the Refs of an entry: one of the values.
type Term struct {
	Kind   RefKind
	Values []string
}

// Lookup is what a store looks for: the newest first.
type Lookup struct {
	Terms        []Term
	Filter       Filter
	Since, Until time.Time
	Before       int64
	Limit        int
}

// Index finds entries by what they are about.
type Index interface {
	// Find gives the newest rows that match, and the index before which to go on; 0
	// when that was all. It may give fewer than there are: then it has looked long
	// enough for one page.
	Find(ctx context.Context, t ident.Tenant, l Lookup) (rows []Row, next int64, err error)
	// OfIntents gives all entries of some Intents, in the log's order.
	OfIntents(ctx context.Context, t ident.Tenant, ids []string) ([]Row, error)
}

// Use is one call, put together from its entries; or one entry of something else.
type Use struct {
	At         time.Time `json:"at"`
	Entry      int64     `json:"entry"`   // the newest that matches
	Entries    []int64   `json:"entries"` // all of the call's
	Type       Type      `json:"type"`    // of Entry
	Actor      string    `json:"actor"`
	Starter    string    `json:"starter,omitempty"`
	Worker     string    `json:"worker,omitempty"`
	Auth       string    `json:"auth,omitempty"` // how it has shown which Run it is
	Mission    string    `json:"mission,omitempty"`
	Run        string    `json:"run,omitempty"`
	Intent     string    `json:"intent,omitempty"`
	Connection string    `json:"connection,omitempty"`
	System     string    `json:"system,omitempty"`
	Tool       string    `json:"tool,omitempty"`
	Effect     string    `json:"effect,omitempty"`
	Secret     string    `json:"secret,omitempty"`
	Version    int64     `json:"secretVersion,omitempty"`
	Record     string    `json:"record,omitempty"`
	Decision   string    `json:"decision,omitempty"`
	Approvers  []string  `json:"approvers,omitempty"` // account ids, or "policy:…"
	Policies   []string  `json:"policies,omitempty"`
	Outcome    string    `json:"outcome,omitempty"` // the last state on the record
}

// Answer is a page, the newest first.
type Answer struct {
	Uses []Use `json:"uses"`
	Next int64 `json:"next,omitempty"` // goes on with it as Before; 0: that is all
}

// lookup is the query for a store.
func (q Query) lookup() Lookup {
	l := Lookup{Filter: Filter{Type: q.Type, Run: q.Run, Intent: q.Intent, Connection: q.Connection}, Since: q.Since, Until: q.Until, Before: q.Before}
	for _, c := range []struct {
		kind  RefKind
		value string
	}{{RefRecord, q.Record}, {RefDecision, q.Decision}, {RefSecret, q.Secret}, {RefPerson, q.Person}, {RefMission, q.Mission},
		{RefSystem, q.System}, {RefTool, q.Tool}, {RefWorker, q.Worker}} {
		if c.value != "" {
			l.Terms = append(l.Terms, Term{c.kind, []string{c.value}})
		}
	}
	if q.Record != "" && q.HiddenRecord != "" {
		l.Terms[0].Values = append(l.Terms[0].Values, HiddenRecord(q.HiddenRecord))
	}
	return l
}

// matches says it of an entry itself: what a store's index says counts for nothing.
func (l Lookup) matches(e Entry) bool {
	if f := l.Filter; f.Type != "" && f.Type != e.Type || f.Run != "" && f.Run != e.Run || f.Intent != "" && f.Intent != e.Intent ||
		f.Connection != "" && f.Connection != e.Connection {
		return false
	}
	if !l.Since.IsZero() && e.At.Before(l.Since) || !l.Until.IsZero() && e.At.After(l.Until) {
		return false
	}
	refs := e.Refs()
	return !slices.ContainsFunc(l.Terms, func(t Term) bool {
		return !slices.ContainsFunc(refs, func(r Ref) bool { return r.Kind == t.Kind && slices.Contains(t.Values, r.Value) })
	})
}

// Ask answers a query. Invalid: it asks for nothing, or the time is turned around.
func Ask(ctx context.Context, x Index, t ident.Tenant, q Query) (Answer, error) {
	l := q.lookup()
	if len(l.Terms) == 0 && l.Filter == (Filter{}) && q.Since.IsZero() && q.Until.IsZero() {
		return Answer{}, fault.New(fault.Invalid, "the query asks for nothing").WithHint("name a record, a Secret, a Run, a person, a system or a time")
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since) {
		return Answer{}, fault.New(fault.Invalid, "the query's time ends before it begins")
	}
	l.Limit = min(max(q.Limit, 1), MaxUses)
	if q.Limit == 0 {
		l.Limit = 50
	}
	out := Answer{Uses: []Use{}}
	rows, next, err := x.Find(ctx, t, l)
	if err != nil {
		return out, err
	}
	found, calls, err := entriesOf(ctx, x, t, rows)
	if err != nil {
		return out, err
	}
	for _, e := range found {
		if l.matches(e) {
			if u, ok := useOf(l, e, calls[e.Intent]); ok {
				out.Uses = append(out.Uses, u)
			}
		}
	}
	out.Next = next
	return out, nil
}

// entriesOf reads what was found, and with it all of the calls that it is of. What
// can't be read, verifying the log names.
func entriesOf(ctx context.Context, x Index, t ident.Tenant, rows []Row) (found []Entry, calls map[string][]Entry, err error) {
	var ids []string
	for _, r := range rows {
		if e, err := ParseEntry(r.Entry); err == nil && e.Index == r.Index && e.Tenant == t {
			found = append(found, e)
			if e.Intent != "" && !slices.Contains(ids, e.Intent) {
				ids = append(ids, e.Intent)
			}
		}
	}
	of, err := x.OfIntents(ctx, t, ids)
	calls = map[string][]Entry{}
	for _, r := range of {
		if e, err := ParseEntry(r.Entry); err == nil && e.Tenant == t {
			calls[e.Intent] = append(calls[e.Intent], e)
		}
	}
	return found, calls, err
}

// useOf puts a call together at the newest of its entries that matches; false at the
// others.
func useOf(l Lookup, e Entry, call []Entry) (Use, bool) {
	u := Use{At: e.At, Entry: e.Index, Type: e.Type, Actor: e.Actor, Entries: []int64{}}
	if e.Intent == "" {
		call = []Entry{e}
	}
	for _, o := range call {
		if o.Index > e.Index && l.matches(o) {
			return u, false
		}
		u.take(o)
	}
	return u, true
}

// take adds what an entry says; a later one says it better.
func (u *Use) take(e Entry) {
	u.Entries = append(u.Entries, e.Index)
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	text := func(field string) string { s, _ := e.Fields[field].(string); return s }
	set(&u.Starter, text("starter"))
	set(&u.Worker, text("worker"))
	set(&u.Auth, text("auth"))
	set(&u.Mission, e.Mission)
	set(&u.Run, e.Run)
	set(&u.Intent, e.Intent)
	set(&u.Connection, e.Connection)
	set(&u.System, text("system"))
	set(&u.Tool, e.Tool)
	set(&u.Effect, text("effect"))
	set(&u.Secret, text("secret"))
	if v, ok := e.Fields["secretVersion"].(int64); ok {
		u.Version = v
	}
	set(&u.Record, text("record"))
	if hash := text("recordKey"); hash != "" {
		u.Record = HiddenRecord(hash)
	}
	set(&u.Decision, text("decision"))
	if by := listOf(e.Fields["approvers"]); len(by) > 0 {
		u.Approvers = by
	}
	if by := listOf(e.Fields["policies"]); len(by) > 0 {
		u.Policies = by
	}
	switch e.Type {
	case IntentClaimed, IntentSending: // under way
		u.Outcome = string(e.Type)[len("intent."):]
	default:
		set(&u.Outcome, text("state"))
	}
}
