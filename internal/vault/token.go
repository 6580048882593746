package vault

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/oauthcred"
)

// maxLearned is how many tokens a tenant's scrubbing remembers; the oldest goes, long
// after it has expired.
const maxLearned = 500

// tokens are access tokens that the vault has got, by what they are for. One caller
// gets a token, the others wait for it.
type tokens struct {
	mu  sync.Mutex
	all map[string]*held
}

type held struct {
	busy  chan struct{}
	value oauthcred.Token
	until time.Time
	got   int       // how many tokens there were, to know whose failure one is
	again bool      // the token was got after another was refused
	kept  time.Time // until then it is gone on with, though it was refused as well

	user // of what a person has authorised
}

func (t *tokens) of(key string, now time.Time) *held {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.all[key]
	if !ok {
		if t.all == nil {
			t.all = map[string]*held{}
		}
		for k, old := range t.all { // of earlier versions, and Connections that are gone
			if len(old.busy) == 0 && old.until.Before(now.Add(-time.Hour)) && old.unsaved == nil && old.resting.Before(now) {
				delete(t.all, k)
			}
		}
		h = &held{busy: make(chan struct{}, 1)}
		t.all[key] = h
	}
	return h
}

// openOAuth opens a door whose credential is a token that the vault gets for itself.
// It is a known secret before a door has it.
func (v *Vault) openOAuth(ctx context.Context, d DoorSpec) (http.RoundTripper, error) {
	t, err := v.take(ctx, d)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(t.packed)
	name, _, _ := strings.Cut(d.Secret, "@")
	// The ciphertext's own place and version are in what take resolved.
	key := strings.Join([]string{string(d.Tenant), t.id, strconv.Itoa(t.version), t.outside, d.Auth.Issuer, d.Auth.Scope, d.Resource, d.Integration}, "\n")
	h := v.tokens.of(key, v.cfg.Now())
	select {
	case h.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "the authorization server did not answer in time")
	}
	defer func() { <-h.busy }()
	if !v.cfg.Now().Before(h.until) {
		if h.value, err = oauthcred.Get(ctx, oauthcred.Config{Auth: d.Auth, Fields: t.fields, Resource: d.Resource, Base: d.Base}); err != nil {
			h.until = time.Time{}
			return nil, err
		}
		h.until, h.got = v.cfg.Now().Add(h.value.Life*3/4), h.got+1
	}
	if err := v.learn(d.Tenant, name, append([]plain.Value{h.value.Access}, h.value.Also...)); err != nil {
		return nil, err
	}
	return v.tokenDoor(d, h, t.version, clientRest)
}

// clientRest is how long a client goes on with a token after two were refused in a
// row: a system that refuses all of them must not make every call a question to the
// issuer, and one that answers 401 to what one Worker may not do takes it from no other.
const clientRest = time.Minute

// tokenDoor is the door that a token opens. The token is a known secret already.
func (v *Vault) tokenDoor(d DoorSpec, h *held, version int, rest time.Duration) (http.RoundTripper, error) {
	if scope := plain.Bytes(h.value.Scope); len(scope) > 0 {
		name, _, _ := strings.Cut(d.Secret, "@")
		v.heard(d.Tenant, name, Said{Version: version, By: SaidToken, Words: strings.Fields(string(scope)), Asked: strings.Fields(d.Auth.Scope)})
	}
	door, err := httpcred.New(httpcred.Config{
		Auth: resource.Auth{Scheme: resource.SchemeBearer}, Fields: map[string]plain.Value{"token": h.value.Access}, Origin: d.Origin, Method: d.Method, Base: d.Base,
		Known: v.Scrub(d.Tenant), Latest: func() *scrub.Set { return v.Scrub(d.Tenant) },
	})
	if err != nil {
		return nil, err
	}
	return &tokenDoor{door, h, h.got, rest, v.cfg.Now}, nil
}

// learn makes values known secrets of a tenant, before anybody uses them: they are
// scrubbed from answers, logs and everything else from then on.
func (v *Vault) learn(t ident.Tenant, name string, values []plain.Value) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := v.open()
	if err != nil {
		return err
	}
	ten := s.tenants[t]
	if ten == nil {
		return notFound(name)
	}
	var more []scrub.Secret
	for _, value := range values {
		b := plain.Bytes(value)
		if err := scrub.Check(b); err != nil || len(b) > scrub.MaxLen {
			return fault.New(fault.Invalid, "the authorization server's token can't be scrubbed, so it is not used")
		}
		// One that only has a known one in it has a rest that nothing else takes out.
		if !slices.ContainsFunc(ten.learned, func(s scrub.Secret) bool { return bytes.Equal(s.Value, b) }) {
			more = append(more, derive(name, map[string]plain.Value{"token": value})...)
		}
	}
	if len(more) == 0 {
		return nil
	}
	next := *ten
	next.learned = append(append([]scrub.Secret(nil), ten.learned...), more...)
	next.learned = next.learned[max(0, len(next.learned)-maxLearned):]
	if next.set, err = scrub.Extend(ten.set, more); err != nil {
		return err
	}
	all := next.set
	if len(s.tenants) > 1 {
		if all, err = scrub.Extend(v.holder.Load(), more); err != nil {
			return err
		}
	}
	v.publish(s.with(t, &next), all)
	return nil
}

// remembered are copies of what a tenant's scrubbing has learned.
func (t *tenant) remembered() (out []scrub.Secret) {
	for _, s := range t.learned {
		out = append(out, scrub.Secret{Name: s.Name, Value: bytes.Clone(s.Value)})
	}
	return out
}

// tokenDoor lets go of a token that the system does not accept, so that the next
// call gets another. The call itself is not sent again.
type tokenDoor struct {
	http.RoundTripper
	h    *held
	got  int // which token it is
	rest time.Duration
	now  func() time.Time
}

// RoundTrip is the door's.
func (d *tokenDoor) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	select {
	case d.h.busy <- struct{}{}:
		if d.h.got == d.got { // otherwise there is another by now
			d.h.heard(resp.StatusCode == http.StatusUnauthorized, d.now(), d.rest)
		}
		<-d.h.busy
	default: // somebody is getting one
	}
	return resp, err
}

// heard takes note of whether the system accepts the token.
func (h *held) heard(refused bool, now time.Time, rest time.Duration) {
	switch {
	case !refused:
		h.again = false
	case now.Before(h.kept): // that is known
	case h.again && h.version != 0: // a person's, who has to authorise another
		h.until, h.resting = time.Time{}, now.Add(rest)
	case h.again: // the one before was refused too: another would be
		h.kept = now.Add(rest)
		if h.kept.Before(h.until) {
			h.until = h.kept
		}
	default:
		h.until, h.again = time.Time{}, true
	}
}
