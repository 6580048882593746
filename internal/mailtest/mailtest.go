// Package mailtest is a mail server for tests: SMTP over a real socket with
// STARTTLS or implicit TLS, AUTH PLAIN and LOGIN, and a mailbox to look into. It
// keeps to the order of commands that RFC 5321, 3207 and 4954 ask for, and refuses a
// client that does not; and it can be told to behave badly.
//
// It refuses nothing for the product: it is linked into tests alone.
package mailtest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options say how the server behaves; the zero value is a good one without AUTH.
type Options struct {
	Implicit  bool // TLS from the first byte
	NoTLS     bool // no STARTTLS
	User      string
	Password  string   // with User: AUTH is offered, once TLS is on or NoTLS is set
	Mechanism string   // offered: "PLAIN LOGIN" unless said
	Refuse    []string // recipients that it does not know
	Greeting  string   // in place of "220 ..."
	Answer    string   // to the end of a message, in place of "250 ok"
	Hang      bool     // say nothing, ever
}

// Mail is one message as it arrived.
type Mail struct {
	From string
	To   []string
	Data string // dots and line ends undone
	TLS  bool
	User string // who signed in
}

// Server is a running one; its test's end closes it.
type Server struct {
	Host    string
	Port    int
	RootCAs *x509.CertPool // who vouches for it: for 127.0.0.1 and example.com

	o    Options
	cert tls.Certificate

	mu     sync.Mutex
	mails  []Mail
	heard  strings.Builder // every line that clients said
	change chan struct{}   // has an element when there is another message
}

// Start starts one on loopback.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	h := httptest.NewTLSServer(nil) // for its certificate
	defer h.Close()
	s := &Server{o: o, cert: h.TLS.Certificates[0], RootCAs: x509.NewCertPool(), change: make(chan struct{}, 1)}
	s.RootCAs.AddCert(h.Certificate())
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	s.Host, s.Port = "127.0.0.1", addr.Port
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer func() { _ = c.Close() }(); s.serve(c) })
		}
	})
	return s
}

// Mails are those that were accepted, in order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Heard is every line that clients said.
func (s *Server) Heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard.String()
}

// Arrived has an element when another message was accepted.
func (s *Server) Arrived() <-chan struct{} { return s.change }

// session is one connection.
type session struct {
	*Server
	c    net.Conn
	r    *bufio.Reader
	tls  bool
	helo bool
	user string
	mail Mail
}

func (s *Server) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if s.o.Hang {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	x := &session{Server: s, c: c}
	if s.o.Implicit {
		x.secure()
	}
	x.r = bufio.NewReader(x.c)
	greeting := s.o.Greeting
	if greeting == "" {
		greeting = "220 mail.example.com ESMTP"
	}
	x.say(greeting)
	for x.command() {
	}
}

func (x *session) secure() {
	x.c = tls.Server(x.c, &tls.Config{Certificates: []tls.Certificate{x.cert}, MinVersion: tls.VersionTLS12})
	x.r, x.tls, x.helo = bufio.NewReader(x.c), true, false // RFC 3207, 4.2: as after the greeting
}

func (x *session) say(line string) { _, _ = io.WriteString(x.c, line+"\r\n") }

func (x *session) line() (string, bool) {
	s, err := x.r.ReadString('\n')
	x.mu.Lock()
	x.heard.WriteString(s)
	x.mu.Unlock()
	return strings.TrimSuffix(s, "\r\n"), err == nil && strings.HasSuffix(s, "\r\n") && len(s) <= 12<<10
}

// command answers one; false ends the session.
func (x *session) command() bool {
	line, ok := x.line()
	if !ok {
		return false
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); {
	case verb == "QUIT":
		x.say("221 bye")
		return false
	case verb == "EHLO":
		x.hello()
	case !x.helo:
		x.say("503 say EHLO first")
	case verb == "STARTTLS" && !x.tls && !x.o.NoTLS:
		x.say("220 go ahead")
		x.secure()
	case verb == "AUTH":
		return x.auth(rest)
	case x.o.User != "" && x.user == "":
		x.say("530 5.7.0 sign in first")
	case verb == "MAIL":
		x.mail = Mail{From: address(rest), TLS: x.tls, User: x.user}
		x.say("250 ok")
	case verb == "RCPT":
		x.recipient(address(rest))
	case verb == "DATA" && len(x.mail.To) > 0:
		return x.data()
	default:
		x.say("503 not now")
	}
	return true
}

func (x *session) hello() {
	x.helo = true
	lines := []string{"mail.example.com"}
	if !x.tls && !x.o.NoTLS {
		lines = append(lines, "STARTTLS")
	}
	if x.o.User != "" && (x.tls || x.o.NoTLS) {
		m := x.o.Mechanism
		if m == "" {
			m = "PLAIN LOGIN"
		}
		lines = append(lines, "AUTH "+m)
	}
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		x.say("250" + sep + l)
	}
}

// auth takes PLAIN with an initial answer, and LOGIN. A refusal repeats what it
// was given, as bad servers do.
func (x *session) auth(rest string) bool {
	mechanism, initial, _ := strings.Cut(rest, " ")
	var user, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		b, _ := base64.StdEncoding.DecodeString(initial)
		if parts := strings.Split(string(b), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		for _, p := range []struct {
			ask  string
			into *string
		}{{"VXNlcm5hbWU6", &user}, {"UGFzc3dvcmQ6", &password}} {
			x.say("334 " + p.ask)
			line, ok := x.line()
			if !ok {
				return false
			}
			b, _ := base64.StdEncoding.DecodeString(line)
			*p.into = string(b)
		}
	}
	if user == "" || user != x.o.User || password != x.o.Password {
		x.say("535 5.7.8 no: " + user + " " + password + " " + initial)
		return true
	}
	x.user = user
	x.say("235 welcome")
	return true
}

func (x *session) recipient(to string) {
	for _, r := range x.o.Refuse {
		if r == to {
			x.say("550 5.1.1 nobody here: " + to)
			return
		}
	}
	x.mail.To = append(x.mail.To, to)
	x.say("250 ok")
}

func (x *session) data() bool {
	x.say("354 go on")
	var b strings.Builder
	for {
		line, ok := x.line()
		if !ok {
			return false
		}
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\n")
	}
	if x.o.Answer != "" {
		x.say(x.o.Answer)
		return true
	}
	x.mail.Data = b.String()
	x.mu.Lock()
	x.mails = append(x.mails, x.mail)
	x.mu.Unlock()
	x.mail = Mail{}
	x.say("250 ok")
	select {
	case x.change <- struct{}{}:
	default:
	}
	return true
}

// address takes what stands between the angle brackets.
func address(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
