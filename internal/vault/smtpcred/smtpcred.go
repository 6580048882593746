// Package smtpcred is the door to a mail server: it takes a connection, makes it a
// TLS connection to the one host, signs in, and then takes messages. The
// credential is given to that connection and to nothing else; there is no value of
// this package from which it could be had.
//
// It refuses to sign in without TLS (but to a server on this machine, where the
// Channel says so), to a certificate that is not the host's, to a server that
// offers neither PLAIN nor LOGIN, and to hand over a message that carries a secret
// of the tenant.
//
// # Security
//
// What a server says is foreign and may repeat what it was sent: of an error, the
// reply's number is kept and nothing else. All that it says is bounded in bytes
// and in time. After STARTTLS nothing is used that was said before it (RFC 3207,
// section 4.2).
package smtpcred

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/smtp"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// maxHeard is all that a server may say in a session, in bytes.
const maxHeard = 256 << 10

// Config is what a session is made of.
type Config struct {
	Conn    net.Conn         // to Server; the session closes it
	Server  string           // "host:port"; the host is whom the certificate has to be for
	TLS     resource.MailTLS // empty: starttls
	RootCAs *x509.CertPool   // nil: the machine's
	Hello   string           // the name that the client says it has
	// Username is who signs in; empty: the field username. The password is the
	// field password, or else token. Fields nil: nobody signs in.
	Username string
	Fields   map[string]plain.Value
	Known    *scrub.Set        // every secret of the tenant
	Latest   func() *scrub.Set // the same, when a message is handed over
}

// Session is a mail server that takes messages. It is for one goroutine.
type Session struct {
	client *smtp.Client
	conn   net.Conn
	known  *scrub.Set
	latest func() *scrub.Set
}

// Login greets the server, makes the connection TLS and signs in. ctx bounds all
// of it. Invalid: the Secret has not what is needed. Denied: the server, its
// certificate or its offer is refused, or it refuses the credential. Unavailable:
// all else. With an error the connection is closed.
func Login(ctx context.Context, c Config) (*Session, error) {
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil || c.Conn == nil || c.Known == nil || c.Latest == nil {
		return nil, fault.New(fault.Internal, "a session without a connection, a server or scrubbing")
	}
	s := &Session{conn: &bounded{Conn: c.Conn, left: maxHeard}, known: c.Known, latest: c.Latest}
	defer s.within(ctx)()
	if err = s.greet(c, host); err == nil && c.Fields != nil {
		// The strings that net/smtp needs can't be wiped; made in here, they are
		// erased in a build that erases.
		plain.Do(func() { err = s.signIn(c, host) })
	}
	if err != nil {
		s.hangUp()
		return nil, failure(ctx, err)
	}
	return s, nil
}

// within has the connection end with ctx. What it returns ends that.
func (s *Session) within(ctx context.Context) (stop func()) {
	if d, ok := ctx.Deadline(); ok {
		_ = s.conn.SetDeadline(d) // on a connection that is closed, the next read says so
	}
	cut := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { cut() }
}

// greet makes it a TLS connection to the host, or one within this machine.
func (s *Session) greet(c Config, host string) (err error) {
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs}
	switch c.TLS {
	case resource.MailImplicit:
		s.conn = tls.Client(s.conn, conf)
	case resource.MailPlain:
		if !local(c.Conn) {
			return fault.New(fault.Denied, "without TLS only a mail server on this machine is spoken to")
		}
	case resource.MailStartTLS, "":
	default:
		return fault.New(fault.Invalid, "the way to reach the mail server is not known")
	}
	if s.client, err = smtp.NewClient(s.conn, host); err != nil {
		return err
	}
	if err = s.client.Hello(c.Hello); err != nil || c.TLS == resource.MailImplicit || c.TLS == resource.MailPlain {
		return err
	}
	if ok, _ := s.client.Extension("STARTTLS"); !ok {
		return fault.New(fault.Denied, "the mail server offers no STARTTLS").
			WithHint("use its port with implicit TLS, or another server: nothing is sent in the clear")
	}
	return s.client.StartTLS(conf)
}

// local reports whether the other end is on this machine, by its address.
func local(c net.Conn) bool {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// Send hands one message over. It is accepted when there is no error: then the
// server has taken it for at least one of the recipients, and refused is how many
// it did not take. Denied: the message carries a known secret, or the server
// refuses it for good. Unavailable: all else; it may have been accepted.
func (s *Session) Send(ctx context.Context, from string, to []string, message []byte) (refused int, err error) {
	defer s.within(ctx)()
	for _, known := range []*scrub.Set{s.known, s.latest()} {
		if known != nil && len(known.Contains(message)) > 0 {
			return 0, fault.New(fault.Denied, "the message carries a known secret")
		}
	}
	if err := s.client.Mail(from); err != nil {
		return 0, failure(ctx, err)
	}
	var last error
	for _, r := range to {
		if err := s.client.Rcpt(r); err != nil {
			refused, last = refused+1, err
		}
	}
	if refused == len(to) {
		if last == nil {
			return 0, fault.New(fault.Invalid, "the message has no recipient")
		}
		return refused, failure(ctx, last)
	}
	w, err := s.client.Data()
	if err == nil {
		if _, err = w.Write(message); err == nil {
			err = w.Close() // waits for the server's word
		}
	}
	if err != nil {
		return refused, failure(ctx, err)
	}
	return refused, nil
}

// Close says goodbye, and ends the connection however that goes.
func (s *Session) Close(ctx context.Context) {
	defer s.within(ctx)()
	_ = s.client.Quit() // the message was accepted before
	s.hangUp()
}

func (s *Session) hangUp() { _ = s.conn.Close() }
