package console

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

// decisionPage shows what a verdict would be about. Everything of the action
// comes from Item.Intent.Bound, which is what Seen is the digest of.
type decisionPage struct {
	Frame
	asked
	Ballots      []ballot
	Was          *decision.Revision // of a Decision about an earlier revision: what it was, if that was kept
	Run          intent.Run
	Rail         []observed
	SelfApproval bool     // the Mission allows it
	Can          bool     // who is signed in may decide
	Approves     bool     // and may approve, not only reject
	Last         bool     // and nobody else is needed then
	Blocked      *problem // why not, or why they can't approve
	CanEdit      bool     // change it, or ask about it
	CanBreak     bool     // the glass
	Typed        typed
	Verdict      decision.Verdict
	Reason       string
	Problem      *problem
}

// asked is an action, whole, with what its page says about it; alone or among others.
type asked struct {
	Item    decision.Item
	Seen    intent.Digest // of what is shown
	Args    []arg
	Flagged []origin.Origin // values that were seen in untrusted content first
	// Odd and Redacted say that the action has invisible characters, or had a
	// known secret in it.
	Odd, Redacted bool
}

// askedOf is an action that is not held.
func askedOf(it decision.Item) (asked, error) {
	b := it.Intent.Bound
	seen, err := b.Digest()
	texts := []string{string(b.Args), b.Reason, b.Again, b.Request.URL, b.Request.Body}
	for k, h := range b.Request.Headers {
		texts = append(texts, k, h)
	}
	return asked{Item: it, Seen: seen, Args: traced(arguments(b.Args), it.Decision.Origins), Flagged: it.Decision.Origins.Flagged(),
		Odd: hasOdd(texts...), Redacted: redacted(texts...)}, err
}

func (*decisionPage) name() string { return "decision" }

// arg is one argument.
type arg struct {
	Name, Value string
	JSON        bool            // it is no plain text
	Origins     []origin.Origin // of its values
}

// ballot is a Team that is needed, with who may still decide for it.
type ballot struct {
	decision.Need
	Left    int // so many are still to be asked
	Members []member
}

// member is somebody of a Decision's Team.
type member struct {
	Name string
	No   string // why their verdict would not count
}

// decision loads the Decision of the address, if who is signed in may see it.
func (v *visit) decision() (decision.Item, error) {
	id := v.PathValue("decision")
	it, err := v.Desk.Get(v.Context(), v.who.Tenant, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return it, err
	}
	ok := false
	if err == nil {
		if ok, err = v.sees(it.Decision); err != nil {
			return it, err
		}
	}
	if !ok {
		return decision.Item{}, fault.Newf(fault.NotFound, "there is no Decision %q that you may see", fault.Quote(id))
	}
	return it.For(v.who), nil
}

func (v *visit) showDecision() error {
	it, err := v.decision()
	if err != nil {
		return err
	}
	p, err := v.decisionPage(it)
	if err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

// decide takes a verdict. What a code would be spent on in vain is refused
// before it is spent; the desk judges all of it again.
func (v *visit) decide() error {
	it, err := v.decision()
	if err != nil {
		return err
	}
	verdict := decision.Verdict(v.PostFormValue("verdict"))
	if err := v.verdict(it, verdict); err != nil {
		// The page as it is now: after "changed" it has the new digest, and what
		// was shown before is decided by nobody.
		if it, err2 := v.decision(); err2 == nil {
			return v.notDecided(it, verdict, err)
		}
		return err
	}
	v.redirect("/decisions/" + it.Decision.ID + "?done=decided")
	return nil
}

func (v *visit) verdict(it decision.Item, verdict decision.Verdict) error {
	if verdict != decision.Approve && verdict != decision.Reject {
		return fault.New(fault.Invalid, "neither approve nor reject was chosen")
	}
	no, err := v.Desk.Would(v.Context(), v.who, it, verdict, v.Now())
	if err != nil {
		return err
	}
	seen := intent.Digest(v.PostFormValue("digest"))
	switch {
	case no != nil:
		return no
	case !seen.Equal(it.Decision.Digest):
		return decision.Refuse(decision.Changed)
	}
	if _, err := decision.CleanReason(v.PostFormValue("reason")); err != nil {
		return err
	}
	f, err := v.proof(it, verdict)
	if err != nil {
		return err
	}
	_, err = v.Desk.Decide(v.Context(), decision.Request{
		Tenant: v.who.Tenant, Decision: it.Decision.ID, Verdict: verdict, Digest: seen, Reason: v.PostFormValue("reason"), Who: v.who, Factor: f,
	}, v.Now())
	return err
}

// notDecided shows the page again with why. Password and code are not in it.
func (v *visit) notDecided(it decision.Item, verdict decision.Verdict, cause error) error {
	p, err := v.decisionPage(it)
	if err != nil {
		return err
	}
	var status int
	status, p.Problem = v.notDone(cause, "Nothing was decided")
	p.Reason = v.PostFormValue("reason")
	if verdict == decision.Approve || verdict == decision.Reject {
		p.Verdict = verdict
	}
	v.render(status, p)
	return nil
}

func (v *visit) decisionPage(it decision.Item) (*decisionPage, error) {
	b := it.Intent.Bound
	p := &decisionPage{Frame: Frame{Title: "Decision on " + b.Tool + " with " + b.Connection}, asked: asked{Item: it}}
	var err error
	if p.Ballots, err = v.ballots(it); err != nil {
		return nil, err
	}
	if p.Run, err = v.Store.Run(v.Context(), v.who.Tenant, it.Decision.Run); err != nil {
		return nil, err
	}
	if it.Held != nil { // neither the action nor the evidence, which has the arguments too
		p.Seen = it.Decision.Digest // to be rejected by
		return p, v.judge(p)
	}
	if it.Earlier() && it.Decision.State != decision.Open { // never what the action is now in place of what it was
		p.earlier(it)
	} else if p.asked, err = askedOf(it); err != nil {
		return nil, err
	}
	if p.Rail, err = v.latest(p.Run, 0, maxRail); err != nil {
		return nil, err
	}
	if w, err := v.Gate.World(v.who.Tenant); err == nil {
		if m, ok := w.Catalog.Mission(b.Mission); ok {
			p.SelfApproval = m.AllowSelfApproval
		}
	}
	return p, v.judge(p)
}

// earlier shows what was kept of a Decision about an earlier revision of its action.
func (p *decisionPage) earlier(it decision.Item) {
	p.Seen = it.Decision.Digest
	if was, ok := it.Was(); ok {
		p.Was = &was
		p.Args, p.Flagged = traced(arguments(was.Args), it.Decision.Origins), it.Decision.Origins.Flagged()
		p.Odd, p.Redacted = hasOdd(string(was.Args)), redacted(string(was.Args))
	}
}

// Earlier says whether the page is about an earlier revision of the action.
func (p *decisionPage) Earlier() bool {
	return p.Item.Earlier() && p.Item.Decision.State != decision.Open
}

// Stopped says whether the kill switch holds the action up, or nobody can say.
func (p *decisionPage) Stopped() bool {
	i := p.Item.Intent
	return p.NoStops || slices.ContainsFunc(p.Stops, func(s intent.Stop) bool { return s.Holds(i.Use()) })
}

// judge says on the page whether its viewer may decide, or why not.
func (v *visit) judge(p *decisionPage) error {
	if err := v.more(p); err != nil {
		return err
	}
	if p.Item.Decision.State != decision.Open {
		return nil
	}
	no, err := v.Desk.Would(v.Context(), v.who, p.Item, decision.Approve, v.Now())
	if err != nil {
		return err
	}
	if no == nil && !v.who.Has(ident.Approver) {
		no = fault.New(fault.Denied, "your account does not have the role approver")
	}
	left := p.Item.Decision.Missing()
	p.Approves, p.Last = no == nil, len(left) == 1 && left[0].Count == 1
	if p.Can = p.Approves; !p.Can && v.who.Has(ident.Approver) {
		never, err := v.Desk.Would(v.Context(), v.who, p.Item, decision.Reject, v.Now())
		if err != nil {
			return err
		}
		p.Can = never == nil
	}
	if !p.Approves {
		_, p.Blocked = v.explain(no)
	}
	if p.Can || p.CanBreak {
		p.Frame.Passkey, err = v.hasPasskey()
	}
	return err
}

// hasPasskey says whether who is signed in has one that counts here by now.
func (v *visit) hasPasskey() (bool, error) {
	if _, err := v.Directory.Party(); err != nil {
		return false, nil //nolint:nilerr // a server without passkeys is no error of this page
	}
	l, err := v.Directory.Passkeys(v.Context(), v.who, v.who.ID)
	if fault.Is(err, fault.Denied) { // its rows are refused, which is on the record: the password is still there
		return false, nil
	}
	return slices.ContainsFunc(l, func(k identity.Passkey) bool { return !v.Now().Before(k.UsableAt) }), err
}

// ballots lists the Teams that are needed, with why the verdict of each member
// would not count. A Team that was removed and made again is another one.
func (v *visit) ballots(it decision.Item) (out []ballot, err error) {
	d := it.Decision
	left := d.Missing()
	for _, n := range d.Needs {
		b := ballot{Need: n}
		for _, m := range left {
			if m.TeamID == n.TeamID {
				b.Left = m.Count
			}
		}
		if d.State == decision.Open {
			if b.Members, err = v.members(it, n); err != nil {
				return nil, err
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func (v *visit) members(it decision.Item, n decision.Need) ([]member, error) {
	d := it.Decision
	team, err := v.Directory.Team(v.Context(), d.Tenant, n.Team)
	if fault.Is(err, fault.NotFound) || err == nil && team.ID != n.TeamID {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []member
	for _, m := range team.Members {
		no, err := v.refusal(ident.Principal{Tenant: d.Tenant, Kind: ident.Person, ID: m.Account, Name: m.Name}, it)
		if err != nil {
			return nil, err
		}
		one := member{Name: m.Name}
		if no != nil {
			one.No = no.Error()
		}
		out = append(out, one)
	}
	return out, nil
}

// arguments lists the members of a JSON object by name: plain text as text, all
// else as JSON. What is no object is one line.
func arguments(raw json.RawMessage) []arg {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return []arg{{Name: "arguments", Value: string(raw), JSON: true}}
	}
	var out []arg
	for _, k := range slices.Sorted(maps.Keys(object)) {
		a := arg{Name: k, Value: pretty(object[k]), JSON: true}
		var s string
		if v := object[k]; len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
			a.Value, a.JSON = s, false
		}
		out = append(out, a)
	}
	return out
}
