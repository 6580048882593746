package bao

import (
	"context"
	"net/http"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
)

// login gets a token. It wipes what it read.
type login interface {
	sign(ctx context.Context, s *Server) (*token, error)
	// ready looks whether what it reads can be read, and asks nobody.
	ready() error
}

type (
	tokenLogin   struct{ file string }
	appRoleLogin struct{ *AppRole }
	jwtLogin     struct{ *JWT }
	certLogin    struct{ *Certificate }
)

// credential reads a file for the sign-in. What is wrong with it is Refused: until
// somebody mends it, the server does not know us.
func credential(what, path string) ([]byte, error) {
	b, err := safe.Credential(path)
	if err != nil {
		return nil, backend.FailOf(backend.Refused, "the "+what+" for the Vault server can't be used", err)
	}
	return b, nil
}

// sign reads the token, and asks how long it lives. A policy may not let it ask.
func (l tokenLogin) sign(ctx context.Context, s *Server) (*token, error) {
	b, err := credential("token", l.file)
	if err != nil {
		return nil, err
	}
	t := &token{value: plain.New(b), got: s.now()}
	a, err := s.send(ctx, http.MethodGet, "auth/token/lookup-self", t, nil)
	if err != nil {
		return nil, err
	}
	defer clear(a.Body)
	if m, err := object.Inside(a.Body, "data"); err == nil && a.Status == http.StatusOK {
		t.life(m["ttl"], m["renewable"])
	}
	return t, nil
}

func (l appRoleLogin) sign(ctx context.Context, s *Server) (*token, error) {
	secret, err := credential("secret id", l.SecretIDFile)
	defer clear(secret)
	if err != nil {
		return nil, err
	}
	return s.signIn(ctx, l.Mount, member{"role_id", []byte(l.RoleID)}, member{"secret_id", secret})
}

func (l jwtLogin) sign(ctx context.Context, s *Server) (*token, error) {
	jwt, err := credential("JWT", l.JWTFile)
	defer clear(jwt)
	if err != nil {
		return nil, err
	}
	return s.signIn(ctx, l.Mount, member{"role", []byte(l.Role)}, member{"jwt", jwt})
}

// sign looks at the certificate first: one that has ended is answered by 500, as if
// the server were broken, and who waits for it to be mended waits for ever.
func (l certLogin) sign(ctx context.Context, s *Server) (*token, error) {
	pair, err := keyPair(*l.Certificate)
	if err != nil {
		return nil, backend.FailOf(backend.Refused, "the client certificate for the Vault server can't be used", err)
	}
	if c := pair.Leaf; c != nil && s.now().After(c.NotAfter) {
		return nil, backend.Fail(backend.Refused, "the client certificate for the Vault server ended at "+c.NotAfter.UTC().Format(time.RFC3339)).
			WithHint("put another one into its file; the server need not be started again")
	}
	if l.Role == "" {
		return s.signIn(ctx, l.Mount)
	}
	return s.signIn(ctx, l.Mount, member{"name", []byte(l.Role)})
}

// member is of a request. Its value has no character that JSON escapes.
type member struct {
	name  string
	value []byte
}

// signIn asks for a token.
func (s *Server) signIn(ctx context.Context, mount string, members ...member) (*token, error) {
	body := make([]byte, 0, 20<<10) // never grown
	body = append(body, '{')
	for i, m := range members {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(body, `"`+m.name+`":"`...), m.value...)
		body = append(body, '"')
	}
	body = append(body, '}')
	defer clear(body)
	path := "auth/" + mount + "/login"
	a, err := s.send(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return nil, err
	}
	defer clear(a.Body)
	if a.Status >= 400 && a.Status < 500 && a.Status != http.StatusTooManyRequests && a.Status != http.StatusPreconditionFailed {
		return nil, backend.Fail(backend.Refused, "the Vault server refuses the sign-in").
			WithHint("check the role, its mount (asked was " + path + ") and namespace, the file with the credential, and that the role may sign in from this server's address")
	}
	if err := s.Judge(path, a); err != nil {
		return nil, err
	}
	return s.tokenOf(a.Body)
}

// tokenOf reads the answer to a sign-in or a renewal.
func (s *Server) tokenOf(raw []byte) (*token, error) {
	m, err := object.Inside(raw, "auth")
	var b []byte
	if err == nil {
		b, _ = object.Text(m["client_token"])
	}
	if !safe.Header(b) {
		clear(b)
		return nil, backend.Fail(backend.Wrong, "the Vault server's answer to the sign-in has no token")
	}
	t := &token{value: plain.New(b), got: s.now()}
	t.life(m["lease_duration"], m["renewable"])
	return t, nil
}

// maxLife bounds what a server says about a token's life.
const maxLife = 10 * 365 * 24 * time.Hour

// life reads what a server says. It counts whole seconds from the one in which the
// token was made, so that a token may end up to a second before.
func (t *token) life(seconds, renewable []byte) {
	if n, ok := object.Number(seconds); ok && n > 0 {
		t.lives = time.Duration(max(1, min(n, int64(maxLife/time.Second))-1)) * time.Second
	}
	t.renew = string(renewable) == "true"
}

// ageing reports whether two thirds of a token's life are over.
func (t *token) ageing(now time.Time) bool { return t.lives > 0 && now.Sub(t.got) >= t.lives*2/3 }

// over reports whether it can't be used any more.
func (t *token) over(now time.Time) bool { return t.lives > 0 && now.Sub(t.got) >= t.lives }

// renewed asks for more life. Nil: the server gives it none, and who has it signs in
// again. Denied, and not: that is nobody's fault.
func (s *Server) renewed(ctx context.Context, t *token) *token {
	if !t.renew {
		return nil
	}
	a, err := s.send(ctx, http.MethodPost, "auth/token/renew-self", t, []byte("{}"))
	if err != nil {
		return nil
	}
	defer clear(a.Body)
	if a.Status != http.StatusOK {
		return nil
	}
	next, err := s.tokenOf(a.Body)
	if err != nil || next.ageing(s.now().Add(min(next.lives/3, time.Minute))) {
		return nil // it has come to the end of what it may live
	}
	return next
}

// errWaited is of who did not wait for the sign-in.
var errWaited error = fault.New(fault.Unavailable, "the sign-in at the Vault server took too long")
