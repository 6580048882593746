package rotator

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// refreshRotator exchanges a refresh token (RFC 6749, section 6). The version's
// fields are refresh_token, username (the client's id), client_secret where the
// client has one, and token, the access token that Connections use. A server that gives a new refresh
// token may end the old one, so it is kept before anything else is done; one that
// gives none means that the old one goes on.
type refreshRotator struct{}

// Create makes the exchange.
func (refreshRotator) Create(ctx context.Context, j Job) (Made, error) {
	r := j.Rotator.Refresh
	origin, err := j.Rotator.Origin()
	if err != nil {
		return Made{}, err
	}
	id, secret := text(j.Before, userField), text(j.Before, "client_secret")
	if id == "" || text(j.Before, "refresh_token") == "" {
		return Made{}, fault.New(fault.Denied, "the secret has no field username, the client's id, or no refresh_token, so there is nothing to exchange")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(j.Before, "refresh_token")}}
	if r.Scope != "" {
		form.Set("scope", r.Scope)
	}
	if secret == "" {
		form.Set("client_id", id)
	}
	body := []byte(form.Encode())
	defer clear(body)
	req, err := http.NewRequest(http.MethodPost, r.TokenURL, bytes.NewReader(body)) //nolint:noctx // send gives it one
	if err != nil {
		return Made{}, fault.New(fault.Invalid, "the token endpoint's URL can't be read")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if secret != "" { // RFC 6749, section 2.3.1: both are form-encoded first
		pair := []byte(url.QueryEscape(id) + ":" + url.QueryEscape(secret))
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(pair))
		clear(pair)
	}
	b, err := send(ctx, j.Base, req, origin, nil)
	defer clear(b)
	if err != nil {
		return Made{}, err
	}
	return readTokens(b, j.Before)
}

// readTokens reads a token endpoint's answer (RFC 6749, section 5.1).
func readTokens(b []byte, before Fields) (Made, error) {
	doc, err := document(b)
	if err != nil {
		return Made{}, err
	}
	m := Made{Fields: Fields{}}
	for name, v := range before {
		m.Fields[name] = plain.New(bytes.Clone(plain.Bytes(v)))
	}
	for member, field := range map[string]string{"access_token": "token", "refresh_token": "refresh_token"} {
		s, _ := at(doc, "/"+member).(string)
		if s == "" && member == "refresh_token" {
			continue
		}
		if s == "" || len(s) > maxValue {
			wipe(m.Fields)
			return Made{}, unusable("has no access token of a possible length")
		}
		m.Fields[field] = plain.New([]byte(s))
	}
	return m, nil
}

// Apply has nothing to do.
func (refreshRotator) Apply(context.Context, Job) error { return nil }

// Try has nothing to do: an access token was given on it just now, and to try the
// refresh token would use it up.
func (refreshRotator) Try(context.Context, Job) error { return nil }

// Delete has nothing to do: the exchange has ended the one before.
func (refreshRotator) Delete(context.Context, Job) error { return nil }

// Find can't.
func (refreshRotator) Find(context.Context, Job) ([]string, error) { return nil, errNotOne("find") }
