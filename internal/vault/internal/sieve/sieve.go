// Package sieve is the HTTP client that a cloud's official SDK is given. The SDK makes
// the request, signs it and reads the answer; what is secret in the answer it never
// gets: that is taken out on the way and kept for the backend that asked.
//
// SDKs give texts as Go strings, which can't be wiped, through buffers that they use
// again; they put what a server wrote into their errors and logs, follow what the
// environment says, and take the last of two members with one name. Here none of that
// has a secret in its hands.
//
// It refuses to send to another server than its own, whatever led the SDK there; a
// redirect; an answer that is longer than it may be or was cut; JSON with a member
// twice; and a question that nobody waits for (see [Into]).
//
// # Security
//
// Of an answer only the members and headers that are named reach the SDK, so a member
// that is not known can't bring a value along. An error's own words don't reach it at
// all, but for its name. What the SDK sends is one buffer, wiped when it was sent.
package sieve

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
)

// Mesh says what of an answer reaches the SDK.
type Mesh struct {
	// Members are of an answer with status 200, which has to be a JSON object.
	Members []string
	// Values are members that are texts, and are caught.
	Values []string
	// Error is the member of another answer that names the error: a plain word.
	Error string
	// Whole: the body of every answer passes as it is. It is of a server that signs us
	// in; what it says about it is the SDK's to read.
	Whole bool
	// Headers pass; of all answers.
	Headers []string
	// Check refuses an answer before anything of it passes; may be nil.
	Check func(a rest.Answer) error
}

// Client sends to one server. Safe for concurrent use.
type Client struct {
	http   *http.Client
	who    string
	server string
	mesh   Mesh
}

// New makes one for the server https://host[:port], which errors name as who.
func New(c *http.Client, who, server string, m Mesh) *Client {
	return &Client{http: c, who: who, server: canonical(server), mesh: m}
}

// canonical leaves out the port that https has anyway: SDKs do.
func canonical(server string) string {
	server = strings.ToLower(server)
	if s, ok := strings.CutSuffix(server, ":443"); ok && strings.HasPrefix(server, "https://") {
		return s
	}
	return server
}

// Do sends a request once. What the answer had goes into the Catch that the request's
// context has; so does the error.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	catch, ok := r.Context().Value(key{}).(*Catch)
	if !ok {
		return nil, fault.New(fault.Internal, "a request to "+c.who+" that nobody waits for")
	}
	catch.Wipe()
	*catch = Catch{}
	res, err := c.send(r, catch)
	if err != nil {
		catch.err = err
		return nil, err
	}
	return res, nil
}

// CloseIdleConnections is what one SDK asks of a client: they close by themselves.
func (*Client) CloseIdleConnections() {}

func (c *Client) send(r *http.Request, catch *Catch) (*http.Response, error) {
	if canonical(r.URL.Scheme+"://"+r.URL.Host) != c.server || r.Host != "" && !strings.EqualFold(r.Host, r.URL.Host) || r.URL.User != nil {
		return nil, backend.Fail(backend.Wrong, "the request to "+c.who+" was led to another server, and not sent").
			WithHint("look at the server's environment: variables that choose an endpoint or a region for an SDK don't belong there")
	}
	body, err := outgoing(r)
	if err != nil {
		return nil, backend.Fail(backend.Wrong, "the request to "+c.who+" is longer than it may be")
	}
	defer clear(body)
	a, err := rest.Do(r.Context(), c.http, c.who, rest.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body})
	if err != nil {
		return nil, backend.FailOf(backend.Away, "", err)
	}
	catch.Status, catch.Header = a.Status, a.Header
	if c.mesh.Check != nil {
		if err := c.mesh.Check(a); err != nil {
			clear(a.Body)
			return nil, err
		}
	}
	passing := a.Body
	if !c.mesh.Whole {
		passing, err = c.sift(a, catch)
		clear(a.Body)
	} else if err = c.once(a); err != nil {
		clear(a.Body)
	}
	if err != nil {
		return nil, err
	}
	return c.response(r, a, passing), nil
}

// outgoing reads what the SDK sends into one buffer of its length.
func outgoing(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength < 0 || r.ContentLength > rest.MaxAnswer {
		return nil, io.ErrShortBuffer
	}
	b := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

// maxWhole is the most members of an answer that passes whole.
const maxWhole = 100

// once refuses JSON with a member twice, in any case: SDKs read such answers with
// encoding/json, which doesn't tell cases apart. What is no JSON object is not looked at.
func (c *Client) once(a rest.Answer) error {
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) {
		return nil
	}
	members, err := object.Members(a.Body)
	if err != nil {
		return c.unexpected()
	}
	if len(members) > maxWhole {
		return c.unexpected()
	}
	var seen []string
	for name := range members {
		if slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, name) }) {
			return c.unexpected()
		}
		seen = append(seen, name)
	}
	return nil
}

func (c *Client) unexpected() error {
	return backend.Fail(backend.Wrong, c.who+"'s answer is not the JSON that is expected")
}

// maxWord is the most bytes of an error's name.
const maxWord = 120

// word is the name of an error: nothing else that a server writes about one passes.
var word = regexp.MustCompile(`^[A-Za-z0-9_.:#/-]+$`)

// sift takes an answer apart: what passes, and what is caught.
func (c *Client) sift(a rest.Answer, catch *Catch) (passing []byte, err error) {
	plain.Do(func() {
		members, bad := object.Members(a.Body)
		if a.Status != http.StatusOK {
			passing = []byte("{}")
			if name := object.Word(members[c.mesh.Error]); bad == nil && len(name) <= maxWord && word.MatchString(name) {
				passing = []byte(`{"` + c.mesh.Error + `":"` + name + `"}`)
			}
			return
		}
		if bad != nil {
			err = c.unexpected()
			return
		}
		for _, name := range c.mesh.Values {
			if b, ok := object.Text(members[name]); ok {
				catch.keep(name, b)
			}
		}
		passing, err = c.rest(members)
	})
	return passing, err
}

// rest writes the members that pass. An object among them has none twice either.
func (c *Client) rest(members map[string][]byte) ([]byte, error) {
	out := []byte("{")
	for _, name := range c.mesh.Members {
		raw, ok := members[name]
		if !ok {
			continue
		}
		if raw[0] == '{' {
			if _, err := object.Members(raw); err != nil {
				return nil, c.unexpected()
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, '"'), name...), `":`...), raw...)
	}
	return append(out, '}'), nil
}

// response is what the SDK gets.
func (c *Client) response(r *http.Request, a rest.Answer, passing []byte) *http.Response {
	h := http.Header{}
	for name, values := range a.Header {
		if slices.Contains(c.mesh.Headers, name) && len(values) == 1 {
			h[name] = values
		}
	}
	return &http.Response{
		Status: http.StatusText(a.Status), StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: int64(len(passing)), Body: &wiped{Reader: bytes.NewReader(passing), b: passing}, Request: r,
	}
}

// wiped is a body that is zeroed when it is closed.
type wiped struct {
	*bytes.Reader
	b []byte
}

func (w *wiped) Close() error {
	clear(w.b)
	return nil
}

// key is the context's, for a Catch.
type key struct{}

// Catch is what the last answer to a question of an SDK had in it. It belongs to one
// question at a time.
type Catch struct {
	Status int         // 0: there was none
	Header http.Header // all of it
	values map[string][]byte
	err    error
}

// Into gives a context whose requests are caught in what it returns.
func Into(ctx context.Context) (context.Context, *Catch) {
	c := &Catch{}
	return context.WithValue(ctx, key{}, c), c
}

func (c *Catch) keep(name string, b []byte) {
	if c.values == nil {
		c.values = map[string][]byte{}
	}
	c.values[name] = b
}

// Take gives a value, whose bytes are the caller's from then on; false: the answer
// didn't have it.
func (c *Catch) Take(name string) ([]byte, bool) {
	b, ok := c.values[name]
	delete(c.values, name)
	return b, ok
}

// Wipe zeroes what was not taken.
func (c *Catch) Wipe() {
	for _, b := range c.values {
		clear(b)
	}
	c.values = nil
}

// Err is why the last request had no answer that could be passed on; nil: it had. It
// is a *backend.Error.
func (c *Catch) Err() error { return c.err }

// Answer is what was answered without its body, to be judged by its status.
func (c *Catch) Answer() rest.Answer { return rest.Answer{Status: c.Status, Header: c.Header} }
