package rotator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// Bounds of one exchange.
const (
	maxAnswer = 256 << 10 // bytes
	timeout   = 30 * time.Second
	maxID     = 128
	maxFound  = 100
)

// httpRotator sends what a policy declares.
type httpRotator struct{}

// Create asks for a credential, and reads it where the policy says.
func (httpRotator) Create(ctx context.Context, j Job) (Made, error) {
	h := j.Rotator.HTTP
	b, err := exchange(ctx, j, h.Create, h.Auth, j.Admin, h.Once)
	defer clear(b)
	if err != nil {
		return Made{}, err
	}
	return readMade(b, h, j.Before)
}

// Apply has nothing to do: the system knows what it made.
func (httpRotator) Apply(context.Context, Job) error { return nil }

// Try sends the request that tries, with the new credential.
func (httpRotator) Try(ctx context.Context, j Job) error {
	h := j.Rotator.HTTP
	b, err := exchange(ctx, j, h.Try, h.TryAuth, j.Version, "")
	clear(b)
	return err
}

// Delete disables and deletes, as far as the policy declares. What is not there any
// more is deleted.
func (httpRotator) Delete(ctx context.Context, j Job) error {
	h := j.Rotator.HTTP
	for _, s := range []*resource.HTTPStep{h.Disable, h.Delete} {
		if s == nil {
			continue
		}
		if j.ID == "" && s.NeedsID() {
			return fault.New(fault.Invalid, "the system's id of the old credential is not known").
				WithHint("currentID of the policy says it for a version that was stored by hand; delete that one at the system")
		}
		again := *s
		if len(s.Status) == 0 {
			again.Status = []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}
		}
		again.Status = append(slices.Clone(again.Status), http.StatusNotFound, http.StatusGone)
		b, err := exchange(ctx, j, again, h.Auth, j.Admin, "")
		clear(b)
		if err != nil {
			return err
		}
	}
	return nil
}

// Find lists what has the rotation's id as its label.
func (httpRotator) Find(ctx context.Context, j Job) ([]string, error) {
	h := j.Rotator.HTTP
	b, err := exchange(ctx, j, h.Find.HTTPStep, h.Auth, j.Admin, "")
	defer clear(b)
	if err != nil {
		return nil, err
	}
	doc, err := document(b)
	if err != nil {
		return nil, err
	}
	list, ok := at(doc, h.Find.List).([]any)
	if !ok {
		return nil, unusable("has no list where the policy says")
	}
	var ids []string
	for _, e := range list {
		if label, _ := at(e, h.Find.Label).(string); !strings.Contains(label, j.Rotation) {
			continue
		}
		id, ok := idOf(at(e, h.Find.ID))
		if !ok || len(ids) == maxFound {
			return nil, unusable("has a credential without a usable id, or too many")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// exchange sends one step and gives the body of a good answer, which the caller
// clears. once is a header for the rotation's id, or "".
func exchange(ctx context.Context, j Job, s resource.HTTPStep, auth resource.Auth, with Fields, once string) ([]byte, error) {
	h := j.Rotator.HTTP
	origin, err := j.Rotator.Origin()
	if err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("{rotation}", url.PathEscape(j.Rotation), "{id}", url.PathEscape(j.ID))
	base, _ := url.Parse(h.BaseURL) // Origin has read it
	u, err := url.Parse(strings.TrimSuffix(base.String(), "/") + fill.Replace(s.Path))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the rotator's path can't be read")
	}
	body, err := fillBody(s.Body, j)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(s.Method, u.String(), bytes.NewReader(body)) //nolint:noctx // send gives it one
	if err != nil {
		return nil, fault.New(fault.Invalid, "the rotator's request can't be made")
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if once != "" {
		req.Header.Set(once, j.Rotation)
	}
	var inject func(*http.Request) error
	plain.Do(func() { inject, err = httpcred.Inject(auth, origin, asBasic(auth, with)) })
	if err == nil {
		plain.Do(func() { err = inject(req) })
	}
	if err != nil {
		return nil, err
	}
	return send(ctx, j.Base, req, origin, s.Status)
}

// asBasic gives an OAuth client's fields the names that basic authentication takes:
// it signs in so at a token endpoint (RFC 6749, section 2.3.1).
func asBasic(auth resource.Auth, with Fields) Fields {
	id, ok := with["client_id"]
	secret, both := with["client_secret"]
	if _, has := with["username"]; has || !ok || !both || auth.Scheme != resource.SchemeBasic {
		return with
	}
	return Fields{"username": id, "password": secret}
}

// fillBody puts ids into the texts of a body.
func fillBody(raw json.RawMessage, j Job) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var doc any
	if json.Unmarshal(raw, &doc) != nil {
		return nil, fault.New(fault.Invalid, "the rotator's body is not JSON")
	}
	fill := strings.NewReplacer("{rotation}", j.Rotation, "{id}", j.ID)
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return fill.Replace(v)
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
		}
		return v
	}
	return json.Marshal(walk(doc))
}

// send makes one exchange with the origin: no redirect, no second try, a bounded
// answer, and errors that repeat nothing of it.
func send(ctx context.Context, base http.RoundTripper, req *http.Request, origin resource.Origin, good []int) ([]byte, error) {
	if to, err := resource.ParseOrigin(req.URL); err != nil || to != origin {
		return nil, fault.New(fault.Denied, "the rotator's request would leave its origin")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reached := false // before that no byte of the request is sent
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { reached = true }})
	req = req.WithContext(ctx)
	req.GetBody = nil
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := base.RoundTrip(req)
	if err != nil {
		if !reached {
			return nil, fault.New(fault.Unavailable, "the system that rotates can't be reached")
		}
		return nil, fault.New(fault.Unknown, "the system that rotates gave no answer")
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	code := resp.StatusCode
	switch {
	case slices.Contains(good, code) || len(good) == 0 && code >= 200 && code < 300:
	case code == http.StatusTooManyRequests:
		clear(b)
		return nil, fault.New(fault.Unavailable, "the system that rotates asks to be called later")
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout:
		clear(b)
		return nil, fault.Newf(fault.Denied, "the system that rotates refuses (HTTP %d)", code)
	default: // a redirect too: what it means nobody can say
		clear(b)
		return nil, fault.Newf(fault.Unknown, "the system that rotates answered with HTTP %d", code)
	}
	switch {
	case len(b) > maxAnswer:
		clear(b)
		return nil, unusable("is too long")
	case err != nil:
		clear(b)
		return nil, unusable("was cut")
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		clear(b)
		return nil, unusable("has an encoding that nobody asked for")
	}
	return b, nil
}

// unusable is an answer by which something may have been made.
func unusable(why string) error {
	return fault.New(fault.Invalid, "the answer of the system that rotates "+why)
}
