package rotator

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/go-sql-driver/mysql"

	"sallyport.dev/internal/fault"
)

// maxSaid is the most bytes that a database may say in a session: a sign-in and a
// few words. A server that goes on is cut off.
const maxSaid = 256 << 10

// keyMark is how a server's public key begins, which the library would encrypt the
// password with. Without TLS that key may be anybody's.
var keyMark = []byte("-----BEGIN ")

// bounded is a connection to a database.
type bounded struct {
	net.Conn
	plain bool
	said  int
	tail  []byte // the end of what was read, in which a mark may have begun
	keyed bool   // a public key was sent without TLS
}

var errCut = errors.New("the server says too much, or what it may not")

// Read takes what the server says, up to the bound.
func (c *bounded) Read(p []byte) (int, error) {
	if c.said >= maxSaid || c.keyed {
		return 0, errCut
	}
	n, err := c.Conn.Read(p[:min(len(p), maxSaid-c.said)])
	c.said += n
	if c.plain {
		seen := append(c.tail, p[:n]...)
		if bytes.Contains(seen, keyMark) {
			c.keyed = true
			return 0, errCut
		}
		c.tail = bytes.Clone(seen[max(0, len(seen)-len(keyMark)+1):])
	}
	return n, err
}

// unproven says that a server did not show who it is, or would not speak TLS.
func unproven(err error) bool {
	var cert *tls.CertificateVerificationError
	var name x509.HostnameError
	var who x509.UnknownAuthorityError
	var old x509.CertificateInvalidError
	return errors.As(err, &cert) || errors.As(err, &name) || errors.As(err, &who) || errors.As(err, &old) || errors.Is(err, mysql.ErrNoTLS)
}

// unreached is a database that said nothing which counts.
func unreached(err error, opening bool) error {
	switch {
	case opening && unproven(err):
		return fault.New(fault.Unavailable, "the database does not show over TLS that it is the one of the policy").
			WithHint("its certificate has to be for the policy's host, in its time, from the policy's ca or one that this machine trusts")
	case opening:
		return fault.New(fault.Unavailable, "the database can't be reached, or takes no sign-in that is safe")
	}
	return fault.New(fault.Unknown, "the database gave no answer")
}
