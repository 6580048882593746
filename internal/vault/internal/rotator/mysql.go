package rotator

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

type mysqlServer struct{}

func (mysqlServer) open(ctx context.Context, j Job, f Fields) (session, error) {
	s := j.Rotator.SQL
	c := mysql.NewConfig()
	var err error
	if c.TLS, err = tlsOf(s); err != nil {
		return nil, err
	}
	c.Net, c.Addr, c.DBName = "tcp", address(s), s.Database
	c.User, c.Passwd = text(f, userField), text(f, "password")
	c.Timeout, c.ReadTimeout, c.WriteTimeout = signIn, signIn, signIn
	c.AllowCleartextPasswords, c.AllowOldPasswords, c.AllowAllFiles, c.MultiStatements = false, false, false, false
	c.Logger = &mysql.NopLogger{}
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return j.Dial(ctx, address(s), c.TLS == nil)
	}
	made, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fault.New(fault.Internal, "the database's library can't be set up")
	}
	conn, err := made.Connect(ctx)
	if err != nil {
		return nil, myError(err, true)
	}
	return mySession{conn}, nil
}

// set quotes as MySQL's default SQL mode and ANSI_QUOTES both read it: user and
// host in single quotes, and no backslash in either.
func (mysqlServer) set(j Job, user string, password []byte) (string, error) {
	host := j.Rotator.SQL.UserHost
	if host == "" {
		host = "%"
	}
	if strings.ContainsAny(user+host, `'\`) {
		return "", fault.New(fault.Invalid, "the user's name has a quote or a backslash")
	}
	account := "'" + user + "'@'" + host + "'"
	if password == nil {
		return "ALTER USER " + account + " ACCOUNT LOCK", nil
	}
	var hash string
	plain.Do(func() { hash = nativeHash(password) })
	return "ALTER USER " + account + " IDENTIFIED WITH mysql_native_password AS '" + hash + "' ACCOUNT UNLOCK", nil
}

type mySession struct{ conn driver.Conn }

func (s mySession) exec(ctx context.Context, statement string) error {
	x, ok := s.conn.(driver.ExecerContext)
	if !ok {
		return fault.New(fault.Internal, "the database's library runs no statement")
	}
	if _, err := x.ExecContext(ctx, statement, nil); err != nil {
		return myError(err, false)
	}
	return nil
}

func (s mySession) close() { _ = s.conn.Close() } // the statement's own answer counts

// myError keeps the number alone.
func myError(err error, opening bool) error {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		switch e.Number {
		case 1040, 1053, 1203, 1205, 1213: // too many connections, shutdown, lock waits
			return fault.New(fault.Unavailable, "the database takes nothing now (error "+strconv.Itoa(int(e.Number))+")")
		}
		return fault.New(fault.Denied, "the database refuses (error "+strconv.Itoa(int(e.Number))+")")
	}
	return unreached(opening)
}
