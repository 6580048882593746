package vaulttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/dbtest"
)

// Database is an engine that makes users of a PostgreSQL, by its role "app", and an
// AppRole "sallyport" with the documentation's policy for that.
type Database struct {
	Postgres         *dbtest.Server
	Mount            string // of the engine, and of the AppRole
	RoleID, SecretID string
}

// Database makes one over a PostgreSQL of the test's own.
func (s *Server) Database(t testing.TB) Database {
	t.Helper()
	d := Database{Postgres: dbtest.Postgres(t), Mount: Name()}
	s.Do(t, "POST", "sys/mounts/"+d.Mount, map[string]any{"type": "database"})
	s.undo(t, "sys/mounts/"+d.Mount)
	s.Do(t, "POST", "sys/auth/"+d.Mount, map[string]any{"type": "approle"})
	s.undo(t, "sys/auth/"+d.Mount)
	s.Connect(t, d, d.Postgres.Port)
	s.Do(t, "POST", d.Mount+"/roles/app", map[string]any{"db_name": "pg", "default_ttl": "1h", "max_ttl": "24h",
		"creation_statements": []string{`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`}})
	role := "auth/" + d.Mount + "/role/sallyport"
	s.Do(t, "POST", role, map[string]any{"token_policies": s.Policy(t, documented(t, d.Mount)), "token_ttl": "1h", "token_max_ttl": "24h"})
	d.RoleID, _ = s.Do(t, "GET", role+"/role-id", nil)["role_id"].(string)
	d.SecretID, _ = s.Do(t, "POST", role+"/secret-id", map[string]any{})["secret_id"].(string)
	return d
}

// Connect has the engine look for its PostgreSQL at a port, whether it is there or not.
func (s *Server) Connect(t testing.TB, d Database, port int) {
	t.Helper()
	s.Do(t, "POST", d.Mount+"/config/pg", map[string]any{"plugin_name": "postgresql-database-plugin", "allowed_roles": []string{"app"}, "username": d.Postgres.Admin, "password": d.Postgres.Password,
		"verify_connection": port == d.Postgres.Port, "connection_url": fmt.Sprintf("postgresql://{{username}}:{{password}}@127.0.0.1:%d/postgres?sslmode=disable&connect_timeout=2", port)})
}

// documented is the policy of docs/bring-your-own-vault.md for dynamic credentials, for
// a mount.
func documented(t testing.TB, mount string) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	for file := ""; ; dir = filepath.Dir(dir) {
		file = filepath.Join(dir, "docs", "bring-your-own-vault.md")
		if _, err := os.Stat(file); err != nil && dir != filepath.Dir(dir) {
			continue
		}
		for _, block := range strings.Split(read(t, file), "```hcl\n")[1:] {
			if policy, _, _ := strings.Cut(block, "```"); strings.Contains(policy, "database/creds/") {
				return strings.ReplaceAll(policy, `"database/creds/sallyport-*"`, `"`+mount+`/creds/app"`)
			}
		}
		t.Fatal("the document has no policy for dynamic credentials")
	}
}
