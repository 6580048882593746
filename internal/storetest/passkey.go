package storetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/passkey/softkey"
)

// party is whom the passkeys of the stories are for.
var party = passkey.Party{ID: "sallyport.example", Origin: "https://sallyport.example"}

// Passkeys plays the stories of people's passkeys.
func Passkeys(t *testing.T, open func(*testing.T) (s Store, log func() (audit.Source, error))) {
	stories := map[string]func(*office){
		"a first passkey takes an admin's link, once":        firstPasskey,
		"another passkey takes one that counts":              secondPasskey,
		"a passkey decides, and its proof is on the record":  passkeyDecides,
		"an answer that is not for this verdict is refused":  foreignAnswers,
		"a new passkey waits":                                passkeyWaits,
		"a count that goes back is a copy":                   countGoesBack,
		"a Decision can ask for a passkey":                   asksForPasskey,
		"of several people's votes those by passkey count":   severalPasskeys,
		"the glass is broken by passkey":                     glassByPasskey,
		"a broken glass and votes are no help to each other": glassBesideVotes,
		"an account that is reset has no passkey":            resetForgets,
		"owners and admins remove passkeys, nobody else":     removal,
		"challenges and passkeys of an account are bounded":  bounded,
		"a server without a name of its own has no passkeys": noParty,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, log := open(t)
			o := newOffice(t, s)
			o.log = log
			story(o)
		})
	}
}

// offer is an admin's link for the person.
func (h *Human) offer() string {
	h.w.t.Helper()
	ada := h.w.Human(h.Account.Tenant, "ada-"+ident.New("x")[2:8], ident.Admin)
	token, _, err := h.w.Dir.OfferPasskey(h.w.ctx, ada.Account.Principal(), h.Account.ID, Password, ada.NextCode(), h.w.Now)
	h.w.must(err)
	return token
}

// enrolling is a new key of the person, with nothing that lets it in.
func (h *Human) enrolling(name string) (*softkey.Key, identity.EnrolChallenge, identity.Enrolling) {
	h.w.t.Helper()
	c, err := h.w.Dir.BeginPasskey(h.w.ctx, h.Account.Principal(), h.w.Now)
	h.w.must(err)
	k := softkey.New(party)
	att, client := k.Create(c.Challenge.Challenge)
	return k, c, identity.Enrolling{Challenge: c.ID, Name: name, Attestation: att, ClientData: client, Password: Password}
}

func (h *Human) enrolAs(e identity.Enrolling) (identity.Passkey, error) {
	if e.Code == "" {
		e.Code = h.NextCode()
	}
	return h.w.Dir.EnrolPasskey(h.w.ctx, h.Account.Principal(), e, h.w.Now)
}

// enrol is a passkey by an admin's link.
func (h *Human) enrol(name string) (*softkey.Key, identity.Passkey) {
	h.w.t.Helper()
	link := h.offer()
	k, _, e := h.enrolling(name)
	e.Link = link
	p, err := h.enrolAs(e)
	h.w.must(err)
	return k, p
}

func answerOf(challenge string, a passkey.Assertion) identity.Answer {
	return identity.Answer{Challenge: challenge, Credential: a.Credential, AuthenticatorData: a.AuthenticatorData, ClientData: a.ClientData, Signature: a.Signature}
}

// sign has a passkey sign an act; change alters what is sent.
func (h *Human) sign(k *softkey.Key, act intent.Digest, change func(*identity.Answer)) (identity.Factor, error) {
	c, err := h.w.Dir.Challenge(h.w.ctx, h.Account.Principal(), act, h.w.Now)
	if err != nil {
		return identity.Factor{}, err
	}
	a := answerOf(c.ID, k.Get(c.Challenge))
	if change != nil {
		change(&a)
	}
	return h.w.Dir.ConfirmPasskey(h.w.ctx, h.Account.Principal(), a, act, h.w.Now)
}

func firstPasskey(o *office) {
	kim, eve := o.Human(acme, "kim", ident.Approver), o.Human(acme, "lil", ident.Approver)
	link, hers := kim.offer(), eve.offer()
	refused := func(what string, kind fault.Kind, change func(*identity.Enrolling)) {
		o.t.Helper()
		_, _, e := kim.enrolling("laptop")
		e.Link = link
		change(&e)
		if p, err := kim.enrolAs(e); fault.KindOf(err) != kind {
			o.t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	refused("no link", fault.Denied, func(e *identity.Enrolling) { e.Link = "" })
	refused("somebody else's link", fault.Denied, func(e *identity.Enrolling) { e.Link = hers })
	refused("a guessed link", fault.Denied, func(e *identity.Enrolling) { e.Link = link[:20] + strings.Repeat("a", len(link)-20) })
	refused("a session's token", fault.Denied, func(e *identity.Enrolling) { _, e.Link = kim.SignIn() })
	refused("a wrong password", fault.Unauthenticated, func(e *identity.Enrolling) { e.Password = "wrong password here" })
	refused("no password", fault.Denied, func(e *identity.Enrolling) { e.Password = "" })
	refused("a wrong code", fault.Unauthenticated, func(e *identity.Enrolling) { e.Code = "000000" })
	refused("no challenge", fault.Denied, func(e *identity.Enrolling) { e.Challenge = "" })
	refused("somebody else's challenge", fault.Denied, func(e *identity.Enrolling) { _, _, x := eve.enrolling("x"); e.Challenge = x.Challenge })
	refused("no name", fault.Invalid, func(e *identity.Enrolling) { e.Name = "" })
	refused("a name that can't be seen", fault.Invalid, func(e *identity.Enrolling) { e.Name = "a\u202eb" })
	refused("an attestation for another challenge", fault.Denied, func(e *identity.Enrolling) {
		_, _, x := kim.enrolling("x")
		e.Attestation, e.ClientData = x.Attestation, x.ClientData
	})
	refused("a passkey that nobody has", fault.Denied, func(e *identity.Enrolling) {
		a := answerOf(e.Challenge, softkey.New(party).Get(nil))
		e.Link, e.Answer = "", &a
	})
	o.Pass(time.Minute)
	k, _, e := kim.enrolling("laptop")
	e.Link = link
	p, err := kim.enrolAs(e)
	o.must(err)
	if p.Name != "laptop" || p.Algorithm != passkey.ES256 || !p.UsableAt.Equal(o.Now.Add(identity.WaitingPeriod)) {
		o.t.Errorf("it is %+v", p)
	}
	es := o.entries(acme, audit.FactorEnrolled)
	if len(es) != 1 || es[0].Fields["account"] != kim.Account.ID || es[0].Fields["credentialHash"] != passkey.Hash(k.ID) || es[0].Fields["row"] == nil ||
		!strings.HasPrefix(es[0].Fields["by"].(string), "person:acc_") || es[0].Actor != kim.Account.Principal().String() {
		o.t.Errorf("the entries are %+v", es)
	}
	refused("the link again", fault.Denied, func(*identity.Enrolling) {})
	if _, err := kim.enrolAs(e); !fault.Is(err, fault.Denied) {
		o.t.Errorf("the challenge again: %v", err)
	}
	link = kim.offer()
	o.Pass(time.Hour)
	refused("an old link", fault.Denied, func(*identity.Enrolling) {})
	link = kim.offer()
	_, _, late := kim.enrolling("late")
	late.Link = link
	o.Pass(6 * time.Minute)
	if _, err := kim.enrolAs(late); !fault.Is(err, fault.Denied) {
		o.t.Errorf("an old challenge: %v", err)
	}
	if _, err := o.Dir.Authenticate(o.ctx, link, o.Now); !fault.Is(err, fault.Unauthenticated) {
		o.t.Errorf("a link authenticates: %v", err)
	}
	o.wantNowhere(acme, link)
	o.offers()
}

// offers says who makes links.
func (o *office) offers() {
	ada, kim := o.Human(acme, "ada", ident.Admin), o.Human(acme, "kit", ident.Approver)
	for what, c := range map[string]struct {
		who  *Human
		to   string
		pass string
	}{
		"no admin": {kim, ada.Account.ID, Password}, "for oneself": {ada, ada.Account.ID, Password}, "without a password": {ada, kim.Account.ID, ""},
	} {
		if _, _, err := o.Dir.OfferPasskey(o.ctx, c.who.Account.Principal(), c.to, c.pass, c.who.NextCode(), o.Now); !fault.Is(err, fault.Denied) {
			o.t.Errorf("%s: %v", what, err)
		}
	}
	foreign := o.Human(globex, "ada", ident.Admin)
	_, _, err := o.Dir.OfferPasskey(o.ctx, foreign.Account.Principal(), kim.Account.ID, Password, foreign.NextCode(), o.Now)
	o.wantKind(err, fault.NotFound)
}

func secondPasskey(o *office) {
	kim := o.Human(acme, "kim", ident.Approver)
	first, p := kim.enrol("laptop")
	_, c, e := kim.enrolling("phone")
	a := answerOf(c.ID, first.Get(c.Challenge.Challenge))
	e.Answer = &a
	_, err := kim.enrolAs(e)
	o.wantKind(err, fault.Denied) // it does not count yet, so it lets nobody in
	o.Pass(48 * time.Hour)
	second, c, e := kim.enrolling("phone")
	a = answerOf(c.ID, first.Get(c.Challenge.Challenge))
	e.Answer = &a
	_, err = kim.enrolAs(e)
	o.must(err)
	if es := o.entries(acme, audit.FactorEnrolled); len(es) != 2 || es[1].Fields["by"] != "passkey:"+p.ID {
		o.t.Errorf("the entries are %+v", es)
	}
	_, err = kim.sign(second, act, nil)
	o.wantKind(err, fault.Denied)
	again, c, e := kim.enrolling("phone again")
	again.ID = second.ID
	e.Attestation, e.ClientData = again.Create(c.Challenge.Challenge)
	e.Link = kim.offer()
	_, err = kim.enrolAs(e)
	o.wantKind(err, fault.Conflict)
}

// decider is a member of the finance Team with a passkey that counts.
func (o *office) decider() (*Human, *softkey.Key) {
	kim := o.Human(acme, "kim", ident.Approver)
	_, err := o.Dir.ApplyTeam(o.ctx, Admin(acme), acme, Team("finance", "ann", "bob", "sam", "kim"), o.Now)
	o.must(err)
	k, _ := kim.enrol("laptop")
	o.Pass(48 * time.Hour)
	return kim, k
}

func (o *office) byPasskey(h *Human, k *softkey.Key, d decision.Decision, v decision.Verdict) decision.Request {
	o.t.Helper()
	f, err := h.sign(k, d.Act(v, h.Account.ID), nil)
	o.must(err)
	return decision.Request{Tenant: d.Tenant, Decision: d.ID, Verdict: v, Digest: d.Digest, Who: h.Account.Principal(), Factor: (*decision.Factor)(&f)}
}

func passkeyDecides(o *office) {
	kim, k := o.decider()
	for _, v := range []decision.Verdict{decision.Approve, decision.Reject} {
		d := o.park().Decision
		r := o.byPasskey(kim, k, d, v)
		got, err := o.desk.Decide(o.ctx, r, o.Now)
		o.must(err)
		if len(got.Votes) != 1 || got.Votes[0].Method != identity.MethodPasskey {
			o.t.Errorf("the votes are %+v", got.Votes)
		}
		es := o.entries(acme, audit.IntentDecided)
		f := es[len(es)-1].Fields
		if f["method"] != "passkey" || f["credential"] != audit.Octets(k.ID) || f["signature"] == nil || f["nonce"] == nil || f["authenticator"] == nil || f["client"] == nil {
			o.t.Errorf("the entry has %+v", f)
		}
		if _, err := o.desk.Decide(o.ctx, r, o.Now); decision.CodeOf(err) != decision.NotOpen {
			o.t.Errorf("the same again: %v", err)
		}
	}
	// A Factor whose method is said to be better than what is on record.
	d := o.park().Decision
	r := o.request(d, decision.Approve, o.ann)
	r.Factor.Method, r.Factor.Proof = identity.MethodPasskey, &passkey.Assertion{}
	_, err := o.desk.Decide(o.ctx, r, o.Now)
	o.wantCode(err, decision.FactorUsed)
}

func foreignAnswers(o *office) {
	kim, k := o.decider()
	lil := o.Human(acme, "lil", ident.Approver)
	hers, _ := lil.enrol("phone")
	o.Pass(48 * time.Hour)
	d, other := o.park().Decision, o.park().Decision
	mine := d.Act(decision.Approve, kim.Account.ID)
	for what, c := range map[string]struct {
		act    intent.Digest // that is confirmed
		change func(*identity.Answer)
	}{
		"another Decision": {other.Act(decision.Approve, kim.Account.ID), nil},
		"a rejection":      {d.Act(decision.Reject, kim.Account.ID), nil},
		"another person":   {d.Act(decision.Approve, lil.Account.ID), nil},
		"another person's passkey": {mine, func(a *identity.Answer) {
			c, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), mine, o.Now)
			o.must(err)
			*a = answerOf(c.ID, hers.Get(c.Challenge))
		}},
		"under the name of another passkey": {mine, func(a *identity.Answer) {
			c, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), mine, o.Now)
			o.must(err)
			*a = answerOf(c.ID, hers.Get(c.Challenge))
			a.Credential = k.ID
		}},
		"a challenge of somebody else": {mine, func(a *identity.Answer) {
			c, err := o.Dir.Challenge(o.ctx, lil.Account.Principal(), mine, o.Now)
			o.must(err)
			a.Challenge = c.ID
		}},
		"an enrolment's challenge": {mine, func(a *identity.Answer) {
			_, c, _ := kim.enrolling("x")
			*a = answerOf(c.ID, k.Get(c.Challenge.Challenge))
		}},
		"a flipped bit": {mine, func(a *identity.Answer) { a.Signature = bytes.Clone(a.Signature); a.Signature[9] ^= 1 }},
		"nothing":       {mine, func(a *identity.Answer) { *a = identity.Answer{} }},
	} {
		o.Pass(time.Hour) // attempts are slowed down
		ch, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), mine, o.Now)
		o.must(err)
		a := answerOf(ch.ID, k.Get(ch.Challenge))
		if c.change != nil {
			c.change(&a)
		}
		if f, err := o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), a, c.act, o.Now); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
			o.t.Errorf("%s: %+v, %v", what, f, err)
		}
	}
	o.Pass(time.Hour)
	ch, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), mine, o.Now)
	o.must(err)
	good := answerOf(ch.ID, k.Get(ch.Challenge))
	bad := good
	bad.Signature = hers.Get(ch.Challenge).Signature
	_, err = o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), bad, mine, o.Now)
	o.wantKind(err, fault.Denied)
	_, err = o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), good, mine, o.Now)
	o.wantKind(err, fault.Denied) // a bad answer used the challenge up
	ch, err = o.Dir.Challenge(o.ctx, kim.Account.Principal(), mine, o.Now)
	o.must(err)
	good = answerOf(ch.ID, k.Get(ch.Challenge))
	o.Pass(2 * time.Minute)
	_, err = o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), good, mine, o.Now)
	o.wantKind(err, fault.Denied) // too late
	if _, err = kim.sign(k, mine, nil); err != nil {
		o.t.Errorf("a good one: %v", err)
	}
	if es := o.entries(acme, audit.SessionFailed); len(es) == 0 || es[0].Fields["method"] != "passkey" {
		o.t.Errorf("bad answers are not on record: %+v", es)
	}
}

func passkeyWaits(o *office) {
	kim := o.Human(acme, "kim", ident.Approver)
	_, err := kim.sign(softkey.New(party), act, nil)
	o.wantKind(err, fault.Denied) // has none
	k, _ := kim.enrol("laptop")
	o.Pass(identity.WaitingPeriod - time.Second)
	_, err = kim.sign(k, act, nil)
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "is new") {
		o.t.Errorf("a second before: %v", err)
	}
	o.Pass(time.Second)
	_, err = kim.sign(k, act, nil)
	o.must(err)
}

func countGoesBack(o *office) {
	kim, k := o.decider()
	_, err := kim.sign(k, act, nil)
	o.must(err)
	for _, n := range []uint32{k.Counter - 1, 1, 0} {
		k.Counter = n
		if _, err := kim.sign(k, act, nil); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "went back") {
			o.t.Errorf("counting %d: %v", n, err)
		}
	}
	k.Counter = 100
	_, err = kim.sign(k, act, nil)
	o.must(err)
}

func asksForPasskey(o *office) {
	kim, k := o.decider()
	d := o.park().Decision
	o.desk.Passkeys = true
	for _, v := range []decision.Verdict{decision.Approve, decision.Reject} {
		_, err := o.desk.Decide(o.ctx, o.request(d, v, o.ann), o.Now)
		o.wantCode(err, decision.NeedsPasskey)
	}
	got, err := o.desk.Decide(o.ctx, o.byPasskey(kim, k, d, decision.Approve), o.Now)
	o.must(err)
	if !got.Passkey {
		o.t.Error("it is not on the Decision that a passkey was asked for")
	}
	it, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	o.must(it.Decision.Holds(it.Intent, o.Now))
	it.Decision.Votes[0].Method = identity.MethodTOTP
	o.wantCode(it.Decision.Holds(it.Intent, o.Now), decision.NotApproved)

	o.desk.Passkeys = false
	i := o.newIntent(acme)
	d, err = decision.New(i, of("finance"), 0, o.Now)
	o.must(err)
	d.Passkey = true
	o.must(o.propose(i, d))
	it, err = o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	_, err = o.desk.Decide(o.ctx, o.request(it.Decision, decision.Approve, o.ann), o.Now)
	o.wantCode(err, decision.NeedsPasskey)
	_, err = o.desk.Decide(o.ctx, o.byPasskey(kim, k, it.Decision, decision.Reject), o.Now)
	o.must(err)
}

func resetForgets(o *office) {
	kim, k := o.decider()
	c, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), act, o.Now)
	o.must(err)
	_, err = o.Dir.Reset(o.ctx, Admin(acme), acme, kim.Account.ID, o.Now)
	o.must(err)
	_, err = o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), answerOf(c.ID, k.Get(c.Challenge)), act, o.Now)
	o.wantKind(err, fault.Denied)
	if l, err := o.Dir.Passkeys(o.ctx, Admin(acme), kim.Account.ID); err != nil || len(l) != 0 {
		o.t.Errorf("there are %+v, %v", l, err)
	}
	es := o.entries(acme, audit.FactorRemoved)
	if len(es) != 1 || es[0].Fields["credentialHash"] != passkey.Hash(k.ID) || es[0].Fields["why"] != "the account was reset" {
		o.t.Errorf("the entries are %+v", es)
	}
}

func removal(o *office) {
	kim, k := o.decider()
	ada, lil := o.Human(acme, "ada", ident.Admin), o.Human(acme, "lil", ident.Approver)
	l, err := o.Dir.Passkeys(o.ctx, kim.Account.Principal(), kim.Account.ID)
	o.must(err)
	id := l[0].ID
	remove := func(who *Human, password string) error {
		return o.Dir.RemovePasskey(o.ctx, who.Account.Principal(), kim.Account.ID, id, password, who.NextCode(), o.Now)
	}
	o.wantKind(remove(lil, Password), fault.Denied)
	o.wantKind(remove(kim, ""), fault.Denied)
	o.wantKind(remove(kim, "wrong password here"), fault.Unauthenticated)
	if _, err := o.Dir.Passkeys(o.ctx, lil.Account.Principal(), kim.Account.ID); !fault.Is(err, fault.Denied) {
		o.t.Errorf("a colleague sees them: %v", err)
	}
	o.must(remove(ada, Password))
	o.wantKind(remove(kim, Password), fault.NotFound)
	_, err = kim.sign(k, act, nil)
	o.wantKind(err, fault.Denied)
}

func bounded(o *office) {
	kim, k := o.decider()
	first, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), act, o.Now)
	o.must(err)
	for range 20 {
		o.Pass(time.Second)
		_, err := o.Dir.Challenge(o.ctx, kim.Account.Principal(), act, o.Now)
		o.must(err)
	}
	_, err = o.Dir.ConfirmPasskey(o.ctx, kim.Account.Principal(), answerOf(first.ID, k.Get(first.Challenge)), act, o.Now)
	o.wantKind(err, fault.Denied)
	for n := 1; n < identity.MaxPasskeys; n++ {
		kim.enrol("another")
	}
	_, _, e := kim.enrolling("one too many")
	e.Link = kim.offer()
	_, err = kim.enrolAs(e)
	o.wantKind(err, fault.Conflict)
	o.Pass(72 * time.Hour)
	o.must(o.Dir.Sweep(o.ctx, o.Now))
	if _, err := o.Store.Pending(o.ctx, acme, first.ID); !fault.Is(err, fault.NotFound) {
		o.t.Errorf("it was not swept: %v", err)
	}
}

func noParty(o *office) {
	kim := o.Human(acme, "kim", ident.Approver)
	dir, err := identity.New(o.Store, Keys{"a key of the store tests alone"})
	o.must(err)
	_, err = dir.BeginPasskey(o.ctx, kim.Account.Principal(), o.Now)
	o.wantKind(err, fault.Unavailable)
	_, err = dir.Challenge(o.ctx, kim.Account.Principal(), act, o.Now)
	o.wantKind(err, fault.Unavailable)
}
