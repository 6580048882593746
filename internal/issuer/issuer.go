// Package issuer knows for which outside Worker a token of somebody else's
// issuer stands: it is the part of an OAuth 2.1 resource server that checks
// access tokens (RFC 9068, RFC 8725), and what a client has to know to get one
// (RFC 9728).
//
// It refuses:
//   - an algorithm that is not of a list of signatures: none, and HMAC, which a
//     public key would be the key of;
//   - a token of an issuer, a subject or claims that no Worker names, or that
//     more than one does;
//   - a token that is not for this server, has no end, is over or not begun, or
//     is good for longer than a day;
//   - a key that a token brings or points to (jwk, jku, x5c, x5u), a critical
//     header, a repeated claim, and a key that is private, shared or too short.
//
// # Security
//
// Everything in a token is a stranger's until its signature was checked. Nothing
// in it decides where anything is fetched from: only an issuer that an applied
// Worker names is asked, over checked addresses, and strangers can't make it be
// asked more often than every half a minute. Every refusal of a token has one text.
package issuer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Limits on a token.
const (
	MaxToken  = 8 << 10        // bytes
	skew      = time.Minute    // by which clocks may differ
	maxLife   = 24 * time.Hour // from now to its end: nobody can take a token back
	maxNaming = 1 << 9         // bytes of a kid
)

// algorithms are what a token may be signed with.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// types are what a token may call itself: an access token, or as issuers that are
// older than RFC 9068 do. Tokens for other ends (DPoP proofs, log-outs) have theirs.
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// Shown is what a good token says.
type Shown struct {
	Worker          string // the resource's name
	Issuer, Subject string
	Expires         time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	options dial.Options
	now     func() time.Time
	mu      sync.Mutex
	sources map[string]*source
}

// New makes a Verifier that asks issuers by these options.
func New(o dial.Options, now func() time.Time) *Verifier {
	return &Verifier{options: o, now: now, sources: map[string]*source{}}
}

var refused = fault.New(fault.Unauthenticated, "the token is not valid, or not any more").
	WithHint("get another token, for this server as its audience; the Worker's issuer, subject and claims are in its resource")

// Verify says which of the Workers a token stands for, by its claims and the keys of
// that Worker's issuer. audience is what a token is for where the Worker says nothing
// else; empty: then only what a Worker says counts. Errors: Unauthenticated, with one
// text; Unavailable, when the issuer's keys can't be had.
func (v *Verifier) Verify(ctx context.Context, token string, ws []*resource.Worker, audience string) (Shown, error) {
	t, err := parse(token)
	if err != nil {
		return Shown{}, refused
	}
	var w *resource.Worker
	for _, c := range ws {
		if c.JWT == nil || !t.fits(c.JWT) {
			continue
		}
		if w != nil { // who it is would be anybody's guess
			return Shown{}, refused
		}
		w = c
	}
	if w == nil || !t.isFor(w.JWT.Audience, audience) || !t.inTime(v.now()) {
		return Shown{}, refused
	}
	src, err := v.source(w.JWT)
	if err != nil {
		return Shown{}, err
	}
	keys, err := src.keysFor(ctx, t.kid, v.now)
	if err != nil {
		return Shown{}, err
	}
	for _, k := range keys {
		if fitsAlgorithm(k, t.alg) && t.signedBy(k) {
			return Shown{Worker: w.Name, Issuer: t.issuer, Subject: t.subject, Expires: t.expires}, nil
		}
	}
	return Shown{}, refused
}

// token is a parsed one that nobody has vouched for yet.
type token struct {
	raw             string
	payload         []byte
	alg             jose.SignatureAlgorithm
	kid             string
	issuer, subject string
	audience        []string
	expires         time.Time
	begins          time.Time // the later of nbf and iat
	claims          map[string]json.RawMessage
}

// parse reads a token in compact form. Both parts have to be JSON that every parser
// reads in the same way.
func parse(raw string) (*token, error) {
	parts := strings.Split(raw, ".")
	if len(raw) > MaxToken || len(parts) != 3 || parts[2] == "" {
		return nil, refused
	}
	head, err := object(parts[0])
	if err != nil {
		return nil, err
	}
	t := &token{raw: raw}
	if t.payload, err = base64.RawURLEncoding.Strict().DecodeString(parts[1]); err != nil {
		return nil, refused
	}
	if t.claims, err = object(parts[1]); err != nil {
		return nil, err
	}
	alg, typ := text(head["alg"]), strings.ToLower(text(head["typ"]))
	t.alg, t.kid = jose.SignatureAlgorithm(alg), text(head["kid"])
	_, critical := head["crit"]
	if critical || !slices.Contains(algorithms, t.alg) || !slices.Contains(types, typ) || len(t.kid) > maxNaming {
		return nil, refused
	}
	if head["typ"] != nil && typ == "" || head["kid"] != nil && t.kid == "" {
		return nil, refused
	}
	return t, t.read()
}

// read takes the claims that are judged here.
func (t *token) read() error {
	t.issuer, t.subject = text(t.claims["iss"]), text(t.claims["sub"])
	if one := text(t.claims["aud"]); one != "" {
		t.audience = []string{one}
	} else if json.Unmarshal(t.claims["aud"], &t.audience) != nil {
		return refused
	}
	end, ok := instant(t.claims["exp"])
	if !ok || t.issuer == "" {
		return refused
	}
	t.expires = end
	for _, name := range []string{"nbf", "iat"} {
		at, ok := instant(t.claims[name])
		if !ok && t.claims[name] != nil {
			return refused
		}
		if at.After(t.begins) {
			t.begins = at
		}
	}
	return nil
}

// object decodes one part of a token; duplicate members are refused.
func object(part string) (map[string]json.RawMessage, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refused
	}
	c, err := intent.Canonical(b)
	if err != nil || len(c) == 0 || c[0] != '{' {
		return nil, refused
	}
	var out map[string]json.RawMessage
	if json.Unmarshal(c, &out) != nil {
		return nil, refused
	}
	return out, nil
}

// text is a JSON string; "" of everything else.
func text(b json.RawMessage) string {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

// maxInstant is the year 2286, in seconds.
const maxInstant = 1e10

// instant is a NumericDate.
func instant(b json.RawMessage) (time.Time, bool) {
	var f float64
	if len(b) == 0 || b[0] == 'n' || json.Unmarshal(b, &f) != nil || f <= 0 || f > maxInstant || math.IsNaN(f) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(f * 1000)), true
}

// fits reports whether issuer, subject and claims are the ones that a Worker names.
func (t *token) fits(j *resource.WorkerJWT) bool {
	if j.Issuer == "" || t.issuer != j.Issuer || j.Subject == "" && j.Claims["client_id"] == "" {
		return false
	}
	if j.Subject != "" && t.subject != j.Subject {
		return false
	}
	for name, want := range j.Claims {
		if want == "" || text(t.claims[name]) != want {
			return false
		}
	}
	return true
}

func (t *token) isFor(own, server string) bool {
	if own != "" {
		server = own
	}
	return server != "" && slices.Contains(t.audience, server)
}

func (t *token) inTime(now time.Time) bool {
	return now.Before(t.expires.Add(skew)) && !t.begins.After(now.Add(skew)) && t.expires.Before(now.Add(maxLife+skew))
}

// signedBy checks the signature over what was parsed, and nothing else.
func (t *token) signedBy(k jose.JSONWebKey) bool {
	sig, err := jose.ParseSignedCompact(t.raw, algorithms)
	if err != nil {
		return false
	}
	got, err := sig.Verify(k.Key)
	return err == nil && bytes.Equal(got, t.payload)
}
