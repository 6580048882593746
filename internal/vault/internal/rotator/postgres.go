package rotator

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

type postgres struct{}

// nowhere is a connection string whose every part is replaced below. The library
// takes no configuration that it did not parse itself; these words keep it from the
// environment, password files and service files.
const nowhere = "host=nowhere.invalid port=1 user=nobody dbname=nothing password=none sslmode=disable passfile=/dev/null servicefile=/dev/null connect_timeout=20 target_session_attrs=any require_auth=scram-sha-256"

func (postgres) open(ctx context.Context, j Job, f Fields) (session, error) {
	s := j.Rotator.SQL
	c, err := pgconn.ParseConfig(nowhere)
	if err != nil {
		return nil, fault.New(fault.Internal, "the database's library can't be set up")
	}
	if c.TLSConfig, err = tlsOf(s); err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Database = s.Host, uint16(s.Port), s.Database
	c.User, c.Password = text(f, userField), text(f, "password")
	c.Fallbacks, c.RuntimeParams = nil, map[string]string{"application_name": "sallyport"}
	// A server that asks for the password itself, or for nothing, is none of ours: the
	// one would have it, and of the other a try says nothing.
	c.RequireAuth = "scram-sha-256"
	c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := pgproto3.NewFrontend(r, w)
		f.SetMaxBodyLen(maxSaid)
		return f
	}
	c.ValidateConnect, c.AfterConnect, c.OnNotice, c.OnNotification = nil, nil, nil, nil
	// The dialler resolves, and checks what it resolved to.
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := j.Dial(ctx, address(s), c.TLSConfig == nil)
		if err != nil {
			return nil, err
		}
		return &bounded{Conn: conn}, nil
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, pgError(err, true)
	}
	return pgSession{conn}, nil
}

func (postgres) set(_ Job, _, user string, password []byte) (string, error) {
	if len(user) > resource.MaxRole || strings.Contains(user, "\x00") { // the server would cut it, and change another's
		return "", fault.New(fault.Invalid, "the user's name is too long for PostgreSQL, or has a zero byte")
	}
	quoted := `"` + strings.ReplaceAll(user, `"`, `""`) + `"`
	if password == nil {
		return "ALTER ROLE " + quoted + " PASSWORD NULL", nil
	}
	var v string
	var err error
	plain.Do(func() { v, err = verifier(password, newSalt()) })
	return "ALTER ROLE " + quoted + " PASSWORD '" + v + "'", err // a verifier has no quote in it
}

type pgSession struct{ conn *pgconn.PgConn }

func (s pgSession) exec(ctx context.Context, statement string) error {
	if _, err := s.conn.Exec(ctx, statement).ReadAll(); err != nil {
		return pgError(err, false)
	}
	return nil
}

// pgRights are attributes of the role, and memberships that give the server's files,
// programs or everything that is written in it.
const pgRights = `SELECT concat_ws(',', CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
	CASE WHEN r.rolcreatedb THEN 'createdb' END, CASE WHEN r.rolreplication THEN 'replication' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
	(SELECT string_agg('member:' || m.rolname, ',') FROM pg_catalog.pg_roles m WHERE NOT r.rolsuper AND m.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')
	AND (m.rolsuper OR m.rolcreaterole OR m.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_write_all_data'))))
	FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`

func (s pgSession) rights(ctx context.Context) ([]string, error) {
	all, err := s.conn.Exec(ctx, pgRights).ReadAll()
	if err != nil || len(all) != 1 || len(all[0].Rows) != 1 || len(all[0].Rows[0]) != 1 {
		return nil, pgError(err, false)
	}
	return words(string(all[0].Rows[0][0])), nil
}

// server is of no importance: every one takes a SCRAM verifier.
func (pgSession) server(context.Context) (string, error) { return "", nil }

func (s pgSession) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the statement's own answer counts
}

// pgError keeps the SQLSTATE alone: what the server says may repeat anything.
func pgError(err error, opening bool) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch state := fault.Quote(e.Code); {
		case strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"), strings.HasPrefix(state, "40"):
			return fault.New(fault.Unavailable, "the database takes nothing now (SQLSTATE "+state+")")
		default:
			return fault.New(fault.Denied, "the database refuses (SQLSTATE "+state+")")
		}
	}
	return unreached(err, opening)
}
