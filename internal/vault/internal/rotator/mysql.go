package rotator

import (
	"context"
	"crypto/fips140"
	"database/sql/driver"
	"errors"
	"fmt"
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
	c.AllowNativePasswords = !fips140.Enforced() // they are SHA-1, at which the mode panics
	c.AllowCleartextPasswords, c.AllowOldPasswords, c.AllowAllFiles, c.MultiStatements = false, false, false, false
	c.Logger = &mysql.NopLogger{}
	var raw *bounded
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := j.Dial(ctx, address(s), c.TLS == nil)
		if err != nil {
			return nil, err
		}
		raw = &bounded{Conn: conn, plain: c.TLS == nil}
		return raw, nil
	}
	made, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fault.New(fault.Internal, "the database's library can't be set up")
	}
	conn, err := made.Connect(ctx)
	if raw != nil && raw.keyed {
		return nil, fault.New(fault.Denied, "the database asks for a password that is encrypted with a key which nobody vouches for").
			WithHint("users of caching_sha2_password and sha256_password sign in over TLS only")
	}
	if err != nil {
		return nil, myError(err, true)
	}
	return mySession{conn}, nil
}

// set quotes as MySQL's default SQL mode and ANSI_QUOTES both read it: user and
// host in single quotes, and no backslash in either. MySQL from 8 on is told a hash
// of caching_sha2_password, all else one of mysql_native_password, which MySQL 9 does
// not know any more and MariaDB knows alone.
func (mysqlServer) set(j Job, server, user string, password []byte) (string, error) {
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
	if !cachesSHA2(server) && fips140.Enforced() {
		return "", fault.New(fault.Denied, "the database knows passwords by SHA-1 alone, which FIPS mode refuses").
			WithHint("MySQL from 8 on has caching_sha2_password; for MariaDB take a server without fips140=only, or rotate by a program (exec)")
	}
	plugin, hash := "mysql_native_password", ""
	plain.Do(func() {
		if cachesSHA2(server) {
			plugin, hash = "caching_sha2_password", cachingHash(password, Generate(cachingSalt))
		} else {
			hash = nativeHash(password)
		}
	})
	return "ALTER USER " + account + " IDENTIFIED WITH " + plugin + " AS '" + hash + "' ACCOUNT UNLOCK", nil
}

// cachesSHA2 reads a server's VERSION(): "8.4.3", "5.7.44-log", "10.11.6-MariaDB-0".
func cachesSHA2(server string) bool {
	major, _, _ := strings.Cut(server, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 8 && !strings.Contains(server, "MariaDB")
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

// server is its VERSION().
func (s mySession) server(ctx context.Context) (string, error) {
	row, err := s.row(ctx, "SELECT VERSION()")
	if err != nil || len(row) != 1 {
		return "", err
	}
	return row[0], nil
}

// row is the first one of an answer, as text.
func (s mySession) row(ctx context.Context, query string) ([]string, error) {
	q, ok := s.conn.(driver.QueryerContext)
	if !ok {
		return nil, fault.New(fault.Internal, "the database's library runs no query")
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, myError(err, false)
	}
	defer rows.Close() //nolint:errcheck // its first row counts
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		return nil, myError(err, false)
	}
	out := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case []byte:
			out[i] = string(v)
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	return out, nil
}

// myRights are privileges on everything that reach beyond tables: files, users, the
// server. Not SHOW GRANTS, which has the password's hash.
const myRights = "SELECT CONCAT_WS(',', GROUP_CONCAT(DISTINCT CASE WHEN PRIVILEGE_TYPE IN ('SUPER', 'CREATE USER', 'FILE', 'SHUTDOWN', 'RELOAD', 'PROCESS', 'DROP', 'DELETE', 'UPDATE'," +
	" 'SYSTEM_USER', 'ROLE_ADMIN') THEN PRIVILEGE_TYPE END), CASE WHEN MAX(IS_GRANTABLE) = 'YES' THEN 'GRANT OPTION' END)" +
	" FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"

func (s mySession) rights(ctx context.Context) ([]string, error) {
	row, err := s.row(ctx, myRights)
	if err != nil || len(row) != 1 {
		return nil, err
	}
	return words(row[0]), nil
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
	return unreached(err, opening)
}
