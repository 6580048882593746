package audit_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/passkey/softkey"
)

// signedStory is a log of one enrolment and two verdicts by passkey, before it is
// written: a lie of the server is one changed field, and is signed like the rest.
type signedStory struct {
	key, other *softkey.Key
	events     []audit.Event // 0 and 1: enrolled, of two people; 2 approved, 3 rejected
}

const (
	annID = "acc_ann"
	bobID = "acc_bob"
)

func newStory(t *testing.T) *signedStory {
	t.Helper()
	party := passkey.Party{ID: "sallyport.example", Origin: "https://sallyport.example"}
	s := &signedStory{key: softkey.New(party), other: softkey.NewEdDSA(party)}
	s.events = []audit.Event{enrolment(t, s.key, annID), enrolment(t, s.other, bobID)}
	s.events = append(s.events, s.verdict("dec_1", "approved", 1), s.verdict("dec_2", "rejected", 2))
	return s
}

func enrolment(t *testing.T, k *softkey.Key, account string) audit.Event {
	t.Helper()
	party := passkey.Party{ID: k.Party, Origin: k.Origin}
	c := passkey.Challenge("enrol", nil)
	att, client := k.Create(c)
	cred, err := party.Enrol(c, att, client)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Event{Type: audit.FactorEnrolled, Tenant: "acme", At: noon, Actor: "person:" + account, Fields: map[string]any{
		"account": account, "credentialHash": passkey.Hash(k.ID), "key": audit.Octets(cred.Key.Bytes()), "party": k.Party, "usable": noon.Add(time.Hour)}}
}

// verdict is the entry of a good one by ann, two hours later.
func (s *signedStory) verdict(id, state string, n byte) audit.Event {
	return s.by(s.key, annID, id, state, bytes.Repeat([]byte{n}, passkey.NonceSize))
}

func (s *signedStory) by(k *softkey.Key, account, id, state string, nonce []byte) audit.Event {
	act := intent.Act{Tenant: "acme", Decision: id, Intent: "int_1", Revision: 2, Digest: intent.SHA256([]byte("it")), Needs: []string{"team_1"},
		Expires: noon.Add(24 * time.Hour), Verdict: map[string]string{"approved": "approve", "rejected": "reject"}[state], Account: account}
	a := k.Get(passkey.Challenge(act.Sum(), nonce))
	return audit.Event{Type: audit.IntentDecided, Tenant: "acme", At: noon.Add(2 * time.Hour), Actor: "person:" + account, Run: "run_1", Intent: "int_1", Fields: map[string]any{
		"decision": id, "digest": act.Digest, "revision": 2, "needs": act.Needs, "expires": act.Expires, "verdict": state, "approvers": []string{account},
		"method": "passkey", "credential": audit.Octets(a.Credential), "authenticator": audit.Octets(a.AuthenticatorData), "client": audit.Octets(a.ClientData),
		"signature": audit.Octets(a.Signature), "nonce": audit.Octets(nonce)}}
}

// findings writes the log and verifies it.
func (s *signedStory) findings(t *testing.T) []audit.Finding {
	t.Helper()
	m, seq := newMemory(), sequencer(t)
	for _, ev := range s.events {
		if err := m.do(seq, one(ev)); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := audit.Verify(context.Background(), source{m}, audit.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return rep.Findings()
}

func TestVerdictsByPasskeyAreProvenByTheLogAlone(t *testing.T) {
	if f := newStory(t).findings(t); len(f) != 0 {
		t.Fatalf("a good log has findings: %v", f)
	}
}

// A server that lies, with all its keys, can't lie about what a passkey signed.
func TestAVerdictThatNoPasskeyGaveIsFound(t *testing.T) {
	set := func(field string, v any) func(*testing.T, *signedStory) {
		return func(_ *testing.T, s *signedStory) { s.events[2].Fields[field] = v }
	}
	swap := func(fields ...string) func(*testing.T, *signedStory) {
		return func(_ *testing.T, s *signedStory) {
			for _, f := range fields {
				s.events[2].Fields[f], s.events[3].Fields[f] = s.events[3].Fields[f], s.events[2].Fields[f]
			}
		}
	}
	for what, c := range map[string]struct {
		want audit.FindingKind
		lie  func(*testing.T, *signedStory)
	}{
		"another verdict":     {audit.ProofBad, set("verdict", "rejected")},
		"another digest":      {audit.ProofBad, set("digest", intent.SHA256([]byte("another")))},
		"another Decision":    {audit.ProofBad, set("decision", "dec_9")},
		"another revision":    {audit.ProofBad, set("revision", 3)},
		"another Team":        {audit.ProofBad, set("needs", []string{"team_2"})},
		"more Teams":          {audit.ProofBad, set("needs", []string{"team_1", "team_2"})},
		"no Team":             {audit.ProofBad, set("needs", []string{})},
		"another expiry":      {audit.ProofBad, set("expires", noon.Add(48*time.Hour))},
		"another nonce":       {audit.ProofBad, set("nonce", audit.Octets(make([]byte, passkey.NonceSize)))},
		"a short nonce":       {audit.ProofBad, set("nonce", "AAAA")},
		"an approver more":    {audit.ProofBad, set("approvers", []string{bobID})},
		"another method":      {audit.ProofBad, set("method", "password+totp")},
		"another Intent":      {audit.ProofBad, func(_ *testing.T, s *signedStory) { s.events[2].Intent = "int_2" }},
		"another tenant's":    {audit.ProofBad, func(_ *testing.T, s *signedStory) { s.events[2] = s.foreign() }},
		"a swapped signature": {audit.ProofBad, swap("signature")},
		"a swapped assertion": {audit.ProofBad, swap("credential", "authenticator", "client", "signature", "nonce")},
		"another person": {audit.KeyUnknown, func(_ *testing.T, s *signedStory) {
			s.events[2].Actor = "person:" + bobID
			s.events[2].Fields["approvers"] = []string{bobID}
		}},
		"another person's passkey": {audit.KeyUnknown, func(_ *testing.T, s *signedStory) {
			s.events[2] = s.by(s.other, annID, "dec_1", "approved", make([]byte, passkey.NonceSize))
		}},
		"a key under another's name": {audit.ProofBad, func(_ *testing.T, s *signedStory) {
			s.events[0].Fields["key"] = s.events[1].Fields["key"]
		}},
		"a key that was enrolled later": {audit.KeyUnknown, func(_ *testing.T, s *signedStory) { s.events[0], s.events[2] = s.events[2], s.events[0] }},
		"a key that was removed": {audit.KeyUnknown, func(_ *testing.T, s *signedStory) {
			removed := audit.Event{Type: audit.FactorRemoved, Tenant: "acme", At: noon, Actor: "person:" + annID, Fields: map[string]any{"account": annID, "credentialHash": passkey.Hash(s.key.ID)}}
			s.events = append([]audit.Event{s.events[0], s.events[1], removed}, s.events[2:]...)
		}},
		"a key that is none": {audit.KeyBad, func(_ *testing.T, s *signedStory) { s.events[0].Fields["key"] = "AAAA" }},
		"a key put in again": {audit.KeyBad, func(_ *testing.T, s *signedStory) {
			again := s.events[0]
			s.events = append(s.events, again)
		}},
		"no proof": {audit.ProofMissing, func(_ *testing.T, s *signedStory) { s.strip() }},
		"one that was asked for": {audit.ProofMissing, func(_ *testing.T, s *signedStory) {
			s.strip()
			s.events[2].Fields["method"], s.events[2].Fields["passkey"] = "password+totp", true
		}},
		"half a proof": {audit.ProofBad, func(_ *testing.T, s *signedStory) { delete(s.events[2].Fields, "signature") }},
		"a replayed nonce": {audit.ProofReplayed, func(_ *testing.T, s *signedStory) {
			s.events[3] = s.by(s.key, annID, "dec_3", "approved", bytes.Repeat([]byte{1}, passkey.NonceSize))
		}},
		"the same again": {audit.ProofReplayed, func(_ *testing.T, s *signedStory) { s.events = append(s.events, s.events[3]) }},
		"a count that goes back": {audit.ProofCounter, func(_ *testing.T, s *signedStory) {
			s.key.Counter = 1
			s.events[3] = s.verdict("dec_2", "rejected", 2)
		}},
		"a Decision that had expired": {audit.ProofBad, func(_ *testing.T, s *signedStory) { s.events[2].At = noon.Add(24 * time.Hour) }},
		"a passkey that had to wait":  {audit.ProofEarly, func(_ *testing.T, s *signedStory) { s.events[2].At = noon }},
		"another server's": {audit.ProofBad, func(_ *testing.T, s *signedStory) {
			s.key.Party, s.key.Origin = "evil.example", "https://evil.example"
			s.events[2] = s.verdict("dec_1", "approved", 1)
		}},
		"not verified": {audit.ProofBad, func(_ *testing.T, s *signedStory) {
			s.key.Flags = 1
			s.events[2] = s.verdict("dec_1", "approved", 1)
		}},
		"a person more with a proof of none": {audit.KeyUnknown, func(_ *testing.T, s *signedStory) {
			s.events = append(s.events, audit.Event{Type: audit.FactorRemoved, Tenant: "acme", At: noon, Actor: "person:x", Fields: map[string]any{"account": bobID, "credentialHash": strings.Repeat("0", 64)}})
		}},
	} {
		s := newStory(t)
		c.lie(t, s)
		found := false
		fs := s.findings(t)
		for _, f := range fs {
			found = found || f.Kind == c.want
		}
		if !found {
			t.Errorf("%s: %v, not %s", what, fs, c.want)
		}
	}
}

// many is the story of a Decision that takes two people with passkeys, or two admins.
func many(t *testing.T, glass bool) *signedStory {
	s := newStory(t)
	verdict, kind := "approve", audit.DecisionVoted
	if glass {
		verdict, kind = "break-glass", audit.DecisionBreakGlass
	}
	vote := func(k *softkey.Key, account string, n byte) audit.Event {
		nonce := bytes.Repeat([]byte{n}, passkey.NonceSize)
		act := intent.Act{Tenant: "acme", Decision: "dec_5", Intent: "int_1", Revision: 2, Digest: intent.SHA256([]byte("it")), Needs: []string{"team_1:2"},
			Expires: noon.Add(24 * time.Hour), Verdict: verdict, Account: account}
		a := k.Get(passkey.Challenge(act.Sum(), nonce))
		return audit.Event{Type: kind, Tenant: "acme", At: noon.Add(2 * time.Hour), Actor: "person:" + account, Run: "run_1", Intent: "int_1", Fields: map[string]any{
			"decision": "dec_5", "digest": act.Digest, "revision": 2, "needs": act.Needs, "expires": act.Expires, "verdict": verdict, "passkey": true,
			"method": "passkey", "credential": audit.Octets(a.Credential), "authenticator": audit.Octets(a.AuthenticatorData), "client": audit.Octets(a.ClientData),
			"signature": audit.Octets(a.Signature), "nonce": audit.Octets(nonce)}}
	}
	end := vote(s.other, bobID, 12)
	if glass {
		s.events = append(s.events[:2], vote(s.key, annID, 11), end)
		end = audit.Event{At: end.At, Tenant: end.Tenant, Actor: end.Actor, Run: end.Run, Intent: end.Intent, Fields: map[string]any{"method": "passkey",
			"decision": "dec_5", "digest": end.Fields["digest"], "revision": 2, "needs": []string{"team_1:2"}, "expires": noon, "passkey": true, "breakGlass": true}}
	} else {
		s.events = append(s.events[:2], vote(s.key, annID, 11))
	}
	end.Type, end.Fields["verdict"], end.Fields["approvers"] = audit.IntentDecided, "approved", []string{annID, bobID}
	s.events = append(s.events, end)
	return s
}

func TestSeveralPeoplesPasskeysAreProvenByTheLogAlone(t *testing.T) {
	for _, glass := range []bool{false, true} {
		if f := many(t, glass).findings(t); len(f) != 0 {
			t.Errorf("a good log has findings (glass: %v): %v", glass, f)
		}
		for what, lie := range map[string]func(s *signedStory){
			"the first vote is gone":          func(s *signedStory) { s.events = append(s.events[:2], s.events[3:]...) },
			"the first vote is about another": func(s *signedStory) { s.events[2].Fields["decision"] = "dec_6" },
			"one of them is said to be two":   func(s *signedStory) { s.events[len(s.events)-1].Fields["approvers"] = []string{bobID} },
			"a third is named": func(s *signedStory) {
				s.events[len(s.events)-1].Fields["approvers"] = []string{annID, bobID, "acc_cat"}
			},
			"one of them is named twice": func(s *signedStory) {
				s.events = append(s.events[:2], s.events[3:]...)
				s.events[len(s.events)-1].Fields["approvers"] = []string{bobID, bobID}
			},
			"the end asks for fewer": func(s *signedStory) {
				end := &s.events[len(s.events)-1]
				end.Actor, end.Fields["needs"], end.Fields["approvers"], end.Fields["breakGlass"] = "system:desk", []string{"team_1:1"}, []string{annID}, false
				unsigned(*end)
			},
			"the end asks for no passkey": func(s *signedStory) {
				end := &s.events[len(s.events)-1]
				end.Fields["passkey"], end.Fields["method"], end.Fields["breakGlass"] = false, "password+totp", false
				unsigned(*end)
			},
			"the first vote has no proof": func(s *signedStory) {
				unsigned(s.events[2])
			},
		} {
			s := many(t, glass)
			lie(s)
			if f := s.findings(t); len(f) == 0 {
				t.Errorf("%s (glass: %v): nothing is found", what, glass)
			}
		}
	}
}

// foreign is a verdict that was signed in another tenant.
func (s *signedStory) foreign() audit.Event {
	nonce := make([]byte, passkey.NonceSize)
	ev := s.by(s.key, annID, "dec_1", "approved", nonce)
	act := intent.Act{Tenant: "globex", Decision: "dec_1", Intent: "int_1", Revision: 2, Digest: intent.SHA256([]byte("it")), Needs: []string{"team_1"},
		Expires: noon.Add(24 * time.Hour), Verdict: "approve", Account: annID}
	a := s.key.Get(passkey.Challenge(act.Sum(), nonce))
	ev.Fields["authenticator"], ev.Fields["client"], ev.Fields["signature"] = audit.Octets(a.AuthenticatorData), audit.Octets(a.ClientData), audit.Octets(a.Signature)
	return ev
}

func (s *signedStory) strip() { unsigned(s.events[2]) }

// unsigned takes the proof out of an entry.
func unsigned(ev audit.Event) {
	for _, f := range []string{"credential", "authenticator", "client", "signature", "nonce"} {
		delete(ev.Fields, f)
	}
}

// What was parked for people with a passkey is not decided by anybody without one,
// whatever the entry of its end says was asked for.
func TestADecisionThatWasParkedForAPasskeyTakesOne(t *testing.T) {
	for _, kind := range []audit.Type{audit.IntentParked, audit.IntentEdited} {
		s := newStory(t)
		parked := audit.Event{Type: kind, Tenant: "acme", At: noon, Actor: "run:run_1", Run: "run_1", Intent: "int_1",
			Fields: map[string]any{"digest": s.events[2].Fields["digest"], "passkey": true}}
		s.events = append(s.events[:2], parked, s.events[2])
		if f := s.findings(t); len(f) != 0 {
			t.Fatalf("%s: a good log has findings: %v", kind, f)
		}
		end := &s.events[3]
		unsigned(*end)
		end.Fields["method"], end.Fields["passkey"] = "password+totp", false
		if f := s.findings(t); len(f) == 0 || f[0].Kind != audit.ProofMissing {
			t.Errorf("%s: it was decided without a passkey: %v", kind, f)
		}
	}
}

func TestBytesInAnEntryHaveOneForm(t *testing.T) {
	for _, bad := range []string{"AA=", "AB", "A", "A A", "AAA\n", "+/+/", strings.Repeat("A", 7000)} {
		ev := newStory(t).events[2]
		ev.Fields["nonce"] = bad
		if _, err := audit.Encode(1, ev); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
