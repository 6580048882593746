// Package dial is how the Boundary reaches a system: one pool of connections
// per Integration, and one way to send a request through a door and to say
// what became of it.
//
// It refuses plain HTTP but to loopback by opt-in, every address that is not
// public unless the Integration names its range, a proxy from the environment,
// and to send a write a second time. It follows no redirect.
//
// # Security
//
// The address is checked when the socket is about to connect, after
// resolution, so that a name that resolves differently the second time gains
// nothing. net/http by itself repeats requests that it holds for idempotent; a
// [Pool] takes from every write what that needs.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// The limits of a connection. What bounds a whole call is its context.
const (
	connectTimeout   = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	// idleTimeout is short, so that a write seldom meets a connection that the
	// system is just closing: then its outcome would be unknown.
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 64 << 10
	maxIdlePerHost = 256 // sixteen agents on net/http's default of 2 pay a TLS handshake on most calls
)

// Options are what a test or an installation changes.
type Options struct {
	RootCAs  *x509.CertPool // who vouches for a system's certificate; nil: the machine's
	Resolver *net.Resolver  // nil: the machine's
}

// Pool is an Integration's connections: a RoundTripper that the vault puts its
// door in front of. Safe for concurrent use.
type Pool struct {
	tls, plain         *http.Transport
	tlsOnce, plainOnce *http.Transport // for a write without a body; see RoundTrip
	loopback           bool
}

// Transport makes the pool for what an Integration permits. The error is of
// kind Invalid: a range that can't be read.
func Transport(n resource.Network, o Options) (*Pool, error) {
	r, err := parse(n)
	if err != nil {
		return nil, err
	}
	return &Pool{
		tls: transport(r, o, false, false), plain: transport(r, o, true, false),
		tlsOnce: transport(r, o, false, true), plainOnce: transport(r, o, true, true),
		loopback: r.loopback,
	}, nil
}

func transport(r rules, o Options, plain, once bool) *http.Transport {
	d := dialer(r, o, plain)
	t := &http.Transport{
		Proxy:                  nil, // never the environment's
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxIdleConns:           4 * maxIdlePerHost,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		DisableKeepAlives:      once,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(!plain && !once)
	return t
}

// dialer checks each address right before it is connected to.
func dialer(r rules, o Options, plain bool) *net.Dialer {
	return &net.Dialer{
		Timeout:  connectTimeout,
		Resolver: o.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fault.New(fault.Denied, "the system's address is not an IP address")
			}
			return r.check(ap.Addr(), plain)
		},
	}
}

// Conn connects to "host:port" of a system that does not speak HTTP, under the
// same rules. plain says that no TLS follows: then only loopback is connected to.
// Errors are fixed sentences.
func Conn(ctx context.Context, n resource.Network, o Options, address string, plain bool) (net.Conn, error) {
	n.AllowLoopbackHTTP = n.AllowLoopbackHTTP || plain
	r, err := parse(n)
	if err != nil {
		return nil, err
	}
	c, err := dialer(r, o, plain).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, explain(err, false)
	}
	return c, nil
}

// RoundTrip sends the request. net/http repeats a request on another
// connection when a kept one breaks, if it has no body or one that can be had
// again, and its method or an idempotency header says that this is harmless;
// over HTTP/2 also on a refused stream. For us a write leaves once. So a body
// can't be had again, and a write without one goes over an HTTP/1.1 connection
// of its own, which net/http never repeats on.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	plain := req.URL.Scheme == "http"
	if plain && !p.loopback || !plain && req.URL.Scheme != "https" {
		closeBody(req)
		return nil, fault.New(fault.Denied, "the system's URL is not https").
			WithHint("plain HTTP needs allowLoopbackHTTP in the Integration's network, and goes to loopback only")
	}
	t, once := p.tls, p.tlsOnce
	if plain {
		t, once = p.plain, p.plainOnce
	}
	x := exchangeOf(req.Context())
	switch {
	case req.Body != nil && req.Body != http.NoBody:
		if req.GetBody != nil {
			req = req.WithContext(req.Context()) // a RoundTripper does not change its caller's request
			req.GetBody = nil
		}
	case x.write || req.Method != http.MethodGet && req.Method != http.MethodHead:
		t = once
	}
	resp, err := t.RoundTrip(req)
	x.note(err)
	return resp, err
}

// CloseIdleConnections lets go of what is not in use.
func (p *Pool) CloseIdleConnections() {
	for _, t := range []*http.Transport{p.tls, p.plain, p.tlsOnce, p.plainOnce} {
		t.CloseIdleConnections()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
