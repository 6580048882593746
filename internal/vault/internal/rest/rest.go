// Package rest is the HTTP client of what the vault itself talks to: key servers
// and the backends that keep values. One request, one bounded answer.
//
// It refuses plain HTTP to another machine, every redirect, since the credential
// would go along, proxies of the environment, compressed answers, and answers that
// are longer than they may be or that were cut.
//
// # Security
//
// The address comes from the server's own file, never from a resource, so private
// addresses are not refused: key servers live there. That it is the right server is
// what TLS says. Answers hold plaintext: they are one buffer that the caller wipes,
// and no error repeats anything of them.
package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/safe"
)

// MaxAnswer is the most bytes of an answer.
const MaxAnswer = 1 << 20

// connecting is how long a connection may take to be made.
const connecting = 20 * time.Second

// Address checks "https://host:port", with nothing after it, or http where the host
// is this machine. whose begins the errors, like "the transit seal's".
func Address(whose, address string) (server string, plain bool, err error) {
	bad := func(why string) (string, bool, error) {
		return "", false, fault.New(fault.Invalid, whose+" address "+why).
			WithHint("write it like https://bao.example.com:8200")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return bad("is not a scheme, a host and a port alone") // it may hold a password, and is not repeated
	}
	switch {
	case u.Scheme == "https":
		return "https://" + u.Host, false, nil
	case u.Scheme != "http":
		return bad("is neither https nor http")
	}
	a, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !a.IsLoopback()) {
		return bad("is plain HTTP to another machine")
	}
	return "http://" + u.Host, true, nil
}

// Options say what a client is for.
type Options struct {
	Whose string // begins the errors, like "the transit seal's"
	// CAFile has the certificates, PEM, that alone are trusted; empty: the system's.
	CAFile string
	// Plain says that the address is plain HTTP: then nothing but this machine is
	// connected to, whatever its name resolves to.
	Plain bool
	// Only is the one address that plain HTTP may go to besides: a cloud's metadata
	// service.
	Only netip.Addr
	// Certificate gives the client's, at each handshake; nil: it has none.
	Certificate func() (*tls.Certificate, error)
	// Keep says that connections are kept for the next request.
	Keep bool
}

// Client makes one.
func Client(o Options) (*http.Client, error) {
	roots, err := roots(o)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connecting}
	if o.Plain {
		// "localhost" is a name, and somebody else may answer for names.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(address)
			if err != nil || !a.Addr().Unmap().IsLoopback() && (!o.Only.IsValid() || a.Addr().Unmap() != o.Only) {
				return errors.New("plain HTTP to another machine")
			}
			return nil
		}
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if o.Certificate != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() }
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        conf,
			TLSHandshakeTimeout:    connecting,
			DisableKeepAlives:      !o.Keep,
			DisableCompression:     true, // an answer is as long as it looks
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// roots reads the CA file; nil means the system's certificates.
func roots(o Options) (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	b, err := safe.File(o.CAFile, MaxAnswer, 0o022)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), o.Whose+" CA file", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fault.New(fault.Invalid, o.Whose+" CA file has no certificate in PEM")
	}
	return pool, nil
}

// Answer is what came back. Body is the caller's to wipe.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Request is what is sent. Values of Header are not copied.
type Request struct {
	Method, URL string
	Header      http.Header
	Body        []byte // nil: none
	Host        string // that the request is for, where it is not the URL's
}

// Do sends a request once. Errors are Unavailable, and name the server as who does,
// like "the transit server".
func Do(ctx context.Context, c *http.Client, who string, in Request) (Answer, error) {
	res, err := send(ctx, c, who, in)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	return whole(ctx, res, who)
}

// Stream sends a request once, and gives an answer with status 200 as it comes: who
// has the stream bounds what it reads, and closes it. Every other answer is as of Do,
// and there is no stream then. patience is how long the answer may take to begin.
func Stream(ctx context.Context, c *http.Client, who string, in Request, patience time.Duration) (Answer, io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	begun := make(chan struct{})
	crash.Go(func() {
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case <-begun:
		case <-late.C:
			cancel()
		}
	}, func(*crash.Panic) { cancel() })
	res, err := send(ctx, c, who, in)
	close(begun)
	if err != nil {
		cancel()
		return Answer{}, nil, err
	}
	if res.StatusCode == http.StatusOK {
		return Answer{Status: res.StatusCode, Header: res.Header}, &stream{res.Body, cancel}, nil
	}
	defer cancel()
	defer func() { _ = res.Body.Close() }() // it was only read
	a, err := whole(ctx, res, who)
	return a, nil, err
}

// stream is an answer that comes bit by bit.
type stream struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (s *stream) Close() error {
	s.cancel()
	return s.ReadCloser.Close()
}

func send(ctx context.Context, c *http.Client, who string, in Request) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, in.Method, in.URL, nil)
	if err != nil {
		return nil, fault.New(fault.Internal, "making the request to "+who)
	}
	if in.Body != nil {
		r.Body = http.NoBody
		if len(in.Body) > 0 {
			r.Body, r.ContentLength = &body{Reader: bytes.NewReader(in.Body)}, int64(len(in.Body))
		}
	}
	if in.Header != nil {
		r.Header = in.Header
	}
	r.Host = in.Host
	res, err := c.Do(r)
	if err != nil {
		return nil, unreachable(who, r.URL, err)
	}
	return res, nil
}

// whole reads an answer to its end.
func whole(ctx context.Context, res *http.Response, who string) (Answer, error) {
	raw, err := safe.All(res.Body, MaxAnswer)
	if err == nil && ctx.Err() != nil { // our own goodbye can make the server end its answer in good order
		clear(raw)
		err = fault.New(fault.Unavailable, "it took too long")
	}
	if err != nil {
		return Answer{}, fault.Wrap(fault.Unavailable, "reading the answer of "+who, err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: raw}, nil
}

// body can't be had again: net/http repeats no request that has one.
type body struct{ *bytes.Reader }

func (*body) Close() error { return nil }

// unreachable is the error of a request without an answer. The cause is Go's own
// text about the connection, with names of hosts.
func unreachable(who string, at *url.URL, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := fault.Newf(fault.Unavailable, "%s %s://%s does not answer: %s", who, at.Scheme, at.Host, fault.Quote(err.Error()))
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return f.WithHint("name the certificate of the server's authority with caFile")
	}
	return f.WithHint("check the address and its port, and that the server runs and can be reached from this one")
}

// RetryAfter is how long an answer asks to be left alone; 0: it doesn't say.
func RetryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
