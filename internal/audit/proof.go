package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
)

// Whoever verifies a log does not have to believe the server that a person decided:
// where a passkey was used, its signature is in the entry, and the key stands in an
// earlier one. The challenge is computed again from the entry's own fields, so that
// a signature of another verdict, action or person proves nothing here.

// proofs is what is known at a place in a log of the passkeys and their use.
type proofs struct {
	keys   map[string]*enrolled // by the credential's hash
	nonces map[[sha256.Size]byte]bool
	votes  map[vote]bool   // that a passkey gave, and that were not yet counted
	asked  map[string]bool // digests of actions for which an entry has asked for a passkey
}

// vote is one person's approval of one action, for which so many had to approve;
// glass, in place of the Teams.
type vote struct {
	decision, digest, needs, account string
	glass                            bool
}

// enrolled is a passkey as its entry introduced it.
type enrolled struct {
	account, party string
	key            passkey.Key
	usable         time.Time
	counter        uint32
}

// signed are the fields of a passkey's proof.
var signed = []string{"authenticator", "client", "credential", "nonce", "signature"}

// check takes an entry into account, and looks at the proof that it has.
func (p *proofs) check(i int64, e Entry, l *LogReport) {
	text := func(field string) string { s, _ := e.Fields[field].(string); return s }
	if must, _ := e.Fields["passkey"].(bool); must { // no later entry about the action takes that back
		if p.asked == nil {
			p.asked = map[string]bool{}
		}
		p.asked[text("digest")] = true
	}
	switch e.Type {
	case FactorEnrolled:
		key, err := passkey.ParseKey(octetsOf(e, "key"))
		usable, _ := e.Fields["usable"].(time.Time)
		if _, again := p.keys[text("credentialHash")]; err != nil || again {
			l.find(KeyBad, i, "the passkey is enrolled already, or its key can't be used")
			return
		}
		if p.keys == nil {
			p.keys = map[string]*enrolled{}
		}
		p.keys[text("credentialHash")] = &enrolled{account: text("account"), party: text("party"), key: key, usable: usable}
	case FactorRemoved:
		if k := p.keys[text("credentialHash")]; k == nil || k.account != text("account") {
			l.find(KeyUnknown, i, "a passkey is removed that this account does not have")
			return
		}
		delete(p.keys, text("credentialHash"))
	case IntentDecided, DecisionVoted, DecisionBreakGlass:
		if slices.ContainsFunc(signed, func(f string) bool { return e.Fields[f] != nil }) {
			p.verdict(i, e, l)
		} else if p.needsProof(e) {
			l.find(ProofMissing, i, "a passkey had to give this verdict, and there is no proof that it did")
		}
		p.counted(i, e, l)
	default: // it says nothing of what a passkey did
	}
}

// must says that a passkey has to give the verdicts on an entry's action.
func (p *proofs) must(e Entry) bool {
	digest, _ := e.Fields["digest"].(string)
	return p.asked[digest]
}

// needsProof says that a passkey gave a verdict, or had to, as its entry or an
// earlier one says. Of a broken glass the proof is with the entry of the admin's word.
func (p *proofs) needsProof(e Entry) bool {
	broken, _ := e.Fields["breakGlass"].(bool)
	ended := e.Type == IntentDecided && broken
	return !ended && (p.must(e) || e.Fields["method"] == "passkey") && strings.HasPrefix(e.Actor, "person:") && verdictOf(e) != ""
}

// counted looks, at the end of a Decision that took passkeys, whether each of those
// who are said to have approved did so by passkey, as one of those who are said to be
// needed, and whether they are enough.
func (p *proofs) counted(i int64, e Entry, l *LogReport) {
	if e.Type != IntentDecided {
		return
	}
	glass, _ := e.Fields["breakGlass"].(bool)
	by, _ := e.Fields["approvers"].([]string)
	needs, _ := e.Fields["needs"].([]string)
	said := vote{glass: glass, needs: strings.Join(needs, "\n")}
	said.decision, _ = e.Fields["decision"].(string)
	said.digest, _ = e.Fields["digest"].(string)
	gave := 0
	for _, account := range by {
		v := said
		if v.account = account; p.votes[v] {
			delete(p.votes, v) // who is named twice is one
			gave++
		}
	}
	maps.DeleteFunc(p.votes, func(v vote, _ bool) bool { return v.decision == said.decision })
	if !p.must(e) || e.Fields["verdict"] != "approved" {
		return
	}
	want := peopleOf(needs)
	if glass {
		want = 2
	}
	if gave < max(want, 1) || gave < len(by) {
		l.find(ProofMissing, i, "it takes %d people with a passkey, and there are proofs of %d", max(want, len(by), 1), gave)
	}
}

// peopleOf is how many people needs ask for.
func peopleOf(needs []string) (n int) {
	for _, s := range needs {
		_, count, _ := strings.Cut(s, ":")
		c, err := strconv.Atoi(count)
		if err != nil || c < 1 {
			c = 1
		}
		n += c
	}
	return n
}

// verdict checks the proof of one person's verdict.
func (p *proofs) verdict(i int64, e Entry, l *LogReport) {
	a := passkey.Assertion{Credential: octetsOf(e, "credential"), AuthenticatorData: octetsOf(e, "authenticator"),
		ClientData: octetsOf(e, "client"), Signature: octetsOf(e, "signature"), Nonce: octetsOf(e, "nonce")}
	account, person := strings.CutPrefix(e.Actor, "person:")
	k := p.keys[passkey.Hash(a.Credential)]
	act, whole := actOf(e, account)
	switch {
	case !person || !whole || e.Fields["method"] != "passkey" || len(a.Nonce) != passkey.NonceSize:
		l.find(ProofBad, i, "the entry does not say what the passkey was asked")
		return
	case k == nil || k.account != account:
		l.find(KeyUnknown, i, "no such passkey is enrolled for %s at this place of the log", fault.Quote(account))
		return
	}
	challenge := passkey.Challenge(act.Sum(), a.Nonce)
	counter, err := passkey.VerifyRecorded(k.party, k.key, challenge, a)
	if err != nil {
		l.find(ProofBad, i, "%s", err.Error())
		return
	}
	nonce := sha256.Sum256(a.Nonce)
	if p.nonces[nonce] {
		l.find(ProofReplayed, i, "its nonce was signed for before")
	}
	if p.nonces == nil {
		p.nonces = map[[sha256.Size]byte]bool{}
	}
	p.nonces[nonce] = true
	if !passkey.Counts(k.counter, counter) {
		l.find(ProofCounter, i, "the authenticator counted %d after %d", counter, k.counter)
	}
	if !e.At.Before(act.Expires) {
		l.find(ProofBad, i, "it was given when the Decision had expired")
	}
	if k.counter = max(k.counter, counter); e.At.Before(k.usable) {
		l.find(ProofEarly, i, "the passkey counts from %s on", formatTime(k.usable))
	}
	if act.Verdict != "reject" {
		if p.votes == nil {
			p.votes = map[vote]bool{}
		}
		p.votes[vote{act.Decision, string(act.Digest), strings.Join(act.Needs, "\n"), account, act.Verdict == "break-glass"}] = true
	}
}

// actOf is the verdict that an entry says was given; false where it does not say
// all of it, or where who ended it with an approval is not among those who approved.
func actOf(e Entry, account string) (intent.Act, bool) {
	text := func(field string) string { s, _ := e.Fields[field].(string); return s }
	revision, _ := e.Fields["revision"].(int64)
	expires, _ := e.Fields["expires"].(time.Time)
	needs, _ := e.Fields["needs"].([]string)
	by, _ := e.Fields["approvers"].([]string)
	act := intent.Act{Tenant: e.Tenant, Decision: text("decision"), Intent: e.Intent, Revision: int(revision), Digest: intent.Digest(text("digest")),
		Needs: needs, Expires: expires, Verdict: verdictOf(e), Account: account}
	whole := act.Decision != "" && act.Intent != "" && act.Digest != "" && len(needs) > 0 && !expires.IsZero() && act.Verdict != "" && account != "" &&
		(e.Type != IntentDecided || act.Verdict != "approve" || slices.Contains(by, account))
	return act, whole
}

// verdictOf is what a person said, or "".
func verdictOf(e Entry) string {
	switch e.Fields["verdict"] {
	case "approved", "approve":
		return "approve"
	case "rejected", "reject":
		return "reject"
	case "break-glass":
		return "break-glass"
	}
	return ""
}

// octetsOf is a field's bytes; nil where it has none.
func octetsOf(e Entry, field string) []byte {
	s, _ := e.Fields[field].(string)
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return bytes.Clone(b)
}
