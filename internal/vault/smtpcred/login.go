package smtpcred

import (
	"errors"
	"net"
	"net/smtp"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// signIn authenticates with the first of the two mechanisms that the server
// offers. Both send the password itself, which is why TLS comes first.
func (s *Session) signIn(c Config, host string) error {
	user := c.Username
	if v, ok := c.Fields["username"]; user == "" && ok {
		user = string(plain.Bytes(v))
	}
	v, ok := c.Fields["password"]
	if !ok {
		v, ok = c.Fields["token"]
	}
	if user == "" || !ok {
		return fault.New(fault.Invalid, "the secret has no user name or no password").
			WithHint("store the fields username and password, or name the username in the Channel and store the password as token")
	}
	password := string(plain.Bytes(v))
	if strings.ContainsAny(user+password, "\x00\r\n") {
		return fault.New(fault.Invalid, "the secret's value has a line break").WithHint("store the value without it")
	}
	_, offered := s.client.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(offered))
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return s.client.Auth(&login{host: host, secure: s.secure(), first: func() (string, []byte) {
			return "PLAIN", []byte("\x00" + user + "\x00" + password) // RFC 4616
		}})
	case slices.Contains(mechanisms, "LOGIN"):
		return s.client.Auth(&login{host: host, secure: s.secure(), first: func() (string, []byte) { return "LOGIN", nil },
			next: []func() []byte{func() []byte { return []byte(user) }, func() []byte { return []byte(password) }}})
	}
	return fault.New(fault.Denied, "the mail server offers no sign-in that is known").WithHint("it has to offer PLAIN or LOGIN once TLS is on")
}

// secure reports whether the credential may be said on the connection: it is TLS
// with the host, or does not leave this machine.
func (s *Session) secure() bool {
	_, on := s.client.TLSConnectionState()
	return on || local(s.conn)
}

// login is a net/smtp.Auth that stays in this package. Its credential is in
// closures, where no printer finds it.
type login struct {
	host   string
	secure bool
	first  func() (mechanism string, answer []byte)
	next   []func() []byte // answers to what the server asks, in order
}

var errInsecure error = fault.New(fault.Denied, "the connection to the mail server is not the one to sign in on")

// Start says the mechanism.
func (l *login) Start(to *smtp.ServerInfo) (string, []byte, error) {
	if !l.secure || to.Name != l.host {
		return "", nil, errInsecure
	}
	mechanism, answer := l.first()
	return mechanism, answer, nil
}

// Next answers what the server asks; what it asks is not looked at, since user
// name and password come in one order only.
func (l *login) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if len(l.next) == 0 {
		return nil, fault.New(fault.Denied, "the mail server asks for more than a name and a password")
	}
	answer := l.next[0]()
	l.next = l.next[1:]
	return answer, nil
}

// bounded is a connection of which only so much is read.
type bounded struct {
	net.Conn
	left int64
}

var errTooMuch = errors.New("the server says too much")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.Conn.Read(p)
	b.left -= int64(n)
	return n, err
}
