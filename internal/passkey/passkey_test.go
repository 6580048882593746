package passkey_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/passkey"
	"sallyport.dev/internal/passkey/softkey"
)

var (
	party     = passkey.Party{ID: "sallyport.example", Origin: "https://sallyport.example"}
	challenge = passkey.Challenge("an act", bytes.Repeat([]byte{7}, passkey.NonceSize))
)

func enrolled(t *testing.T, k *softkey.Key) passkey.Credential {
	t.Helper()
	att, client := k.Create(challenge)
	c, err := party.Enrol(challenge, att, client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEachOfTheThreeAlgorithmsEnrolsAndSigns(t *testing.T) {
	for alg, k := range map[string]*softkey.Key{passkey.ES256: softkey.New(party), passkey.EdDSA: softkey.NewEdDSA(party), passkey.RS256: softkey.NewRS256(party, 2048)} {
		c := enrolled(t, k)
		if c.Key.Algorithm() != alg || !bytes.Equal(c.ID, k.ID) || c.Counter != 1 || c.AAGUID != strings.Repeat("0", 32) {
			t.Errorf("%s: enrolled as %+v", alg, c)
		}
		again, err := passkey.ParseKey(c.Key.Bytes())
		if err != nil || again.Algorithm() != alg {
			t.Fatalf("%s: %v", alg, err)
		}
		k.Counter = 9
		if n, err := party.Verify(again, challenge, k.Get(challenge)); err != nil || n != 9 {
			t.Errorf("%s: %d, %v", alg, n, err)
		}
		if n, err := passkey.VerifyRecorded(party.ID, again, challenge, k.Get(challenge)); err != nil || n != 10 {
			t.Errorf("%s, from the record: %d, %v", alg, n, err)
		}
	}
}

func TestAnAnswerThatIsNotWhollyOursIsRefused(t *testing.T) {
	foreign := passkey.Party{ID: "evil.example", Origin: "https://evil.example"}
	for name, c := range map[string]struct {
		why string
		do  func(*softkey.Key) passkey.Assertion
	}{
		"another challenge": {"another challenge", func(k *softkey.Key) passkey.Assertion { return k.Get(passkey.Challenge("another act", nil)) }},
		"no challenge":      {"another challenge", func(k *softkey.Key) passkey.Assertion { return k.Get(nil) }},
		"another origin":    {"another origin", func(k *softkey.Key) passkey.Assertion { k.Origin = foreign.Origin; return k.Get(challenge) }},
		"another port":      {"another origin", func(k *softkey.Key) passkey.Assertion { k.Origin += ":8443"; return k.Get(challenge) }},
		"without TLS": {"another origin", func(k *softkey.Key) passkey.Assertion {
			k.Origin = "http://sallyport.example"
			return k.Get(challenge)
		}},
		"another party":     {"another server", func(k *softkey.Key) passkey.Assertion { k.Party = foreign.ID; return k.Get(challenge) }},
		"another ceremony":  {"another ceremony", func(k *softkey.Key) passkey.Assertion { return k.GetAs("webauthn.create", challenge) }},
		"a payment":         {"another ceremony", func(k *softkey.Key) passkey.Assertion { return k.GetAs("payment.get", challenge) }},
		"nobody present":    {"nobody was present", func(k *softkey.Key) passkey.Assertion { k.Flags = 0x04; return k.Get(challenge) }},
		"not verified":      {"did not verify", func(k *softkey.Key) passkey.Assertion { k.Flags = 0x01; return k.Get(challenge) }},
		"backed up, cannot": {"contradict", func(k *softkey.Key) passkey.Assertion { k.Flags = 0x15; return k.Get(challenge) }},
		"in a frame": {"frame", func(k *softkey.Key) passkey.Assertion {
			k.Client = map[string]any{"crossOrigin": true}
			return k.Get(challenge)
		}},
		"below another page": {"frame", func(k *softkey.Key) passkey.Assertion {
			k.Client = map[string]any{"topOrigin": foreign.Origin}
			return k.Get(challenge)
		}},
		"another key":       {"the enrolled key", func(*softkey.Key) passkey.Assertion { return softkey.New(party).Get(challenge) }},
		"another algorithm": {"the enrolled key", func(*softkey.Key) passkey.Assertion { return softkey.NewEdDSA(party).Get(challenge) }},
		"a flipped bit": {"the enrolled key", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.AuthenticatorData[36] ^= 1 // the count
			return a
		}},
		"other client data": {"the enrolled key", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.ClientData = bytes.Replace(a.ClientData, []byte("{"), []byte(`{"x":1,`), 1)
			return a
		}},
		"a name twice": {"can't be read", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.ClientData = bytes.Replace(a.ClientData, []byte("{"), []byte(`{"origin":"https://sallyport.example",`), 1)
			return a
		}},
		"data after it": {"can't be read", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.AuthenticatorData = append(a.AuthenticatorData, 0)
			return a
		}},
		"cut off": {"can't be read", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.AuthenticatorData = a.AuthenticatorData[:36]
			return a
		}},
		"a new key": {"can't be read", func(k *softkey.Key) passkey.Assertion { k.Flags |= 0x40; return k.Get(challenge) }},
		"nothing":   {"not complete", func(*softkey.Key) passkey.Assertion { return passkey.Assertion{} }},
		"too large": {"too large", func(k *softkey.Key) passkey.Assertion {
			a := k.Get(challenge)
			a.Signature = make([]byte, 5000)
			return a
		}},
		"no signature": {"not complete", func(k *softkey.Key) passkey.Assertion { a := k.Get(challenge); a.Signature = nil; return a }},
	} {
		k := softkey.New(party)
		cred := enrolled(t, k)
		_, err := party.Verify(cred.Key, challenge, c.do(k))
		if kind := fault.KindOf(err); err == nil || kind != fault.Denied && kind != fault.Invalid || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}

func TestAKeyOfAnotherKindIsNotEnrolled(t *testing.T) {
	p384, small, mixed := softkey.NewP384(party), softkey.NewEdDSA(party), softkey.New(party)
	mixed.Alg = -8 // an EC key that says it is for EdDSA
	noUV := softkey.New(party)
	noUV.Flags = 1
	small.Alg = -7
	for name, k := range map[string]*softkey.Key{"P-384": p384, "EdDSA as ES256": small, "EC as EdDSA": mixed, "nobody verified": noUV} {
		att, client := k.Create(challenge)
		if c, err := party.Enrol(challenge, att, client); err == nil {
			t.Errorf("%s is enrolled: %+v", name, c)
		}
	}
	k := softkey.New(party)
	att, client := k.Create(challenge)
	if _, err := party.Enrol(passkey.Challenge("another", nil), att, client); !fault.Is(err, fault.Denied) {
		t.Errorf("another challenge: %v", err)
	}
	if _, err := (passkey.Party{ID: "evil.example", Origin: party.Origin}).Enrol(challenge, att, client); !fault.Is(err, fault.Denied) {
		t.Errorf("another party: %v", err)
	}
	a := k.Get(challenge)
	if _, err := party.Enrol(challenge, att, a.ClientData); !fault.Is(err, fault.Denied) {
		t.Errorf("a signature's client data: %v", err)
	}
}

func TestACountThatDoesNotGoOnIsACopy(t *testing.T) {
	for _, c := range []struct {
		last, now uint32
		good      bool
	}{{0, 0, true}, {0, 1, true}, {1, 2, true}, {7, 400, true}, {1, 1, false}, {2, 1, false}, {1, 0, false}} {
		if passkey.Counts(c.last, c.now) != c.good {
			t.Errorf("from %d to %d: %t", c.last, c.now, !c.good)
		}
	}
}

func TestOnlyAddressesThatBrowsersTakeHaveAParty(t *testing.T) {
	for url, want := range map[string]string{
		"https://sallyport.example": "sallyport.example", "https://a.example:8443/x": "a.example", "http://localhost:7411": "localhost",
		"http://sallyport.example": "", "https://10.0.0.1": "", "http://127.0.0.1:7411": "", "https://[::1]": "", "": "", "sallyport.example": "", "https://ann@a.example": "", "https://A.example": "",
	} {
		p, err := passkey.PartyOf(url)
		if p.ID != want || (err == nil) != (want != "") || err != nil && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%q: %+v, %v", url, p, err)
		}
	}
}

func TestAChallengeIsOfOneActAndOneNonce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range [][]byte{passkey.Challenge("a", []byte{1}), passkey.Challenge("b", []byte{1}), passkey.Challenge("a", []byte{2}), passkey.Challenge("a", nil), passkey.Challenge("a\n01", nil)} {
		if seen[string(c)] || len(c) != sha256.Size {
			t.Errorf("%x comes twice", c)
		}
		seen[string(c)] = true
	}
}

func seeds() (att, client []byte, a passkey.Assertion) {
	k := softkey.New(party)
	att, client = k.Create(challenge)
	return att, client, k.Get(challenge)
}

func FuzzEnrol(f *testing.F) {
	att, client, _ := seeds()
	f.Add(att, client)
	rsa, rsaClient := softkey.NewRS256(party, 2048).Create(challenge)
	f.Add(rsa, rsaClient)
	f.Add([]byte{0xa0}, []byte("{}"))
	f.Add([]byte{0xbf, 0xff}, []byte(`{"type":"webauthn.create"}`))
	f.Fuzz(func(t *testing.T, att, client []byte) {
		c, err := party.Enrol(challenge, att, client)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Denied && k != fault.Invalid {
				t.Fatalf("of kind %q: %v", k, err)
			}
			return
		}
		if _, err := passkey.ParseKey(c.Key.Bytes()); err != nil || len(c.ID) == 0 || len(c.ID) > passkey.MaxCredential {
			t.Fatalf("%+v: %v", c, err)
		}
	})
}

// No bytes but those that were signed count.
func FuzzVerify(f *testing.F) {
	k := softkey.New(party)
	att, client := k.Create(challenge)
	c, err := party.Enrol(challenge, att, client)
	if err != nil {
		f.Fatal(err)
	}
	good := k.Get(challenge)
	f.Add(good.AuthenticatorData, good.ClientData, good.Signature)
	f.Add([]byte{}, []byte(`{"type":"webauthn.get","type":"x"}`), []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data, client, sig []byte) {
		_, err := party.Verify(c.Key, challenge, passkey.Assertion{Credential: k.ID, AuthenticatorData: data, ClientData: client, Signature: sig})
		same := bytes.Equal(data, good.AuthenticatorData) && bytes.Equal(client, good.ClientData)
		if err == nil && !same {
			t.Fatalf("%x %s %x counts", data, client, sig)
		}
		if err != nil && same && bytes.Equal(sig, good.Signature) {
			t.Fatal(err)
		}
		if k := fault.KindOf(err); err != nil && k != fault.Denied && k != fault.Invalid {
			t.Fatalf("of kind %q: %v", k, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	k := softkey.New(party)
	att, client := k.Create(challenge)
	if c, err := party.Enrol(challenge, att, client); err == nil {
		f.Add(c.Key.Bytes())
	}
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := passkey.ParseKey(der)
		if err == nil && k.Algorithm() == "" {
			t.Fatal("a key without an algorithm")
		}
	})
}
