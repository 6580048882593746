// Package client talks to a Sallyport server: one small client over its JSON
// API, for programs and for the command line. The routes and their bodies are in
// the server's /v1/openapi.json.
//
// It refuses to follow a redirect, to send its token anywhere but to the server
// that it was made for, and to speak plain HTTP to anything but this machine.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	agent string
	http  *http.Client
}

// Option changes a new client.
type Option func(*Client)

// Token authenticates: a session's, or a Run's.
func Token(t string) Option { return func(c *Client) { c.token = t } }

// UserAgent names the program.
func UserAgent(s string) Option { return func(c *Client) { c.agent = s } }

// Transport replaces the standard transport.
func Transport(rt http.RoundTripper) Option { return func(c *Client) { c.http.Transport = rt } }

// New makes a client for the server at base, like "https://sallyport.example".
func New(base string, opts ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the server's address is not a URL like https://host:port")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("the server's address is not https, and not this machine's")
	}
	c := &Client{base: u, agent: "sallyport-client", http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, o := range opts {
		o(c)
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Problem is the server's refusal: application/problem+json.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Kind   string `json:"kind"` // stable: invalid, denied, not_found, conflict, …
	Code   string `json:"code"` // of a refused verdict; stable
	Hint   string `json:"hint"`
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// Limits of a client: an answer's bytes, and how long one call takes.
const (
	maxAnswer   = 32 << 20
	callTimeout = 2 * time.Minute
)

// Call makes one call. in is encoded as the body unless it is nil; out takes the
// answer unless it is nil. A refusal is a [*Problem].
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the server's answer: %w", err)
	case len(b) > maxAnswer:
		return fmt.Errorf("the server's answer is larger than %d MiB", maxAnswer>>20)
	case out == nil || len(b) == 0:
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	return nil
}

// Lines makes a GET whose answer is one JSON value a line, and hands out each as
// it comes, until the answer or ctx ends, or fn errors.
func (c *Client) Lines(ctx context.Context, path string, fn func(line []byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if err := fn(sc.Bytes()); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("reading the server's stream: %w", err)
	}
	return nil
}

// Download makes one call whose answer is a file, and writes that to w as it
// comes. It returns the answer's trailer. An answer that was cut is an error; how
// long it takes is ctx's business.
func (c *Client) Download(ctx context.Context, method, path string, in any, w io.Writer) (http.Header, error) {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return nil, fmt.Errorf("reading the server's answer: %w", err)
	}
	return resp.Trailer, nil
}

func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	return c.sendWith(ctx, method, path, in, http.Header{"Accept": {"application/json"}})
}

func (c *Client) sendWith(ctx context.Context, method, path string, in any, h http.Header) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	ref, err := url.Parse(path)
	if err != nil || ref.IsAbs() || ref.Host != "" {
		return nil, errors.New("the path is not one of the server's")
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.ResolveReference(ref).String(), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header = h
	req.Header.Set("User-Agent", c.agent)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("reaching the server at %s: %w", c.base.Host, err)
	}
	if resp.StatusCode/100 == 2 && !isProblem(resp) {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, refusal(resp)
}

// refusal reads a problem, or makes one of a status that came without.
func refusal(resp *http.Response) error {
	p := &Problem{Status: resp.StatusCode, Detail: "the server answered " + strings.TrimSpace(resp.Status), Kind: "internal"}
	if isProblem(resp) {
		_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(p) // what can't be read leaves the status
	}
	return p
}

// isProblem is also true of what waits for a Decision: a problem with status 202.
func isProblem(resp *http.Response) bool {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // what is no media type is no problem
	return t == "application/problem+json"
}
