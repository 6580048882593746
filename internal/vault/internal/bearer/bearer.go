// Package bearer keeps an access token of OAuth 2 that is got from a token endpoint or
// a metadata service: once for all who wait, again before it ends, and at once when the
// service does not take it any more.
//
// # Security
//
// A token is in memory alone. Of a token endpoint's answer nothing is repeated.
package bearer

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// early is how long before its end a token is got anew; young is the age up to which
// one that is refused is not: the service has just given it.
const (
	early = 5 * time.Minute
	young = 5 * time.Second
)

// Keeper keeps one token. Safe for concurrent use.
type Keeper struct {
	source func(ctx context.Context) (rest.Answer, error)
	who    string
	now    func() time.Time
	mu     sync.Mutex // held while one is got: who comes meanwhile waits for it
	kept   *token
}

type token struct {
	value    plain.Value
	got, end time.Time
}

// New makes one. source asks the endpoint, which errors name as who.
func New(who string, now func() time.Time, source func(ctx context.Context) (rest.Answer, error)) *Keeper {
	return &Keeper{source: source, who: who, now: now}
}

// Do sends a request with the token in it, and once more with another where it is
// refused and was not got just now.
func (k *Keeper) Do(ctx context.Context, c *http.Client, who string, in rest.Request) (rest.Answer, error) {
	for try := 0; ; try++ {
		t, err := k.token(ctx)
		if err != nil {
			return rest.Answer{}, err
		}
		in.Header = http.Header{"Authorization": {"Bearer " + string(plain.Bytes(t.value))}, "Accept": {"application/json"}}
		if in.Body != nil {
			in.Header.Set("Content-Type", "application/json")
		}
		a, err := rest.Do(ctx, c, who, in)
		if err != nil {
			return rest.Answer{}, backend.FailOf(backend.Away, "", err)
		}
		if a.Status != http.StatusUnauthorized || try > 0 || k.now().Sub(t.got) < young {
			return a, nil
		}
		clear(a.Body)
		k.drop(t)
	}
}

func (k *Keeper) drop(t *token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == t {
		k.kept = nil
	}
}

// token gives one that is good for a while.
func (k *Keeper) token(ctx context.Context) (*token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.kept != nil && now.Before(k.kept.end.Add(-min(early, k.kept.end.Sub(k.kept.got)/3))) {
		return k.kept, nil
	}
	t, err := k.get(ctx, now)
	if err != nil {
		if k.kept != nil && now.Before(k.kept.end) && backend.ReasonOf(err) != backend.Refused {
			return k.kept, nil // it has some life left
		}
		return nil, err
	}
	k.kept = t
	return t, nil
}

// Try gets a token anew, and keeps it not.
func (k *Keeper) Try(ctx context.Context) error {
	t, err := k.get(ctx, k.now())
	if err == nil {
		plain.Wipe(t.value)
	}
	return err
}

func (k *Keeper) get(ctx context.Context, now time.Time) (*token, error) {
	a, err := k.source(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(a.Body)
	switch {
	case a.Status == http.StatusTooManyRequests || a.Status >= 500:
		return nil, backend.Fail(backend.Away, k.who+" can't answer now")
	case a.Status != http.StatusOK:
		return nil, backend.Fail(backend.Refused, k.who+" gives us no token")
	}
	m, err := object.Members(a.Body)
	if err != nil {
		return nil, backend.Fail(backend.Wrong, k.who+"'s answer is not the JSON that is expected")
	}
	b, _ := object.Text(m["access_token"])
	seconds, ok := object.Number(m["expires_in"])
	if !ok { // one service says it as a text
		seconds, ok = object.Number([]byte(object.Word(m["expires_in"])))
	}
	if !safe.Header(b) || !ok || seconds < 1 || seconds > 7*24*3600 {
		clear(b)
		return nil, backend.Fail(backend.Wrong, k.who+"'s answer has no token with an end")
	}
	return &token{value: plain.New(b), got: now, end: now.Add(time.Duration(seconds) * time.Second)}, nil
}

// Form sends a form to a token endpoint; it is wiped. The endpoint's own errors say
// nothing that is repeated.
func Form(ctx context.Context, c *http.Client, who, at string, form url.Values) (rest.Answer, error) {
	body := []byte(form.Encode())
	defer clear(body)
	a, err := rest.Do(ctx, c, who, rest.Request{Method: http.MethodPost, URL: at, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: body})
	if err != nil {
		return a, backend.FailOf(backend.Away, "", err)
	}
	return a, nil
}

// Metadata asks a metadata service.
func Metadata(ctx context.Context, c *http.Client, at string, h http.Header) (rest.Answer, error) {
	a, err := rest.Do(ctx, c, "the metadata service", rest.Request{Method: http.MethodGet, URL: at, Header: h})
	if err != nil {
		return a, backend.FailOf(backend.Away, "", err)
	}
	return a, nil
}
