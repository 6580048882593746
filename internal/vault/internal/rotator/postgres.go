package rotator

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

type postgres struct{}

// nowhere is a connection string whose every part is replaced below. The library
// takes no configuration that it did not parse itself; these words keep it from the
// environment, password files and service files.
const nowhere = "host=nowhere.invalid port=1 user=nobody dbname=nothing password=none sslmode=disable passfile=/dev/null servicefile=/dev/null connect_timeout=20 target_session_attrs=any"

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
	c.ValidateConnect, c.AfterConnect, c.OnNotice, c.OnNotification = nil, nil, nil, nil
	// The dialler resolves, and checks what it resolved to.
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return j.Dial(ctx, address(s), c.TLSConfig == nil)
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, pgError(err, true)
	}
	return pgSession{conn}, nil
}

func (postgres) set(_ Job, user string, password []byte) (string, error) {
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
	return unreached(opening)
}

// unreached is a database that said nothing.
func unreached(opening bool) error {
	if opening {
		return fault.New(fault.Unavailable, "the database can't be reached")
	}
	return fault.New(fault.Unknown, "the database gave no answer")
}
