package oauthcred

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// Asked is an authorization that a person has to give. It is for one exchange.
type Asked struct {
	URL string // of the issuer, to be opened by the person

	server   server
	verifier plain.Value // of PKCE
	redirect string
	resource string
}

// errNobody is the answer to who has no client id.
var errNobody = fault.New(fault.Invalid, "the secret has no field client_id, which the scheme oauth-user needs").
	WithHint("register Sallyport as a client with the authorization server, and store its client_id (and client_secret, where there is one)")

// Begin finds the issuer, and makes the URL by which a person authorises the client:
// with PKCE, for one resource (RFC 8707), and with state, by which the answer is
// recognised. document is the URL of our own metadata document as a client, or empty.
func Begin(ctx context.Context, c Config, redirect, state, document string) (Asked, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	id := string(plain.Bytes(c.Fields["client_id"]))
	if id == "" {
		return Asked{}, errNobody
	}
	issuer, err := url.Parse(c.Auth.Issuer)
	if err != nil {
		return Asked{}, fault.New(fault.Invalid, "the issuer is not a URL")
	}
	target, err := protected(ctx, c)
	if err != nil {
		return Asked{}, err
	}
	m, err := metadata(ctx, c, issuer)
	if err != nil {
		return Asked{}, err
	}
	switch {
	case !within(m.AuthorizationEndpoint, issuer):
		return Asked{}, fault.New(fault.Invalid, "the authorization server has no authorization endpoint at the issuer's origin")
	case !slices.Contains(m.Challenges, "S256"):
		return Asked{}, fault.New(fault.Invalid, "the authorization server does not say that it takes PKCE with S256").
			WithHint("without it a stolen code could be redeemed by somebody else")
	case id == document && !m.ReadsClients:
		return Asked{}, fault.New(fault.Invalid, "the authorization server does not read client metadata documents").
			WithHint("register a client there, and store its client_id in the Secret")
	}
	at, err := url.Parse(m.AuthorizationEndpoint)
	if err != nil {
		return Asked{}, errEndpoint
	}
	verifier := rand.Text() + rand.Text() // 52 characters, 256 bits and more
	sum := sha256.Sum256([]byte(verifier))
	q := at.Query()
	for k, v := range map[string]string{
		"response_type": "code", "client_id": id, "redirect_uri": redirect, "state": state, "resource": target, "scope": c.Auth.Scope,
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
	} {
		if q.Del(k); v != "" {
			q.Set(k, v)
		}
	}
	at.RawQuery = q.Encode()
	return Asked{URL: at.String(), server: m, verifier: plain.New([]byte(verifier)), redirect: redirect, resource: target}, nil
}

// From checks whom an answer comes from (RFC 9207): whoever names themselves has to be
// the issuer, to the letter, and one that says that it always does has to. Denied.
func (a Asked) From(iss string) error {
	if iss == a.server.Issuer || iss == "" && !a.server.NamesItself {
		return nil
	}
	return fault.New(fault.Denied, "the answer does not come from the Connection's issuer").
		WithHint("somebody may have mixed two authorization servers up; begin again, and look at the address of the page where you consent")
}

// Redeem exchanges the code for tokens. Denied: the server does not take it.
func Redeem(ctx context.Context, c Config, a Asked, code string) (Token, error) {
	if code == "" || len(code) > 4096 || strings.ContainsFunc(code, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Token{}, fault.New(fault.Denied, "the answer has no authorization code")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status, b, err := ask(ctx, c, a.server, url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {a.redirect}, "resource": {a.resource}},
		map[string]plain.Value{"code": plain.New([]byte(code)), "code_verifier": a.verifier})
	if err != nil {
		return Token{}, err
	}
	return read(status, b)
}

// Refresh exchanges a refresh token for the next access token, of the same scope.
// Denied: the server does not take it any more.
func Refresh(ctx context.Context, c Config, refresh plain.Value) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	issuer, err := url.Parse(c.Auth.Issuer)
	if err != nil {
		return Token{}, fault.New(fault.Invalid, "the issuer is not a URL")
	}
	if len(plain.Bytes(c.Fields["client_id"])) == 0 {
		return Token{}, errNobody
	}
	target, err := protected(ctx, c)
	if err != nil {
		return Token{}, err
	}
	m, err := metadata(ctx, c, issuer)
	if err != nil {
		return Token{}, err
	}
	status, b, err := ask(ctx, c, m, url.Values{"grant_type": {"refresh_token"}, "resource": {target}},
		map[string]plain.Value{"refresh_token": refresh})
	if err != nil {
		return Token{}, err
	}
	return read(status, b)
}

// Wipe forgets what only the exchange needs.
func (a Asked) Wipe() { plain.Wipe(a.verifier) }
