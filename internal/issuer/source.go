package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// How an issuer is asked.
const (
	fresh       = 10 * time.Minute // keys are asked for again after that
	stale       = time.Hour        // and are worth nothing when they are older
	between     = 30 * time.Second // at least, from one try to the next
	askTimeout  = 10 * time.Second
	maxDocument = 256 << 10 // bytes
	maxSources  = 1000
)

// source is where the keys of an issuer come from: a list that never changes, or
// the issuer itself.
type source struct {
	issuer  string
	network resource.Network
	client  *http.Client // nil: the keys are all there is

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	at     time.Time // of the keys
	tried  time.Time
	flight chan struct{} // closed when the try under way has ended
}

// source finds or makes the one of a Worker's issuer. Two Workers share one only
// where they say the same about it.
func (v *Verifier) source(j *resource.WorkerJWT) (*source, error) {
	b, err := json.Marshal([]any{j.Issuer, j.JWKS, j.Network})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "naming an issuer", err)
	}
	sum := sha256.Sum256(b)
	key := hex.EncodeToString(sum[:])
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.sources[key]; s != nil {
		return s, nil
	}
	s := &source{issuer: j.Issuer, network: j.Network}
	if len(j.JWKS) > 0 {
		if s.keys, _, err = keySet(j.JWKS); err != nil {
			return nil, err
		}
	} else {
		pool, err := dial.Transport(j.Network, v.options)
		if err != nil {
			return nil, err
		}
		s.client = &http.Client{Transport: pool, Timeout: askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if len(v.sources) >= maxSources { // they are of resources that were changed since
		clear(v.sources)
	}
	v.sources[key] = s
	return s, nil
}

// keysFor gives the keys that a kid names. The issuer is asked when they are old, or
// when none has that name; Unavailable when there are no keys at all.
func (s *source) keysFor(ctx context.Context, kid string, now func() time.Time) ([]jose.JSONWebKey, error) {
	if s.client == nil {
		return byID(s.keys, kid), nil
	}
	for {
		s.mu.Lock()
		at := now()
		found := byID(s.keys, kid)
		if len(found) > 0 && at.Sub(s.at) < fresh {
			s.mu.Unlock()
			return found, nil
		}
		if s.flight == nil && at.Sub(s.tried) < between { // it was asked just now
			defer s.mu.Unlock()
			if s.at.IsZero() || at.Sub(s.at) >= stale {
				return nil, unreachable
			}
			return found, nil
		}
		wait := s.flight
		if wait == nil {
			wait = s.begin(ctx, at, now)
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, "waiting for the issuer's keys", ctx.Err())
		}
	}
}

var unreachable = fault.New(fault.Unavailable, "the keys of the token's issuer can't be had now").
	WithHint("is the issuer's .well-known document reachable from this server, and does it name exactly this issuer? in a closed network give the Worker a jwksFile")

// begin asks the issuer, once for everybody who waits; s.mu is held.
func (s *source) begin(ctx context.Context, at time.Time, now func() time.Time) chan struct{} {
	done := make(chan struct{})
	s.flight, s.tried = done, at
	ctx = context.WithoutCancel(ctx)
	ended := func(keys []jose.JSONWebKey, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.keys, s.at = keys, now()
		}
		s.tried, s.flight = now(), nil
		close(done)
	}
	crash.Go(func() { ended(s.ask(ctx)) }, func(p *crash.Panic) { ended(nil, p) })
	return done
}

// ask finds the issuer's document, and then its keys.
func (s *source) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	var err error
	for _, at := range documents(s.issuer) {
		var b []byte
		if b, err = s.get(ctx, at); err != nil {
			continue
		}
		if b, err = intent.Canonical(b); err == nil {
			err = json.Unmarshal(b, &doc)
		}
		break
	}
	if err != nil {
		return nil, err
	}
	if doc.Issuer != s.issuer { // RFC 8414, section 3.3: one issuer must not speak for another
		return nil, fault.New(fault.Denied, "the issuer's document names another issuer")
	}
	b, err := s.get(ctx, doc.JWKS)
	if err != nil {
		return nil, err
	}
	keys, _, err := keySet(b)
	return keys, err
}

// documents are where an issuer says what it is: by OpenID Connect's discovery, and
// by RFC 8414.
func documents(issuer string) []string {
	out := []string{strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"}
	if u, err := url.Parse(issuer); err == nil {
		u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
		out = append(out, u.String())
	}
	return out
}

// get reads a document, bounded, from a checked address. No redirect is followed.
func (s *source) get(ctx context.Context, at string) ([]byte, error) {
	if _, _, err := dial.Base(at, s.network); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fault.New(fault.Invalid, "an address of the issuer can't be read")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the issuer does not answer") // the text of err may quote it
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil || len(b) > maxDocument || resp.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Unavailable, "the issuer gives no document, or one that is too large")
	}
	return b, nil
}
