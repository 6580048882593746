// Package oauthcred gets an access token for a door, from the one authorization
// server that the operator has pinned: OAuth 2.1 client credentials, or what a person
// has authorised (authorization code with PKCE, and refreshing).
//
// It refuses an issuer whose metadata names another, a token endpoint that is not at
// the issuer's origin, a resource whose metadata (RFC 9728) is of another resource or
// does not name the issuer, a redirect, an answer that is no bearer token, and a token
// that can't be scrubbed. It asks nobody else: what a server says in a challenge
// decides nothing.
//
// # Security
//
// The client's secret goes to the issuer's origin and nowhere else, by the
// Integration's own transport, so under its own rules about addresses. The token is
// asked for one resource (RFC 8707). Errors are fixed sentences: what a server says
// is in none of them.
package oauthcred

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// The limits of an exchange.
const (
	timeout     = 20 * time.Second // of all of it
	maxAnswer   = 64 << 10         // bytes
	shortLife   = 5 * time.Minute  // of a token that does not say
	longestLife = 24 * time.Hour   // that is believed
	maxScope    = 4 << 10          // bytes of what a token's scope may be said in
)

// Config says what a token is for.
type Config struct {
	Auth     resource.Auth          // with the issuer and the scope
	Fields   map[string]plain.Value // client_id and client_secret
	Resource string                 // the URL that it is for
	Base     http.RoundTripper      // the transport: it follows no redirect
}

// Token is an access token, and what else came with it that is secret.
type Token struct {
	Access plain.Value
	Also   []plain.Value
	// Refresh gets the next one; empty where the server gave none.
	Refresh plain.Value
	Life    time.Duration // from now on
	// Scope is what the server says that the token is for; empty: it does not say, and
	// then it is what was asked for (RFC 6749, section 5.1). A server may put anything
	// there.
	Scope plain.Value
}

// Get asks for a token. Invalid: the Secret or the server's metadata is not as it has
// to be; Denied: the server refuses the client; Unavailable: it can't be asked now.
func Get(ctx context.Context, c Config) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	id, secret := plain.Bytes(c.Fields["client_id"]), plain.Bytes(c.Fields["client_secret"])
	if len(id) == 0 || len(secret) == 0 {
		return Token{}, fault.New(fault.Invalid, "the secret has no fields client_id and client_secret, which the scheme oauth-client needs")
	}
	issuer, err := url.Parse(c.Auth.Issuer)
	if err != nil {
		return Token{}, fault.New(fault.Invalid, "the issuer is not a URL")
	}
	target, err := protected(ctx, c)
	if err != nil {
		return Token{}, err
	}
	m, err := metadata(ctx, c, issuer)
	if err != nil {
		return Token{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {target}}
	if c.Auth.Scope != "" {
		form.Set("scope", c.Auth.Scope)
	}
	status, b, err := ask(ctx, c, m, form, nil)
	if err != nil {
		return Token{}, err
	}
	return read(status, b)
}

// ask sends a form to the token endpoint, as the client: with its secret, where it
// has one, in the way that the server takes it. What is secret goes into the form last.
func ask(ctx context.Context, c Config, m server, form url.Values, secrets map[string]plain.Value) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.TokenEndpoint, http.NoBody)
	if err != nil {
		return 0, nil, errEndpoint
	}
	plain.Do(func() {
		id, secret := plain.Bytes(c.Fields["client_id"]), plain.Bytes(c.Fields["client_secret"])
		switch {
		case len(secret) == 0:
			form.Set("client_id", string(id))
		case len(m.Methods) == 0 || slices.Contains(m.Methods, "client_secret_basic"):
			// RFC 6749, section 2.3.1: each is form-encoded first.
			pair := url.QueryEscape(string(id)) + ":" + url.QueryEscape(string(secret))
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		default:
			form.Set("client_id", string(id))
			form.Set("client_secret", string(secret))
		}
		for name, value := range secrets {
			form.Set(name, string(plain.Bytes(value)))
		}
		body := form.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	})
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(c.Base, r)
}

var errEndpoint = fault.New(fault.Invalid, "the authorization server's token endpoint is not at the issuer's origin").
	WithHint("the client's secret goes to the issuer that the Connection names, and nowhere else")

// answer is what is read of a token endpoint's answer.
type answer struct {
	Access  string      `json:"access_token"`
	Refresh string      `json:"refresh_token"`
	ID      string      `json:"id_token"`
	Type    string      `json:"token_type"`
	Expires json.Number `json:"expires_in"`
	// Scope is a text; what is none says nothing, and is no reason to refuse a token.
	Scope json.RawMessage `json:"scope"`
}

func read(status int, b []byte) (Token, error) {
	defer clear(b)
	switch {
	case status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden:
		return Token{}, fault.Newf(fault.Denied, "the authorization server does not accept the client (%d)", status).
			WithHint("check the Secret's fields client_id and client_secret, and the Connection's scope")
	case status != http.StatusOK:
		return Token{}, fault.Newf(fault.Unavailable, "the authorization server answered with status %d", status)
	}
	var a answer
	if json.Unmarshal(b, &a) != nil || a.Access == "" || !strings.EqualFold(a.Type, "bearer") ||
		strings.ContainsFunc(a.Access, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Token{}, fault.New(fault.Unavailable, "the authorization server's answer is no bearer token")
	}
	t := Token{Access: plain.New([]byte(a.Access)), Life: shortLife}
	if s, err := a.Expires.Int64(); err == nil && s > 0 {
		t.Life = min(time.Duration(min(s, int64(longestLife/time.Second)))*time.Second, longestLife)
	}
	var scope string
	if len(a.Scope) <= maxScope && json.Unmarshal(a.Scope, &scope) == nil && scope != "" {
		t.Scope = plain.New([]byte(scope))
	}
	if a.Refresh != "" {
		t.Refresh = plain.New([]byte(a.Refresh))
	}
	for _, s := range []string{a.Refresh, a.ID} {
		if s != "" {
			t.Also = append(t.Also, plain.New([]byte(s)))
		}
	}
	return t, nil
}

// server is what is read of an authorization server's metadata (RFC 8414).
type server struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`

	// Of an authorization by a person.
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	Challenges            []string `json:"code_challenge_methods_supported"`
	NamesItself           bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
	ReadsClients          bool     `json:"client_id_metadata_document_supported"`
}

// metadata finds the issuer's, where RFC 8414 and OpenID Connect have it.
func metadata(ctx context.Context, c Config, issuer *url.URL) (server, error) {
	root, path := issuer.Scheme+"://"+issuer.Host, strings.TrimSuffix(issuer.EscapedPath(), "/")
	for _, at := range []string{root + "/.well-known/oauth-authorization-server" + path, root + "/.well-known/openid-configuration" + path, root + path + "/.well-known/openid-configuration"} {
		var s server
		found, err := get(ctx, c.Base, at, &s)
		if err != nil {
			return s, err
		}
		if !found {
			continue
		}
		if s.Issuer != c.Auth.Issuer {
			return s, fault.New(fault.Invalid, "the metadata at the issuer is of another issuer").WithHint("write auth.issuer exactly as the authorization server names itself")
		}
		if !within(s.TokenEndpoint, issuer) {
			return s, errEndpoint
		}
		return s, nil
	}
	return server{}, fault.New(fault.Invalid, "the issuer has no metadata, so there is no token endpoint to ask").WithHint("it has to be at /.well-known/oauth-authorization-server of the issuer")
}

// within says whether an endpoint is at the issuer's origin.
func within(endpoint string, issuer *url.URL) bool {
	end, err := url.Parse(endpoint)
	if err != nil || end.Fragment != "" {
		return false
	}
	a, err1 := resource.ParseOrigin(end)
	b, err2 := resource.ParseOrigin(issuer)
	return err1 == nil && err2 == nil && a == b
}

// protected is the resource that a token is asked for: as the server's own metadata
// names it, where there is such, and it is of this server and of this issuer.
func protected(ctx context.Context, c Config) (string, error) {
	u, err := url.Parse(c.Resource)
	if err != nil || u.Host == "" {
		return "", fault.New(fault.Internal, "a token for no resource")
	}
	root := u.Scheme + "://" + u.Host
	for _, at := range []string{root + "/.well-known/oauth-protected-resource" + strings.TrimSuffix(u.EscapedPath(), "/"), root + "/.well-known/oauth-protected-resource"} {
		var m struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
		}
		found, err := get(ctx, c.Base, at, &m)
		if err != nil {
			return "", err
		}
		if !found {
			continue
		}
		named := strings.TrimSuffix(m.Resource, "/")
		if named != strings.TrimSuffix(c.Resource, "/") && named != root && !strings.HasPrefix(c.Resource, named+"/") || !strings.HasPrefix(named, root) {
			return "", fault.New(fault.Denied, "the server's metadata is of another resource")
		}
		if !slices.Contains(m.Servers, c.Auth.Issuer) {
			return "", fault.New(fault.Denied, "the server does not name the Connection's issuer as its authorization server")
		}
		return m.Resource, nil
	}
	return c.Resource, nil
}

// get reads a JSON document; not found where there is none.
func get(ctx context.Context, base http.RoundTripper, at string, into any) (found bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return false, fault.New(fault.Invalid, "the metadata's URL can't be made")
	}
	status, b, err := send(base, r)
	switch {
	case err != nil:
		return false, err
	case status >= 500 || status == http.StatusTooManyRequests:
		return false, fault.Newf(fault.Unavailable, "the metadata can't be read now (%d)", status)
	case status != http.StatusOK || json.Unmarshal(b, into) != nil:
		return false, nil
	}
	return true, nil
}

// send makes one exchange. A transport's own words may have the URL, or more.
func send(base http.RoundTripper, r *http.Request) (int, []byte, error) {
	r.GetBody = nil
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", "Sallyport/1")
	resp, err := base.RoundTrip(r)
	if err != nil {
		return 0, nil, fault.New(fault.Unavailable, "the authorization server, or the metadata that names it, can't be reached").
			WithHint("the Integration's network rules hold for the issuer too")
	}
	defer func() { _ = resp.Body.Close() }() // what could be read of it is what counts
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(b) > maxAnswer {
		return 0, nil, fault.New(fault.Unavailable, "the authorization server's answer is cut, or too large")
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return 0, nil, fault.New(fault.Unavailable, "the authorization server answered with a redirect, and redirects are not followed")
	}
	return resp.StatusCode, b, nil
}
