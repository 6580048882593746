package bao

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
)

// Child is a token that was made from the sign-in's for one purpose. What is made
// with it ends with it, and it can be ended by its accessor alone: by somebody who
// has lost the token. It ends with the sign-in's token at the latest, unless its
// role makes orphans, which nothing here relies on.
type Child struct {
	s        *Server
	accessor string

	mu     sync.Mutex
	token  *token
	parent *token // as it lives now, where it is still the server's
}

// ChildSpec says which.
type ChildSpec struct {
	Role string        // of the token store; empty: none, and the policies of the sign-in
	For  time.Duration // how long it lives
	Last bool          // it can't be renewed beyond that
	Meta string        // what the server's own record says about it; a plain word
}

// accessorForm is what accessors look like. They are sent in bodies alone.
var accessorForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// Child makes one. Refused: the policy doesn't let it.
func (s *Server) Child(ctx context.Context, spec ChildSpec) (*Child, error) {
	path := "auth/token/create"
	if spec.Role != "" {
		path += "/" + spec.Role
	}
	lives := strconv.Itoa(int(spec.For/time.Second)) + "s"
	body := `{"ttl":"` + lives + `","display_name":"sallyport","meta":{"sallyport":"` + spec.Meta + `"}`
	if spec.Last {
		body += `,"explicit_max_ttl":"` + lives + `"`
	}
	a, parent, err := s.do(ctx, http.MethodPost, path, []byte(body+"}"))
	if err != nil {
		return nil, err
	}
	defer clear(a.Body)
	if err := s.Judge(path, a); err != nil {
		return nil, err
	}
	t, err := s.tokenOf(a.Body)
	if err != nil {
		return nil, err
	}
	m, err := object.Inside(a.Body, "auth")
	c := &Child{s: s, accessor: object.Word(m["accessor"]), token: t, parent: parent}
	if err != nil || !accessorForm.MatchString(c.accessor) || t.lives <= 0 || bytes.Contains([]byte(c.accessor), plain.Bytes(t.value)) {
		return nil, backend.Fail(backend.Wrong, who+"'s answer has no token that ends, or no accessor of it")
	}
	return c, nil
}

// Accessor is by what it can be ended.
func (c *Child) Accessor() string { return c.accessor }

// Until is when it ends at the latest, as far as is known now.
func (c *Child) Until() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.mu.Lock()
	if now := c.s.token; now != nil && bytes.Equal(plain.Bytes(now.value), plain.Bytes(c.parent.value)) {
		c.parent = now // it was renewed
	}
	c.s.mu.Unlock()
	end := c.token.got.Add(c.token.lives)
	if p := c.parent; p.lives > 0 && p.got.Add(p.lives).Before(end) {
		end = p.got.Add(p.lives)
	}
	return end
}

// Do sends a request with it.
func (c *Child) Do(ctx context.Context, method, path string, body []byte) (Answer, error) {
	c.mu.Lock()
	t := c.token
	c.mu.Unlock()
	return c.s.send(ctx, method, path, t, body)
}

// Renew asks for more life, for it and, where it is time, for the sign-in's token.
// That it gets none is no error: Until says what it has.
func (c *Child) Renew(ctx context.Context) {
	_, _ = c.s.signedIn(ctx)
	c.mu.Lock()
	t := c.token
	c.mu.Unlock()
	next := c.s.renewed(ctx, t)
	if next == nil || !bytes.Equal(plain.Bytes(next.value), plain.Bytes(t.value)) {
		return
	}
	c.mu.Lock()
	c.token = next
	c.mu.Unlock()
}

// RevokeChild ends a token by its accessor, and everything that was made with it. One
// that has ended is no error. The server answers when the token has ended; what was made
// with it follows at once, and again until it succeeds.
func (s *Server) RevokeChild(ctx context.Context, accessor string) error {
	if !accessorForm.MatchString(accessor) {
		return backend.Fail(backend.Wrong, "what is on record is no accessor")
	}
	a, err := s.Do(ctx, http.MethodPost, "auth/token/revoke-accessor", []byte(`{"accessor":"`+accessor+`"}`))
	if err != nil {
		return err
	}
	defer clear(a.Body)
	if a.Status == http.StatusBadRequest || a.Status == http.StatusNotFound {
		return nil // the form is right, so it is that there is no such token
	}
	return s.Judge("auth/token/revoke-accessor", a)
}
