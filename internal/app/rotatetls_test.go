package app

import (
	"strconv"
	"testing"
	"time"

	"sallyport.dev/internal/dbtest"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// It must see inside: the ways are the program's own, with its rules on addresses.

// Passwords of real databases are replaced over TLS. A server of another name, of
// another authority, or whose certificate is over gets none, and nothing goes in
// plain text but to this machine where the policy says so.
func TestADatabasesPasswordIsReplacedOverTLSAlone(t *testing.T) {
	ca, other := dbtest.NewAuthority(t), dbtest.NewAuthority(t)
	for name, db := range map[string]struct {
		kind  resource.RotatorKind
		start func(testing.TB, dbtest.Certificate, ...string) *dbtest.Server
		users []string
	}{
		"PostgreSQL": {resource.RotatorPostgres, dbtest.PostgresTLS, []string{"CREATE ROLE app_a LOGIN PASSWORD 'the-first-of-app-a-17'"}},
		"MariaDB":    {resource.RotatorMySQL, dbtest.MariaDBTLS, []string{"CREATE USER 'app_a'@'%' IDENTIFIED BY 'the-first-of-app-a-17' REQUIRE SSL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := db.start(t, ca.For(t, "localhost", time.Now().Add(time.Hour)), db.users...)
			over := db.start(t, ca.For(t, "localhost", time.Now().Add(-time.Minute)), db.users...)
			s := newSoak(t)
			origin := func(host string, d *dbtest.Server) string {
				return string(db.kind) + "://" + host + ":" + strconv.Itoa(d.Port)
			}
			scope := &vault.Scope{Origins: []string{origin("localhost", good), origin("127.0.0.1", good), origin("localhost", over)}}
			for secret, login := range map[string][2]string{"app-db": {"app_a", "the-first-of-app-a-17"}, "db-admin": {good.Admin, good.Password}} {
				_, err := s.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: secret, Scope: scope, Actor: soakAs,
					Fields: map[string][]byte{"username": []byte(login[0]), "password": []byte(login[1])}})
				s.must(err)
			}
			sql := resource.SQLRotator{Host: "localhost", Port: good.Port, CA: ca.PEM, Network: resource.Network{AllowPrivate: []string{"127.0.0.0/8"}}}
			if db.kind == resource.RotatorPostgres {
				sql.Database = "postgres"
			}
			rotator := func(change func(*resource.SQLRotator)) resource.Rotator {
				q := sql
				change(&q)
				return resource.Rotator{Kind: db.kind, Admin: "db-admin", SQL: &q}
			}
			s.policy("app-db", resource.Rotation{Rotator: rotator(func(*resource.SQLRotator) {})})
			s.rotate("app-db", 2)
			for name, c := range map[string]struct {
				change func(*resource.SQLRotator)
				taken  bool
			}{
				"as it is":              {func(*resource.SQLRotator) {}, true},
				"another name":          {func(q *resource.SQLRotator) { q.Host = "127.0.0.1" }, false},
				"another authority":     {func(q *resource.SQLRotator) { q.CA = other.PEM }, false},
				"the machine's":         {func(q *resource.SQLRotator) { q.CA = "" }, false},
				"a certificate of once": {func(q *resource.SQLRotator) { q.Port = over.Port }, false},
				"an address not named":  {func(q *resource.SQLRotator) { q.Network = resource.Network{} }, false},
			} {
				r := rotator(c.change)
				ways, err := s.ways(r)
				s.must(err)
				err = s.Vault.TryVersion(t.Context(), vault.RotationJob{Tenant: "acme", Secret: "app-db", Was: 3, Rotator: r, Ways: ways, Actor: soakAs}, 3)
				if c.taken != (err == nil) || err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Without TLS to anything but loopback nothing is dialled.
			r := rotator(func(q *resource.SQLRotator) {
				q.CA, q.Network = "", resource.Network{AllowLoopbackHTTP: true, AllowPrivate: []string{"10.0.0.0/8"}}
			})
			ways, err := s.ways(r)
			s.must(err)
			if c, err := ways.Dial(t.Context(), "10.1.2.3:"+strconv.Itoa(good.Port), true); err == nil || !fault.Is(err, fault.Denied) {
				t.Errorf("plain text to another machine: %v, %v", c, err)
			}
		})
	}
}
