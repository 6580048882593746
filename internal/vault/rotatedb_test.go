package vault_test

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"testing"

	"sallyport.dev/internal/dbtest"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// plainDial connects without rules: those are package dial's, and tested there.
func plainDial(ctx context.Context, address string, _ bool) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// login stores a user with a password, for the database alone.
func (f *fixture) login(name, origin, user, password string) {
	f.t.Helper()
	w := vault.Write{Tenant: acme, Name: name, Fields: map[string][]byte{"username": []byte(user), "password": []byte(password)},
		Scope: &vault.Scope{Origins: []string{origin}}, Actor: admin(acme)}
	if _, err := f.Set(f.t.Context(), w); err != nil {
		f.t.Fatal(err)
	}
}

// databases are the real ones.
var databases = map[string]struct {
	kind  resource.RotatorKind
	start func(testing.TB, ...string) *dbtest.Server
	users []string // the statements that make app_a and app_b
	mark  string   // what the log has in a password's place
}{
	"PostgreSQL": {resource.RotatorPostgres, dbtest.Postgres,
		[]string{"CREATE ROLE app_a LOGIN PASSWORD 'the-first-of-app-a-17'", "CREATE ROLE app_b LOGIN"}, "PASSWORD 'SCRAM-SHA-256$4096:"},
	"MariaDB": {resource.RotatorMySQL, dbtest.MariaDB,
		[]string{"CREATE USER 'app_a'@'%' IDENTIFIED BY 'the-first-of-app-a-17'", "CREATE USER 'app_b'@'%' ACCOUNT LOCK"}, "mysql_native_password"},
}

func TestADatabasesPasswordIsReplacedAndStandsInNoLog(t *testing.T) {
	for name, db := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := db.start(t, db.users...)
			f := start(t)
			origin := string(db.kind) + "://127.0.0.1:" + strconv.Itoa(s.Port)
			f.login("db-admin", origin, s.Admin, s.Password)
			f.login("app-db", origin, "app_a", "the-first-of-app-a-17")
			sql := &resource.SQLRotator{Host: "127.0.0.1", Port: s.Port, Network: resource.Network{AllowLoopbackHTTP: true}}
			if db.kind == resource.RotatorPostgres {
				sql.Database = "postgres"
			}
			j := vault.RotationJob{Tenant: acme, Secret: "app-db", ID: "rot_1", Was: 1, Actor: admin(acme), Ways: vault.Ways{Dial: plainDial},
				Rotator: resource.Rotator{Kind: db.kind, Admin: "db-admin", SQL: sql}}
			before := len(s.Log())
			f.one(j, true)

			j.ID, j.Was = "rot_2", 2
			two := *sql
			two.Users = []string{"app_a", "app_b"}
			j.Rotator.SQL = &two
			f.one(j, false)
			if err := f.DeleteVersion(t.Context(), j, 3); !fault.Is(err, fault.Conflict) {
				t.Errorf("the active version's user loses its password: %v", err)
			}
			if err := f.DeleteVersion(t.Context(), j, 2); err != nil {
				t.Fatal(err)
			}
			if err := f.TryVersion(t.Context(), j, 2); !fault.Is(err, fault.Denied) {
				t.Errorf("the user before still signs in: %v", err)
			}
			j.ID, j.Was = "rot_3", 3
			f.one(j, false) // the first user's turn again
			log := s.Log()[before:]
			if !bytes.Contains(log, []byte(db.mark)) {
				t.Fatalf("the server's log has no statement that sets a password: %s", log)
			}
			if names := f.Scrub(acme).Contains(log); len(names) > 0 {
				t.Errorf("the server's log has a password of %v", names)
			}
			other := j
			other.ID, other.Was = "rot_4", 4
			two.Users = []string{"app_x", "app_y"}
			if _, err := f.MakeVersion(t.Context(), other); !fault.Is(err, fault.Invalid) {
				t.Errorf("a user who is none of the two: %v", err)
			}
		})
	}
}

// one takes a rotation from a pending version to the active one.
func (f *fixture) one(j vault.RotationJob, ends bool) {
	f.t.Helper()
	ctx := f.t.Context()
	n, err := f.MakeVersion(ctx, j)
	if err != nil || n != j.Was+1 {
		f.t.Fatalf("version %d: %v", n, err)
	}
	if again, err := f.MakeVersion(ctx, j); err != nil || again != n {
		f.t.Fatalf("made again it is version %d: %v", again, err)
	}
	if err := f.TryVersion(ctx, j, n); !fault.Is(err, fault.Denied) {
		f.t.Fatalf("a password that the system was not told of: %v", err)
	}
	for range 2 { // it can be repeated
		if err := f.ApplyVersion(ctx, j, n); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.TryVersion(ctx, j, n); err != nil {
		f.t.Fatal(err)
	}
	if err := f.TryVersion(ctx, j, j.Was); fault.Is(err, fault.Denied) != ends {
		f.t.Errorf("the version before: %v", err)
	}
	for range 2 {
		if err := f.SwitchVersion(ctx, j, n); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.EndVersion(ctx, j, j.Was); err != nil {
		f.t.Fatal(err)
	}
}

// The admin's credential goes where its usage scope says, and nowhere else.
func TestWhatGivesOrdersIsBoundToItsSystem(t *testing.T) {
	f := start(t)
	f.login("db-admin", "postgres://db.example:5432", "keeper", "the-keepers-own-word-3")
	f.login("app-db", "postgres://elsewhere.example:5432", "app_a", "the-first-of-app-a-17")
	dialled := false
	j := vault.RotationJob{Tenant: acme, Secret: "app-db", ID: "rot_1", Was: 1, Actor: admin(acme),
		Ways:    vault.Ways{Dial: func(context.Context, string, bool) (net.Conn, error) { dialled = true; return nil, net.ErrClosed }},
		Rotator: resource.Rotator{Kind: resource.RotatorPostgres, Admin: "db-admin", SQL: &resource.SQLRotator{Host: "elsewhere.example", Port: 5432}}}
	if _, err := f.MakeVersion(t.Context(), j); !fault.Is(err, fault.Denied) || dialled {
		t.Errorf("another system than the admin's: %v, dialled %v", err, dialled)
	}
	f.set(acme, "any-admin", "a-token-that-may-go-anywhere")
	j.Rotator.Admin = "any-admin"
	if _, err := f.MakeVersion(t.Context(), j); !fault.Is(err, fault.Denied) || dialled {
		t.Errorf("an admin without an origin: %v", err)
	}
}
