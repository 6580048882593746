// Package passkey checks WebAuthn: what a person's authenticator says when it makes
// a key pair, and when it signs a challenge. It is a function of its inputs: the
// server checks with it before a verdict counts, and who verifies the audit log
// checks the same bytes again with the same code.
//
// It refuses
//   - what was signed for another relying party, on another origin or in a frame;
//   - an answer to another challenge, or of another ceremony;
//   - an answer without the person's presence and verification (PIN, finger, face);
//   - every algorithm but ES256 on P-256, EdDSA on Ed25519, and RS256 with 2048 to
//     4096 bits, which all three are approved in FIPS 140 mode;
//   - CBOR and JSON that two readers could read in two ways.
//
// # Security
//
// All bytes here come from outside, and are bounded before they are read. An
// attestation is not asked for and not looked at: that a key belongs to a person is
// what the enrolment's own checks are for (package identity), not the word of a
// device's maker. A challenge is the hash of an act and of a nonce, so that what was
// signed says by itself what for. Section numbers are those of WebAuthn Level 3.
package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

// Bounds of what comes from outside, in bytes.
const (
	MaxCredential    = 1023 // section 5.8.3
	maxAuthenticator = 4 << 10
	maxClientData    = 2 << 10
	maxSignature     = 1 << 10
	maxAttestation   = 16 << 10
	NonceSize        = 32
)

// Party is whom a passkey is for.
type Party struct {
	ID     string // the host's name: "sallyport.example.com"
	Origin string // "https://sallyport.example.com"
}

// PartyOf is the relying party of a server that people reach at an address. Kind
// Unavailable: the address can't have passkeys.
func PartyOf(publicURL string) (Party, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" || u.User != nil || u.Hostname() != strings.ToLower(u.Hostname()) {
		return Party{}, fault.New(fault.Unavailable, "the server's public address is no plain URL, so it can't have passkeys")
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return Party{}, fault.New(fault.Unavailable, "a passkey belongs to a host's name, and the server is reached by a number").
			WithHint("start the server with --public-url and the name by which people reach it")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !local(host)) {
		return Party{}, fault.New(fault.Unavailable, "browsers offer passkeys over TLS alone, and on localhost").
			WithHint("start the server with --public-url https://…")
	}
	return Party{ID: host, Origin: u.Scheme + "://" + u.Host}, nil
}

func local(host string) bool { return host == "localhost" || strings.HasSuffix(host, ".localhost") }

// Challenge is what an authenticator signs for an act: the hash of the act's digest
// and of a nonce that is used once.
func Challenge(act intent.Digest, nonce []byte) []byte {
	sum := sha256.Sum256([]byte("sallyport passkey challenge v1\n" + string(act) + "\n" + hex.EncodeToString(nonce)))
	return sum[:]
}

// Assertion is an authenticator's answer to a challenge, as it was sent, with the
// nonce that the challenge was made with.
type Assertion struct {
	Credential        []byte
	AuthenticatorData []byte
	ClientData        []byte // JSON
	Signature         []byte
	Nonce             []byte
}

// Check says what is wrong with an assertion's sizes. Kind Invalid.
func (a Assertion) Check() error {
	for _, p := range []struct {
		b   []byte
		max int
	}{{a.Credential, MaxCredential}, {a.AuthenticatorData, maxAuthenticator}, {a.ClientData, maxClientData}, {a.Signature, maxSignature}} {
		if len(p.b) == 0 || len(p.b) > p.max {
			return fault.New(fault.Invalid, "the passkey's answer is not complete, or too large")
		}
	}
	return nil
}

// refuse is the error of every answer that does not count.
func refuse(why string) error {
	return fault.New(fault.Denied, "the passkey's answer does not count: "+why).WithHint("try it again on this server's own page, with a passkey that is enrolled here")
}

// Verify checks an assertion: by this key, for this party and challenge, by a
// person who was there and was verified. It gives the authenticator's count of
// signatures, which [Counts] compares. Kinds Denied, Invalid.
func (p Party) Verify(k Key, challenge []byte, a Assertion) (counter uint32, err error) {
	return verify(p.ID, func(origin string) bool { return origin == p.Origin }, k, challenge, a)
}

// VerifyRecorded is Verify of what is on record, where only the party's id is: the
// origin has to be one of that host or below it.
func VerifyRecorded(id string, k Key, challenge []byte, a Assertion) (counter uint32, err error) {
	return verify(id, func(origin string) bool {
		p, err := PartyOf(origin)
		return err == nil && (p.ID == id || strings.HasSuffix(p.ID, "."+id))
	}, k, challenge, a)
}

func verify(id string, ours func(origin string) bool, k Key, challenge []byte, a Assertion) (uint32, error) {
	if err := a.Check(); err != nil {
		return 0, err
	}
	if err := checkClient(a.ClientData, "webauthn.get", challenge, ours); err != nil {
		return 0, err
	}
	d, err := parseAuthenticator(a.AuthenticatorData)
	if err != nil {
		return 0, err
	}
	if d.credential != nil {
		return 0, refuse("it has a new key in it")
	}
	if err := d.check(id); err != nil {
		return 0, err
	}
	hash := sha256.Sum256(a.ClientData)
	if !k.verify(append(bytes.Clone(a.AuthenticatorData), hash[:]...), a.Signature) {
		return 0, refuse("the signature is not that of the enrolled key")
	}
	return d.counter, nil
}

// Counts says whether an authenticator's count goes on from the last one that is
// known. One that does not count says zero for ever; one that goes back, or stays,
// is a copy of the key (section 6.1.1).
func Counts(last, now uint32) bool { return last == 0 && now == 0 || now > last }
