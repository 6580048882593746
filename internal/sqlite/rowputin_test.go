package sqlite_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/storetest"
)

// Who puts in rows by the thousand makes neither the start slow nor the audit log
// long.
func TestManyRowsThatWerePutInAreRecordedTogether(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	const n = 3000
	c.attack(`WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 3000)
		INSERT INTO factor SELECT 'acme', printf('fac_%026d', n), 'a', 'm', 'x', 1, 0, x'00' FROM i`)
	c.again()
	rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.RowRefused}, 0, n)
	if err != nil || len(rows) != 101 || !strings.Contains(string(rows[100].Entry), "2900 more rows") {
		t.Errorf("%d entries, %v", len(rows), err)
	}
	if got := len(c.s.RefusedRows()); got != n+1 { // and the one that says how many more
		t.Errorf("%d rows are refused", got)
	}
	c.again()
	if got := len(c.refusals()); got > 101 {
		t.Errorf("the next start records them again: %d", got)
	}
}

// A value that the driver gives back as a time or a truth value must not pass for
// NULL, which the row's MAC covers.
func TestAValueOfAnotherTypeIsNotNull(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.running("run_1")
	for _, q := range []string{
		`ALTER TABLE run RENAME TO was`,
		`CREATE TABLE run (tenant, id, mission, starter, starter_name, via, worker, auth, source, input, salt, state, verdict, summary, segment, turns, tokens_in, tokens_out,
			cost_usd, incidents, refusals, rests, start_key DATETIME, created_at, ended_at, erased_at, mac)`,
		`INSERT INTO run SELECT * FROM was`, `UPDATE run SET start_key = '2026-01-05 09:00:00'`,
	} {
		c.attack(q)
	}
	if r, err := c.s.Run(t.Context(), "acme", "run_1"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "start_key") {
		t.Errorf("%+v, %v", r, err)
	}
}

// What was hidden while a person's sessions ended is worth nothing when it is put
// back as it was.
func TestASessionThatWasHiddenWhileItEndedIsWorthNothing(t *testing.T) {
	for name, hide := range map[string]string{
		"removed": `DELETE FROM session`,
		"moved":   `UPDATE session SET account = (SELECT id FROM account WHERE name = 'eve')`,
		"changed": `UPDATE session SET bind = 'x'`,
		"ended":   `UPDATE session SET ended_at = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openIn(t, dir)
			w, db := storetest.NewWorld(t, s), foreign(t, dir)
			ann := w.Human("acme", "ann")
			w.Human("acme", "eve")
			_, token := ann.SignIn()
			exec := func(q string) {
				if _, err := db.Exec(q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			exec(`CREATE TEMP TABLE kept AS SELECT * FROM session`)
			exec(hide)
			if err := w.Dir.Disable(t.Context(), storetest.Admin("acme"), "acme", ann.Account.ID, true, w.Now); err != nil {
				t.Fatal(err)
			}
			if err := w.Dir.Disable(t.Context(), storetest.Admin("acme"), "acme", ann.Account.ID, false, w.Now); err != nil {
				t.Fatal(err)
			}
			exec(`DELETE FROM session`)
			exec(`INSERT INTO session SELECT * FROM kept`)
			if p, err := w.Dir.Authenticate(t.Context(), token, w.Now); err == nil {
				t.Errorf("it authenticates %v", p)
			}
		})
	}
}

// A Run that has ended has no token, whatever the table of tokens says.
func TestATokenThatIsPutBackIsNoTokenOfAnEndedRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	w, db := storetest.NewWorld(t, s), foreign(t, dir)
	w.Run("acme", "run_1")
	token, err := w.Dir.MintRun(t.Context(), "acme", "run_1", w.Now.Add(time.Hour), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Dir.Authenticate(t.Context(), token, w.Now); err != nil {
		t.Fatal(err)
	}
	exec := func(q string) {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	exec(`CREATE TEMP TABLE kept AS SELECT * FROM run_token`)
	if err := s.EndRun(t.Context(), "acme", "run_1", "stopped", "", w.Now,
		audit.Event{Type: audit.RunEnded, Tenant: "acme", At: w.Now, Actor: string(ident.Person) + ":x", Run: "run_1"},
		explain.Observation{Tenant: "acme", Run: "run_1", At: w.Now, Kind: explain.Verdict}); err != nil {
		t.Fatal(err)
	}
	exec(`DELETE FROM run_token_end`)
	exec(`INSERT INTO run_token SELECT * FROM kept`)
	for range 2 {
		if p, err := w.Dir.Authenticate(t.Context(), token, w.Now); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("it authenticates %v: %v", p, err)
		}
		exec(`DELETE FROM run`)
	}
}
