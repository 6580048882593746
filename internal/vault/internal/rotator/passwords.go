package rotator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// signIn bounds a sign-in and a statement.
const signIn = 20 * time.Second

// database is what PostgreSQL and MySQL differ in. Errors are as of [Rotator], of
// fixed words.
type database interface {
	// open signs in; the caller closes it.
	open(ctx context.Context, j Job, f Fields) (session, error)
	// set is the statement that gives a user a password, or with none takes the
	// user's away; server is what the session says that it is.
	set(j Job, server, user string, password []byte) (string, error)
}

// session is a signed-in connection.
type session interface {
	exec(ctx context.Context, statement string) error
	server(ctx context.Context) (string, error)
	// rights are what its user may do to the server itself, or to all of its data.
	rights(ctx context.Context) ([]string, error)
	close()
}

// passwords rotates those of a database.
type passwords struct{ db database }

// Create can't: we choose.
func (passwords) Create(context.Context, Job) (Made, error) { return Made{}, errNotOne("create") }

// Find can't, and need not: to set a password twice is to set it once.
func (passwords) Find(context.Context, Job) ([]string, error) { return nil, errNotOne("find") }

// Apply sets the version's password. Without one there is nothing to be set: that would
// take the user's away.
func (p passwords) Apply(ctx context.Context, j Job) error {
	password := plain.Bytes(j.Version["password"])
	if len(password) == 0 {
		return fault.New(fault.Denied, "the version has no password")
	}
	return p.order(ctx, j, password)
}

// Delete takes the user's password away, so that nobody signs in with it.
func (p passwords) Delete(ctx context.Context, j Job) error { return p.order(ctx, j, nil) }

func (p passwords) order(ctx context.Context, j Job, password []byte) error {
	user := text(j.Version, userField)
	if s := j.Rotator.SQL; user == "" || len(s.Users) > 0 && !slices.Contains(s.Users, user) {
		return fault.New(fault.Denied, "the version's user is none that this rotation may change")
	}
	if len(j.Rotator.SQL.Users) == 0 && password == nil {
		return errNotOne("delete")
	}
	ctx, cancel := context.WithTimeout(ctx, signIn)
	defer cancel()
	s, err := p.db.open(ctx, j, j.Admin)
	if err != nil {
		return err
	}
	defer s.close()
	server, err := s.server(ctx)
	if err != nil {
		return err
	}
	statement, err := p.db.set(j, server, user, password)
	if err != nil {
		return err
	}
	return s.exec(ctx, statement)
}

// Try signs in with the version.
func (p passwords) Try(ctx context.Context, j Job) error {
	ctx, cancel := context.WithTimeout(ctx, signIn)
	defer cancel()
	s, err := p.db.open(ctx, j, j.Version)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.exec(ctx, "SELECT 1"); err != nil || j.Said == nil {
		return err
	}
	if words, err := s.rights(ctx); err == nil { // that it does not say is no fault of the password
		j.Said(words)
	}
	return nil
}

func address(s *resource.SQLRotator) string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// tlsOf is how the server shows who it is; nil: without TLS, to loopback alone,
// which the dialler holds.
func tlsOf(s *resource.SQLRotator) (*tls.Config, error) {
	if s.Network.AllowLoopbackHTTP {
		return nil, nil //nolint:nilnil // no TLS is an answer
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Host}
	if s.CA != "" {
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, fault.New(fault.Invalid, "the certificates in ca can't be read")
		}
	}
	return c, nil
}

// words are those of a list, in lower case.
func words(list string) []string {
	return strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ',' })
}
