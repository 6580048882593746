// Package httpcred is the door to an HTTP system: a RoundTripper that puts one
// credential into one place of requests to one origin, and takes every secret
// that the tenant has out of what comes back. It has no other function, and a
// connector that sends through it can forget nothing.
//
// It refuses, before anything is sent: another scheme, host, port or method; a
// request that already carries a secret of the tenant, in its URL, headers or
// body; user information in the URL; a compressed request body, which can't be
// looked through; CONNECT and protocol upgrades. It refuses, of answers: an encoding
// other than gzip and deflate, one that unpacks beyond its limits, and 101.
//
// # Security
//
// On the way in everything is scrubbed: status text, header names and values,
// trailers, the body as a stream, with the secrets known when the door was
// opened and those known when the answer came; of a stream of events or of lines
// of JSON, also what its events say together. Challenges, cookies and what
// makes a client connect elsewhere are dropped; 1xx answers are not passed on;
// the answer's Request is the one without the credential. A transport's error is
// replaced by a fixed sentence, since its own may hold the URL. A door follows
// no redirect and retries nothing.
package httpcred

import (
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// Config is what a door is made of.
type Config struct {
	Auth   resource.Auth          // the place of injection
	Fields map[string]plain.Value // of one version of the Secret
	Origin resource.Origin        // the only place it may go
	Method string                 // the only method, like "POST"
	Base   http.RoundTripper      // the transport: it follows no redirect
	Known  *scrub.Set             // every secret of the tenant, this one included
	Latest func() *scrub.Set      // the same, at the time of an answer
}

// New makes the door. Invalid: the Secret has not the fields that the scheme
// needs, or a value can't stand where it would be injected.
func New(c Config) (http.RoundTripper, error) {
	if c.Base == nil || c.Known == nil || c.Latest == nil || c.Origin == (resource.Origin{}) || c.Method == "" {
		return nil, fault.New(fault.Internal, "a door without transport, origin, method or scrubbing")
	}
	var inject func(*http.Request) error
	var err error
	// The strings that net/http needs can't be wiped; made in here, they are
	// erased once the door is let go of, in a build that erases.
	plain.Do(func() { inject, err = injector(c.Auth, c.Fields) })
	if err != nil {
		return nil, err
	}
	return &door{inject: inject, origin: c.Origin, method: c.Method, base: c.Base, known: c.Known, latest: c.Latest}, nil
}

// door is safe for concurrent use; nothing in it changes. Its credential is in
// inject's closure, where no printer finds it.
type door struct {
	inject func(*http.Request) error
	origin resource.Origin
	method string
	base   http.RoundTripper
	known  *scrub.Set
	latest func() *scrub.Set
}

// sets is what to scrub with: a secret that was removed since the door was
// opened may still come back, and so may one that was added.
func (d *door) sets() []*scrub.Set {
	if now := d.latest(); now != nil && now != d.known {
		return []*scrub.Set{d.known, now}
	}
	return []*scrub.Set{d.known}
}

// RoundTrip sends a copy of req with the credential, once.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	out, err := d.outgoing(req)
	if err != nil {
		return nil, err
	}
	resp, err := d.base.RoundTrip(out)
	if err != nil {
		return nil, failure(req.Context(), err, d.sets())
	}
	in, err := d.incoming(req, resp)
	if err != nil {
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
		return nil, err
	}
	return in, nil
}
