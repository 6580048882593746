package httpcred

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// maxRequest is the most bytes of a request's body: it is looked through whole
// before any of it leaves.
const maxRequest = 32 << 20

// outgoing makes the request that leaves: a copy of req, checked, then with the
// credential. req's body is read and closed, whatever happens; req itself is
// not changed.
func (d *door) outgoing(req *http.Request) (*http.Request, error) {
	body, err := takeBody(req)
	if err != nil {
		return nil, err
	}
	if err := d.checkTarget(req); err != nil {
		return nil, err
	}
	for _, known := range d.sets() {
		if part, names := carries(known, req, body); len(names) > 0 {
			return nil, &fault.Error{Kind: fault.Denied, Err: &Carried{names, part},
				Hint: "credentials are put in by the Boundary; take it out of the arguments"}
		}
	}
	out := req.Clone(quiet(req.Context()))
	strip(out.Header)
	out.Header.Set("Accept-Encoding", "identity")
	out.Host, out.RequestURI, out.Trailer, out.TransferEncoding, out.Close = "", "", nil, nil, false
	out.URL.Fragment, out.URL.RawFragment = "", ""
	setBody(out, body)
	plain.Do(func() { err = d.inject(out) }) // a query with the credential in it is a new string
	return out, err
}

// takeBody reads and closes the body.
func takeBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer func() { _ = req.Body.Close() }() // what could be read of it is what counts
	b, err := io.ReadAll(io.LimitReader(req.Body, maxRequest+1))
	if err != nil {
		return nil, fault.New(fault.Invalid, "reading the request's body")
	}
	if len(b) > maxRequest {
		return nil, fault.Newf(fault.Limit, "the request's body is larger than %d MiB", maxRequest>>20)
	}
	return b, nil
}

// setBody gives out the bytes that were checked. It sets no GetBody: with one,
// a transport may send the request again by itself.
func setBody(out *http.Request, body []byte) {
	out.GetBody = nil
	out.ContentLength = int64(len(body))
	out.Body = http.NoBody
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
}

// checkTarget holds the request against the one origin and the one method. The
// Host that would be sent is part of it: a system may route by it.
func (d *door) checkTarget(req *http.Request) error {
	if req.URL == nil || req.URL.Opaque != "" || req.Method == http.MethodConnect {
		return fault.New(fault.Denied, "the door takes plain requests only")
	}
	if method := cmp.Or(req.Method, http.MethodGet); method != d.method {
		return fault.Newf(fault.Denied, "the door was opened for %s and for no other method", d.method)
	}
	to, err := resource.ParseOrigin(req.URL)
	if err != nil {
		return err
	}
	named := to
	if req.Host != "" {
		if named, err = resource.ParseOrigin(&url.URL{Scheme: req.URL.Scheme, Host: req.Host}); err != nil {
			return err
		}
	}
	if to != d.origin || named != d.origin {
		return fault.Newf(fault.Denied, "the credential may go to %s only", d.origin).
			WithHint("the Integration's base URL says where; a redirect does not change it")
	}
	for k, vs := range req.Header {
		if strings.EqualFold(k, "Content-Encoding") && strings.Join(vs, "") != "identity" {
			return fault.New(fault.Invalid, "the request's body is compressed, so it can't be looked through")
		}
	}
	return nil
}

// Carried is why a request was refused that has a known secret in it. Its text is
// one for all: who sent the request learns neither which nor where.
type Carried struct {
	names []string
	part  string
}

// Error is the same sentence for every secret.
func (*Carried) Error() string { return "the request carries a known secret" }

// Names are those of the Secrets, sorted, for the record.
func (c *Carried) Names() []string { return slices.Clone(c.names) }

// Part is the part of the request that has the first of them: "URL", "headers" or
// "body".
func (c *Carried) Part() string { return c.part }

// carries looks for known secrets in all that a caller can set.
func carries(known *scrub.Set, req *http.Request, body []byte) (part string, names []string) {
	var headers strings.Builder
	for _, h := range []http.Header{req.Header, req.Trailer} {
		for k, vs := range h {
			headers.WriteString(k + ": " + strings.Join(vs, "\n") + "\n\n")
		}
	}
	for _, p := range []struct {
		name string
		text []byte
	}{{"body", body}, {"URL", []byte(req.Method + " " + req.URL.String() + " " + req.Host)}, {"headers", []byte(headers.String())}} {
		if names := known.Contains(p.text); len(names) > 0 {
			return p.name, names
		}
	}
	return "", nil
}
