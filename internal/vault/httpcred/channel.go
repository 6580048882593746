package httpcred

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// The headers of a signed message (Standard Webhooks, "Webhook metadata"). The
// caller sets the first two; the door makes the third.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// keyPrefix begins a signing key as it is written; the rest is base64.
const keyPrefix = "whsec_"

// The bytes that a signing key has, by the specification.
const (
	minKey = 24
	maxKey = 64
)

// signature signs id, timestamp and body of each request with HMAC-SHA256. What
// it signs is what leaves: it reads the body that the door has checked.
func signature(value string) (func(*http.Request) error, error) {
	coded, ok := strings.CutPrefix(value, keyPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(coded)
	if !ok || err != nil || strings.ContainsAny(coded, "\r\n") || len(key) < minKey || len(key) > maxKey {
		return nil, fault.New(fault.Invalid, "the secret's value is not a webhook's signing key").
			WithHint("it is whsec_ and then %d to %d random bytes in base64, on one line", minKey, maxKey)
	}
	return func(r *http.Request) error {
		id, at := r.Header.Get(HeaderID), r.Header.Get(HeaderTimestamp)
		if !within(id, 64, idChars) || !within(at, 12, digits) {
			return fault.New(fault.Internal, "a message to sign has no id or no timestamp")
		}
		body, err := io.ReadAll(r.Body) // in memory already
		if err != nil {
			return fault.New(fault.Internal, "reading a message to sign")
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + at + ".")) // a hash takes everything
		_, _ = mac.Write(body)
		for k := range r.Header {
			if strings.EqualFold(k, HeaderSignature) {
				delete(r.Header, k)
			}
		}
		r.Header[HeaderSignature] = []string{"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
		return nil
	}, nil
}

const (
	digits  = "0123456789"
	idChars = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-" // no dot: it separates what is signed
)

func within(s string, limit int, chars string) bool {
	return s != "" && len(s) <= limit && strings.Trim(s, chars) == ""
}

// address puts the path and query of the whole address, which is the
// credential, into requests that have none. One that is elsewhere than the door
// goes makes no door: whoever writes the Secret does not choose the receiver.
func address(value string, origin resource.Origin) (func(*http.Request) error, error) {
	u, err := url.Parse(value)
	if err != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(value, "#") || len(strings.Trim(u.EscapedPath(), "/")) == 0 {
		return nil, fault.New(fault.Invalid, "the secret's value is not a webhook's address").
			WithHint("store the whole URL on one line, like https://hooks.slack.com/services/…")
	}
	at, err := resource.ParseOrigin(u)
	if err != nil {
		return nil, err
	}
	if at != origin {
		return nil, fault.Newf(fault.Denied, "the address in the secret is not at %s", origin).
			WithHint("slack.origin of the Channel says where it has to be")
	}
	path, raw, query := u.Path, u.RawPath, u.RawQuery
	return func(r *http.Request) error {
		if strings.Trim(r.URL.Path, "/") != "" || r.URL.RawQuery != "" {
			return fault.New(fault.Internal, "a request to a secret address has a path of its own")
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, raw, query
		return nil
	}, nil
}
