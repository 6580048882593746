package vault_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/dbtest"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// What an answer's header says of scopes is kept of the version that it was given to:
// bounded, in plain words, and with nothing that is known to be secret.
func TestWhatAHeaderSaysOfScopesIsKeptInPlainWords(t *testing.T) {
	header := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-OAuth-Scopes", header) }))
	t.Cleanup(s.Close)
	f := start(t)
	f.set(acme, "crm-token", "tok-1-first-Zq83mPw0")
	origin := resource.Origin{Scheme: "http", Host: strings.TrimPrefix(s.URL, "http://")}
	call := func(says string) []string {
		t.Helper()
		header = says
		door, err := f.Open(t.Context(), vault.DoorSpec{Tenant: acme, Secret: "crm-token", Auth: resource.Auth{Scheme: resource.SchemeBearer, Secret: "crm-token"}, Origin: origin, Method: "GET", Base: http.DefaultTransport})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/", nil)
		resp, err := door.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		said := f.Said(acme, "crm-token", 1)
		if len(said) != 1 || said[0].By != vault.SaidHeader {
			t.Fatalf("it said %+v", said)
		}
		return said[0].Words
	}
	if got := call("repo, read:org, repo"); !slices.Equal(got, []string{"read:org", "repo"}) {
		t.Errorf("it is %v", got)
	}
	if got := call("<script>, tok-1-first-Zq83mPw0, \u202eodd, " + strings.Repeat("x", 65) + ", gist"); !slices.Equal(got, []string{"gist"}) {
		t.Errorf("it is %v", got)
	}
	if got := call(strings.Repeat("a,b,c,d,", 1000)); len(got) > 20 {
		t.Errorf("%d words are kept", len(got))
	}
	if said := f.Said(acme, "crm-token", 2); len(said) != 0 {
		t.Errorf("of another version it is %v", said)
	}
	if said := f.Said(globex, "crm-token", 1); len(said) != 0 {
		t.Errorf("of another tenant's it is %v", said)
	}
}

// What came with a token is kept with what was asked for.
func TestATokensScopeIsKeptWithWhatWasAskedFor(t *testing.T) {
	for says, want := range map[string]string{`"tickets:write admin"`: "[admin tickets:write]", `["admin"]`: "", `7`: "", `""`: ""} {
		o := newOffice(t)
		o.scope = says
		f := start(t)
		f.client(o)
		if _, err := f.through(o); err != nil {
			t.Fatalf("%s: %v", says, err)
		}
		said := f.Said(acme, "tickets", 1)
		if want == "" {
			if len(said) != 0 {
				t.Errorf("%s: it is %+v", says, said)
			}
			continue
		}
		if len(said) != 1 || said[0].By != vault.SaidToken || fmt.Sprint(said[0].Words) != want || fmt.Sprint(said[0].Asked) != "[tickets:write]" {
			t.Errorf("%s: it is %+v", says, said)
		}
	}
}

// A real database says what its user is, when a rotation tries the version.
func TestADatabaseSaysWhatItsUserMayDo(t *testing.T) {
	for name, db := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mighty := map[resource.RotatorKind]string{resource.RotatorPostgres: "ALTER ROLE app_b PASSWORD 'the-first-of-app-b-17' CREATEROLE", resource.RotatorMySQL: "GRANT FILE, SELECT ON *.* TO 'app_c'@'%' IDENTIFIED BY 'the-first-of-app-b-17'"}[db.kind]
			user := map[resource.RotatorKind]string{resource.RotatorPostgres: "app_b", resource.RotatorMySQL: "app_c"}[db.kind]
			var s *dbtest.Server = db.start(t, append(slices.Clone(db.users), mighty)...)
			f := start(t)
			origin := string(db.kind) + "://127.0.0.1:" + strconv.Itoa(s.Port)
			for secret, c := range map[string]struct{ user, password, want string }{
				"keeper": {s.Admin, s.Password, map[resource.RotatorKind]string{resource.RotatorPostgres: "superuser", resource.RotatorMySQL: "super"}[db.kind]},
				"user":   {"app_a", "the-first-of-app-a-17", ""},
				"mighty": {user, "the-first-of-app-b-17", map[resource.RotatorKind]string{resource.RotatorPostgres: "createrole", resource.RotatorMySQL: "file"}[db.kind]},
			} {
				f.login(secret, origin, c.user, c.password)
				sql := &resource.SQLRotator{Host: "127.0.0.1", Port: s.Port, Network: resource.Network{AllowLoopbackHTTP: true}}
				if db.kind == resource.RotatorPostgres {
					sql.Database = "postgres"
				}
				j := vault.RotationJob{Tenant: acme, Secret: secret, Was: 1, Actor: admin(acme), Ways: vault.Ways{Dial: plainDial}, Rotator: resource.Rotator{Kind: db.kind, SQL: sql}}
				if err := f.TryVersion(t.Context(), j, 1); err != nil {
					t.Fatalf("%s: %v", secret, err)
				}
				said := f.Said(acme, secret, 1)
				if len(said) != 1 || said[0].By != vault.SaidRole || c.want == "" && len(said[0].Words) > 0 || c.want != "" && !slices.Contains(said[0].Words, c.want) {
					t.Errorf("%s: it said %+v", secret, said)
				}
			}
		})
	}
}
