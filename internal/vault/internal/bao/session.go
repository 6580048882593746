package bao

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
)

// signing is how long a sign-in may take.
const signing = 10 * time.Second

// young is the age up to which a token that is refused is not got anew: the server
// has just given it, so that it is the policy that doesn't let it.
const young = 5 * time.Second

// flight is a sign-in that any number of requests wait for.
type flight struct {
	done  chan struct{}
	token *token
	err   error
}

// who is how errors name a server.
const who = "the Vault server"

// Do sends a request with a token, and gives the answer, whatever its status; see
// [Judge]. One that was refused because its token had ended is sent once more.
func (s *Server) Do(ctx context.Context, method, path string, body []byte) (Answer, error) {
	a, _, err := s.do(ctx, method, path, body)
	return a, err
}

// Answer is a server's.
type Answer = rest.Answer

// do also says with which token it was sent.
func (s *Server) do(ctx context.Context, method, path string, body []byte) (Answer, *token, error) {
	t, err := s.signedIn(ctx)
	if err != nil {
		return Answer{}, nil, err
	}
	a, err := s.send(ctx, method, path, t, body)
	if err != nil || a.Status != http.StatusForbidden || s.now().Sub(t.got) < young {
		return a, t, err
	}
	s.drop(t)
	clear(a.Body)
	if t, err = s.signedIn(ctx); err != nil {
		return Answer{}, nil, err
	}
	a, err = s.send(ctx, method, path, t, body)
	return a, t, err
}

// signedIn gives a token that is alive: the one that there is, or what one sign-in
// or renewal gives to all who wait.
func (s *Server) signedIn(ctx context.Context) (*token, error) {
	s.mu.Lock()
	t, now := s.token, s.now()
	if t != nil && !t.ageing(now) {
		s.mu.Unlock()
		return t, nil
	}
	f := s.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		own := context.WithoutCancel(ctx) // it is for whoever waits
		crash.Go(func() { s.fly(own, f, t) }, func(p *crash.Panic) { s.land(f, nil, p) })
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, errWaited
	}
}

// fly renews or signs in.
func (s *Server) fly(ctx context.Context, f *flight, old *token) {
	ctx, cancel := context.WithTimeout(ctx, signing)
	defer cancel()
	if old != nil && !old.over(s.now()) {
		if t := s.renewed(ctx, old); t != nil {
			s.land(f, t, nil)
			return
		}
	}
	t, err := s.login.sign(ctx, s)
	if err != nil && old != nil && !old.over(s.now()) && backend.ReasonOf(err) != backend.Refused {
		t, err = old, nil // it has some life left
	}
	s.land(f, t, err)
}

// land ends a sign-in. The token before is not wiped: requests may be under way.
func (s *Server) land(f *flight, t *token, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.token, f.err = t, err
	if err == nil {
		s.token = t
	}
	if s.flight == f {
		s.flight = nil
		close(f.done)
	}
}

// drop forgets a token that the server does not take.
func (s *Server) drop(t *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == t {
		s.token = nil
	}
}

// Where is the server's address, and the namespace.
func (s *Server) Where() string { return s.server + " " + strings.Trim(s.cfg.Namespace, "/") }

// send sends one request; without a token it is a sign-in.
func (s *Server) send(ctx context.Context, method, path string, t *token, body []byte) (rest.Answer, error) {
	h := http.Header{"X-Vault-Request": {"true"}} // an agent between us and the server may insist on it
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if s.cfg.Namespace != "" {
		h.Set("X-Vault-Namespace", s.cfg.Namespace)
	}
	client := s.enter
	if t != nil {
		client = s.http
		h.Set("X-Vault-Token", string(plain.Bytes(t.value)))
	}
	a, err := rest.Do(ctx, client, who, rest.Request{Method: method, URL: s.server + "/v1/" + path, Header: h, Body: body})
	open := strings.HasPrefix(s.server, "http://")
	switch {
	case err != nil && open: // a listener of TLS can cut its answer off
		return a, backend.FailOf(backend.Away, "", err).WithHint("check that the server runs there; where it has TLS, the backend's address begins with https://, and needs its caFile")
	case err != nil:
		return a, backend.FailOf(backend.Away, "", err)
	case open && a.Status == http.StatusBadRequest && !object.Is(a.Body):
		clear(a.Body) // Vault answers in JSON; a listener of TLS, in words
		return rest.Answer{}, backend.Fail(backend.Away, who+" "+s.server+" does not take plain HTTP").
			WithHint("the backend's address begins with https:// where the server has TLS, and needs its caFile then")
	}
	return a, nil
}

// Judge sorts the answer to a question about a path by its status; nil: it is one.
func (s *Server) Judge(path string, a rest.Answer) error {
	about := func(r backend.Reason, msg string) *backend.Error {
		return backend.Fail(r, who+" "+msg+" (status "+strconv.Itoa(a.Status)+")")
	}
	switch {
	case a.Status == http.StatusOK || a.Status == http.StatusNoContent:
		return nil
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		path, _, _ = strings.Cut(path, "?")
		hint := "the policy of the role or token has to allow this path (docs/bring-your-own-vault.md has one); a mount that there is not is refused too: check the backend's mount"
		if s.cfg.TokenFile != "" {
			hint += "; or the token has ended: put a new one into the tokenFile"
		}
		return about(backend.Refused, "does not let us at "+fault.Quote(path)).WithHint(hint)
	case a.Status == http.StatusNotFound:
		return about(backend.Missing, "has nothing at the path").WithHint("check the path, and the backend's mount and engine")
	case a.Status == http.StatusTooManyRequests:
		return about(backend.Throttled, "asks to be asked later").Later(rest.RetryAfter(a.Header))
	case a.Status == http.StatusServiceUnavailable:
		return about(backend.Away, "is sealed, or in maintenance").Later(rest.RetryAfter(a.Header)).
			WithHint("unseal it there: vault operator unseal, or bao operator unseal")
	case a.Status >= 300 && a.Status < 400:
		return about(backend.Away, "points to another server, and the token is not sent there").WithHint("name the active server's address")
	case a.Status == http.StatusPreconditionFailed, a.Status >= 470 && a.Status < 480, a.Status >= 500:
		return about(backend.Away, "can't answer now")
	}
	return about(backend.Wrong, "does not take the request")
}
