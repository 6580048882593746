package app

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault/kek"
)

var builder = ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_bo", Name: "Bo", Roles: []ident.Role{ident.Builder, ident.Requester}}

// again starts the whole program on a directory, as serve does.
func again(t *testing.T, dir string) *App {
	t.Helper()
	a, err := New(t.Context(), Config{Dir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Tenant: "acme", LogHandler: slog.DiscardHandler,
		Now: time.Now, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.WithoutCancel(t.Context())) })
	if err := a.Start(t.Context()); err != nil {
		t.Fatal("a server whose resources were changed does not start, so nobody can look: ", err)
	}
	return a
}

func spoil(t *testing.T, dir, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "data", sqlite.File)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.Exec(query)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("the attack changed %d rows: %v", n, err)
	}
}

// What somebody without a key did to the applied resources while no server ran:
// nothing is admitted, the record names it, and a builder says the set again.
func TestChangedResourcesDenyEverythingUntilTheyAreSaidAgain(t *testing.T) {
	for what, attack := range map[string]string{
		"a Connection may use more Tools":           `UPDATE resource SET body = replace(body, '"list"', '"list","drop"') WHERE kind = 'Connection' AND name = 'erp'`,
		"an Integration is at another origin":       `UPDATE resource SET body = replace(body, 'erp.example', 'evil.example') WHERE kind = 'Integration' AND name = 'erp'`,
		"a Mission loses its limits, by removal":    `DELETE FROM resource WHERE kind = 'Mission'`,
		"a resource of a kind that nobody has":      `UPDATE resource SET kind = 'Nonsense' WHERE kind = 'Mission'`,
		"a resource that is not even JSON any more": `UPDATE resource SET body = '{' WHERE kind = 'Mission'`,
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			var whole []resource.Resource
			t.Run("applied", func(t *testing.T) { // ends with the program's end
				c := open(t, dir, time.Now())
				c.apply()
				stored, err := c.store.Resources(t.Context(), "acme")
				c.must(err)
				for _, s := range stored {
					whole = append(whole, s.Resource)
				}
			})
			spoil(t, dir, attack)

			a := again(t, dir)
			if _, err := a.World("acme"); err == nil {
				t.Error("the changed resources are in force")
			}
			if _, err := a.Gate.StartRun(t.Context(), builder, gate.Start{Mission: "weekly", Via: "api"}); !fault.Is(err, fault.Unavailable) {
				t.Errorf("a Run was started: %v", err)
			}
			rows, err := a.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.RowRefused}, 0, 10)
			if err != nil || len(rows) == 0 || !strings.Contains(string(rows[0].Entry), `"kind":"resource"`) {
				t.Errorf("the record has %v, %v", rows, err)
			}
			if _, err := a.Apply(t.Context(), builder, whole[:1], false, false); !fault.Is(err, fault.Denied) || !strings.Contains(fault.HintOf(err), "--prune") {
				t.Errorf("a part was applied to what can't be trusted: %v", err)
			}
			ch, err := a.Apply(t.Context(), builder, whole, true, false)
			if err != nil || len(ch) != len(whole) || ch[0].Revision < 2 {
				t.Fatalf("the whole set can't be said again: %+v, %v", ch, err)
			}
			if _, err := a.World("acme"); err != nil {
				t.Error(err)
			}
			if _, err := a.Apply(t.Context(), builder, whole[:1], false, false); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// What is compiled is what was verified: a change while the server runs is in
// force nowhere, and is met by the next apply.
func TestResourcesChangedUnderARunningServerAreNotInForce(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, time.Now())
	c.apply()
	before, err := c.World("acme")
	c.must(err)
	spoil(t, dir, `UPDATE resource SET body = replace(body, 'erp.example', 'evil.example') WHERE kind = 'Integration' AND name = 'erp'`)
	m := &resource.Mission{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindMission, Name: "other"}, Goal: "look", Model: "model", Connections: []string{"erp"}}
	if _, err := c.Apply(t.Context(), builder, []resource.Resource{m}, false, false); !fault.Is(err, fault.Denied) {
		t.Errorf("it was applied to what was changed: %v", err)
	}
	if after, err := c.World("acme"); err != nil || after.Catalog != before.Catalog {
		t.Errorf("another configuration is in force: %v", err)
	}
}

// People are refused one by one: the server starts, and everybody else works on.
func TestAChangedAccountOrTeamKeepsTheServerFromNothingElse(t *testing.T) {
	admin := ident.Principal{Tenant: "acme", Kind: ident.System, ID: "setup"}
	for what, c := range map[string]struct {
		attack    string
		inForce   bool
		table     string
		decidable bool // bob is still in the Team
	}{
		"an account": {`UPDATE account SET roles = 'admin' WHERE name = 'ann'`, true, "account", true},
		"a Team":     {`UPDATE team SET name = 'legal'`, false, "team", false},
		"a Run of no tenant": {`INSERT INTO run (tenant, id, mission, starter, starter_name, via, worker, input, state, created_at, mac)
			VALUES ('../x', 'run_x', 'weekly', 'x', 'x', 'x', 'built-in', '{}', 'running', 1, x'00')`, true, "", true},
		"a Run of another tenant": {`INSERT INTO run (tenant, id, mission, starter, starter_name, via, worker, input, state, created_at, mac)
			VALUES ('globex', 'run_x', 'weekly', 'x', 'x', 'x', 'built-in', '{}', 'running', 1, x'00')`, true, "", true},
		"a membership": {`UPDATE team_member SET since = 1 WHERE account = (SELECT id FROM account WHERE name = 'ann')`, false, "team_member", false},
	} {
		t.Run(what, func(t *testing.T) {
			dir, bob := t.TempDir(), ""
			team := &resource.Team{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindTeam, Name: "finance"}, Members: []string{"ann", "bob"}}
			var whole []resource.Resource
			t.Run("applied", func(t *testing.T) {
				w := open(t, dir, time.Now())
				for _, name := range []string{"ann", "bob"} {
					a, _, err := w.Directory.CreateAccount(t.Context(), admin, identity.NewAccount{Tenant: "acme", Name: name, Roles: []ident.Role{ident.Approver}, Password: "correct horse battery"}, w.time)
					w.must(err)
					bob = a.ID
				}
				w.apply()
				_, err := w.Apply(t.Context(), builder, []resource.Resource{team}, false, false)
				w.must(err)
				stored, err := w.store.Resources(t.Context(), "acme")
				w.must(err)
				for _, s := range stored {
					whole = append(whole, s.Resource)
				}
			})
			spoil(t, dir, c.attack)
			a := again(t, dir)
			if _, err := a.World("acme"); (err == nil) != c.inForce {
				t.Errorf("what is applied is in force: %v", err)
			}
			rows, err := a.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.RowRefused}, 0, 10)
			if err != nil || c.table != "" && !slices.ContainsFunc(rows, func(r audit.Row) bool { return strings.Contains(string(r.Entry), `"kind":"`+c.table+`"`) }) {
				t.Errorf("the record does not name it: %d entries, %v", len(rows), err)
			}
			if _, err := a.store.MemberSince(t.Context(), "acme", "finance", bob); (err == nil) != c.decidable {
				t.Errorf("bob's membership: %v", err)
			}
			if _, err := a.store.AccountByID(t.Context(), "acme", bob); err != nil {
				t.Errorf("bob's account: %v", err)
			}
			if !c.inForce {
				if _, err := a.Apply(t.Context(), builder, whole, true, false); err != nil {
					t.Fatal(err)
				}
				since, err := a.store.MemberSince(t.Context(), "acme", "finance", bob)
				if err != nil || time.Since(since) > time.Minute {
					t.Errorf("after the whole set was said again, bob is in the Team since %v: %v", since, err)
				}
			}
		})
	}
}
