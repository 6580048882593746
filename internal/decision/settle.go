package decision

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Request is a person's verdict.
type Request struct {
	Tenant   ident.Tenant
	Decision string
	Verdict  Verdict
	Digest   intent.Digest // on the page that it was decided from
	Reason   string        // one line; the Worker reads that of a rejection
	Who      ident.Principal
	Factor   *Factor // made for Decision.Act(Verdict, Who.ID)
}

// raceTries is how often a verdict is judged when others vote at the same moment.
const raceTries = 8

// Decide judges a verdict and makes it durable with what follows from it. It gives
// the Decision as it then is: still open where more people are needed. What is
// refused is on the record too: somebody tried. Errors: a [Refusal], NotFound,
// Invalid, Unavailable, [ErrRaced].
func (k *Desk) Decide(ctx context.Context, r Request, now time.Time) (Decision, error) {
	if r.Who.Tenant != r.Tenant {
		return Decision{}, Refuse(OtherTenant)
	}
	reason, err := CleanReason(r.Reason)
	if err != nil {
		return Decision{}, err
	}
	for n := range raceTries {
		var it Item
		if it, err = k.whole(ctx, r.Tenant, r.Decision); err != nil {
			return Decision{}, err
		}
		var s Settlement
		if s, err = k.vote(ctx, r, it, reason, "", now); err == nil {
			err = k.settle(ctx, now, s)
		}
		switch code := CodeOf(err); {
		case err == nil:
			return s.Decision, nil
		case code == OtherIntent && n == 0: // changed between the two looks? then the Decision is void by now
		case code != "":
			return Decision{}, k.refused(ctx, it.Decision, r, code, err, now)
		case !errors.Is(err, ErrRaced):
			return Decision{}, err
		}
	}
	return Decision{}, err
}

// refused records a verdict that does not count, and gives why.
func (k *Desk) refused(ctx context.Context, d Decision, r Request, code Code, why error, now time.Time) error {
	ev := []audit.Event{refusedVerdict(d, r, code, now)}
	if err := k.attribute(ctx, ev...); err != nil {
		return err
	}
	if err := k.Store.Refused(ctx, ev[0]); err != nil {
		return fault.Wrap(fault.Unavailable, "recording a refused verdict", err)
	}
	return why
}

// vote judges one verdict and says what follows from it. act is what the Factor is
// for where that is a list.
func (k *Desk) vote(ctx context.Context, r Request, it Item, reason string, act intent.Digest, now time.Time) (Settlement, error) {
	altered, err := k.alters(ctx, it) // by the secrets that are known now, whatever a page has shown
	if err != nil {
		return Settlement{}, err
	}
	c := Candidate{Principal: r.Who, Factor: r.Factor, For: act, Seen: r.Digest, Reason: k.Clean(r.Tenant, reason), Altered: len(altered) > 0}
	v, err := k.judge(ctx, it, c, r.Verdict, now)
	if err != nil {
		return Settlement{}, err
	}
	return k.cast(it.Decision, v, r, now), nil
}

// judge looks up what a candidate is judged by.
func (k *Desk) judge(ctx context.Context, it Item, c Candidate, v Verdict, now time.Time) (Vote, error) {
	d := it.Decision
	c.Since = map[string]time.Time{}
	for _, n := range d.Needs {
		since, err := k.Facts.MemberSince(ctx, d.Tenant, n.TeamID, c.Principal.ID)
		if err == nil {
			c.Since[n.TeamID] = since
		} else if !fault.Is(err, fault.NotFound) {
			return Vote{}, err
		}
	}
	c.NoGlass = k.NoGlass
	if v == Glass && !k.NoGlass {
		var err error
		if c.Admin, err = k.Facts.AdminSince(ctx, d.Tenant, c.Principal.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return Vote{}, err
		}
	}
	parties, err := k.Involved.Parties(ctx, it.Intent)
	if err != nil {
		return Vote{}, err
	}
	return Judge(d, it.Intent, c, v, parties, now)
}

// Would says why a verdict of a person on what Get or Queue gave would not count,
// with all but the factor judged as it will be; no is nil where it would.
func (k *Desk) Would(ctx context.Context, who ident.Principal, it Item, v Verdict, now time.Time) (no, err error) {
	c := Candidate{Principal: who, Seen: it.Decision.Digest, Altered: it.Held != nil, Reason: "to be given"}
	if it.Held != nil { // what is shown of it can't be judged
		if it, err = k.whole(ctx, it.Decision.Tenant, it.Decision.ID); err != nil {
			return nil, err
		}
	}
	_, err = k.judge(ctx, it, c, v, now)
	switch code := CodeOf(err); {
	case code == NoFactor, code == NeedsPasskey:
		return nil, nil
	case code != "" || fault.Is(err, fault.Denied): // also: its Mission was removed
		return err, nil
	}
	return nil, err
}

// cast is what follows from a vote that counts.
func (k *Desk) cast(d Decision, v Vote, r Request, now time.Time) Settlement {
	s := Settlement{Judged: len(d.Votes), Vote: &v, Factor: r.Factor, At: now}
	d.Votes = append(slices.Clone(d.Votes), v)
	s.Title = "approved by " + v.Name
	switch {
	case v.Glass:
		s.Title = "THE GLASS IS BROKEN by " + v.Name + ", an admin, in place of the Teams"
	case len(d.Needs) > 1 || d.Needs[0].Count > 1:
		s.Title += " for the Team " + d.TeamName(v.TeamID)
	}
	switch {
	case v.Verdict == Reject:
		d.State, s.To = Rejected, intent.Rejected
		s.Title, s.Why = "rejected by "+v.Name, "an approver rejected it"
		if v.Reason != "" {
			s.Why += ": " + v.Reason
		}
	case v.Glass && Broken(d.Counted()):
		d.State, d.BreakGlass, s.To = Approved, true, intent.Approved
	case v.Glass:
		s.Title += "; it takes another admin"
	case Met(d.Needs, d.Counted()):
		d.State, s.To = Approved, intent.Approved
	default:
		s.Title += "; still needed: " + Says(d.Missing())
	}
	if d.State != Open {
		d.Reason = v.Reason
	}
	if v.Self {
		s.Title += " (self-approval, which the Mission allows)"
	}
	s.Decision, s.Text = d, v.Reason
	s.Events = votedEvents(d, v, r.Factor, r.Who.String(), now)
	return s
}

// Says lists needs for people: "2 of finance, 1 of cfo".
func Says(needs []Need) string {
	parts := make([]string, len(needs))
	for i, n := range needs {
		parts[i] = strconv.Itoa(n.Count) + " of " + n.Team
	}
	return strings.Join(parts, ", ")
}

// refusedVerdict is the entry of a verdict that does not count, or of what only who
// could give one may do. The verdict and the digest are the caller's words, so only
// those of a known form are in it; of every other it says "none".
func refusedVerdict(d Decision, r Request, code Code, now time.Time) audit.Event {
	f := map[string]any{"decision": d.ID, "digest": d.Digest, "teams": teamIDs(d), "why": string(code), "verdict": "none"}
	if r.Verdict.Known() || r.Verdict == editing || r.Verdict == asking {
		f["verdict"] = r.Verdict
	}
	if r.Factor != nil {
		f["factor"], f["method"] = r.Factor.ID, r.Factor.Method
	}
	return audit.Event{Type: audit.VerdictRefused, Tenant: d.Tenant, At: now, Actor: r.Who.String(),
		Run: d.Run, Mission: d.Mission, Intent: d.Intent, Fields: f}
}

// settle hands settlements to the store, all or none.
func (k *Desk) settle(ctx context.Context, now time.Time, ss ...Settlement) error {
	var evs []audit.Event
	for i := range ss {
		s := &ss[i]
		if s.At = now; s.To != "" {
			s.Decision.DecidedAt = now
		}
		s.Title = k.Clean(s.Decision.Tenant, s.Title)
		evs = append(evs, s.Events...)
	}
	if err := k.attribute(ctx, evs...); err != nil {
		return err
	}
	for i := range ss {
		n := len(ss[i].Events)
		ss[i].Events, evs = evs[:n:n], evs[n:]
	}
	if err := k.Store.Settle(ctx, ss...); err != nil {
		return err
	}
	for _, s := range ss {
		k.Wake(s.Decision.Tenant, s.Decision.Run)
		if v := s.Vote; v != nil && v.Glass && k.OnGlass != nil {
			k.OnGlass(ctx, s.Decision, *v)
		}
	}
	return nil
}

// end settles a Decision that no person decided.
func (k *Desk) end(ctx context.Context, d Decision, to intent.State, why, title, actor string, now time.Time) (Decision, error) {
	s := ended(d, to, why, title, actor, now)
	return s.Decision, k.settle(ctx, now, s)
}

func ended(d Decision, to intent.State, why, title, actor string, now time.Time) Settlement {
	s := Settlement{Decision: d, Judged: len(d.Votes), To: to, Why: why, Title: title, Text: d.Reason, Events: []audit.Event{decided(d, Vote{}, nil, actor, now)}}
	s.Decision.DecidedAt = now
	return s
}

// votedEvents are the entries of a vote: of each one that does not end the wait, of
// the end, and of each that breaks the glass. What a passkey signed is in the first,
// once.
func votedEvents(d Decision, v Vote, f *Factor, actor string, now time.Time) (out []audit.Event) {
	if v.Glass || d.State == Open {
		ev := eventOf(d, audit.DecisionVoted, actor, now, map[string]any{"decision": d.ID, "digest": d.Digest, "revision": d.Revision,
			"needs": d.needs(), "passkey": d.Passkey, "expires": d.ExpiresAt,
			"verdict": v.Verdict, "team": v.TeamID, "factor": v.Factor, "method": v.Method, "selfApproval": v.Self, "why": audit.Short(v.Reason)})
		if v.Glass {
			ev.Type = audit.DecisionBreakGlass
			ev.Fields["verdict"], ev.Fields["state"], ev.Fields["teams"] = Glass, d.State, teamIDs(d)
			delete(ev.Fields, "team")
			delete(ev.Fields, "selfApproval")
		}
		addProof(ev.Fields, f)
		out, f = append(out, ev), nil
	}
	if d.State != Open {
		out = append(out, decided(d, v, f, actor, now))
	}
	return out
}

func decided(d Decision, v Vote, f *Factor, actor string, now time.Time) audit.Event {
	ev := eventOf(d, audit.IntentDecided, actor, now, map[string]any{
		"decision": d.ID, "digest": d.Digest, "revision": d.Revision, "verdict": d.State, "team": v.TeamID, "teams": teamIDs(d), "approvers": d.Approvers(),
		"needs": d.needs(), "passkey": d.Passkey,
		"factor": v.Factor, "method": v.Method, "selfApproval": d.SelfApproval(), "breakGlass": d.BreakGlass, "expires": d.ExpiresAt, "why": audit.Short(d.Reason),
	})
	addProof(ev.Fields, f)
	return ev
}

func eventOf(d Decision, t audit.Type, actor string, now time.Time, fields map[string]any) audit.Event {
	return audit.Event{Type: t, Tenant: d.Tenant, At: now, Actor: actor, Run: d.Run, Mission: d.Mission, Intent: d.Intent, Fields: fields}
}

// About is what the entries of a Decision say of its action.
type About struct {
	Connection, Tool string
	Fields           map[string]any // those that an entry has already stay
}

// attribute adds to the entries of Decisions what their actions are about. One whose
// Intent can't be read is ended all the same.
func (k *Desk) attribute(ctx context.Context, evs ...audit.Event) error {
	if k.Attribute == nil {
		return nil
	}
	ids := map[ident.Tenant][]string{}
	for _, ev := range evs {
		ids[ev.Tenant] = append(ids[ev.Tenant], ev.Intent)
	}
	for tenant, list := range ids {
		slices.Sort(list)
		all, err := k.Attribute(ctx, tenant, slices.Compact(list))
		if err != nil {
			return err
		}
		for i := range evs {
			if about, ok := all[evs[i].Intent]; ok && evs[i].Tenant == tenant {
				evs[i].Connection, evs[i].Tool = about.Connection, about.Tool
				add(evs[i].Fields, about.Fields)
			}
		}
	}
	return nil
}

func add(fields, more map[string]any) {
	for name, value := range more {
		if _, has := fields[name]; !has {
			fields[name] = value
		}
	}
}

func teamIDs(d Decision) (ids []string) {
	for _, n := range d.Needs {
		if n.TeamID != "" {
			ids = append(ids, n.TeamID)
		}
	}
	return ids
}

// Withdraw takes an open item out of the queue: the Run's Worker, who started
// the Run, or the product itself. Errors: Denied, a [Refusal], NotFound.
func (k *Desk) Withdraw(ctx context.Context, who ident.Principal, tenant ident.Tenant, id, reason string, now time.Time) (Decision, error) {
	if who.Tenant != tenant {
		return Decision{}, Refuse(OtherTenant)
	}
	reason, err := CleanReason(reason)
	if err != nil {
		return Decision{}, err
	}
	it, err := k.whole(ctx, tenant, id)
	if err != nil {
		return Decision{}, err
	}
	d := it.Decision
	worker := who.Kind == ident.Run && who.ID == d.Run
	starter := who.Kind == ident.Person && (it.Intent.Starter == who.ID || it.Intent.Starter == who.String())
	if !worker && !starter && who.Kind != ident.System {
		return Decision{}, fault.New(fault.Denied, "only the Run's Worker or who started the Run can withdraw its action")
	}
	d.State, d.Reason = Withdrawn, k.Clean(tenant, reason)
	why := "it was withdrawn"
	if d.Reason != "" {
		why += ": " + d.Reason
	}
	return k.end(ctx, d, intent.Withdrawn, why, "withdrawn", who.String(), now)
}
