package sqlite_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

// Tables that somebody else has changed are refused before a row of them is read,
// at a start and in a backup.
func TestADatabaseWithOtherTablesIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ attack, want string }{
		"a trigger that drops entries": {`CREATE TRIGGER hush BEFORE INSERT ON audit_entry WHEN NEW.type = 'row.refused' BEGIN SELECT RAISE(IGNORE); END`, "trigger hush"},
		"a table without its key":      {`ALTER TABLE factor RENAME TO was; CREATE TABLE factor AS SELECT * FROM was; DROP TABLE was`, "table factor"},
		"a view in a table's place":    {`ALTER TABLE schedule_mark RENAME TO was; CREATE VIEW schedule_mark AS SELECT * FROM was`, "table schedule_mark is missing"},
		"an index that is gone":        {`DROP INDEX intent_key`, "index intent_key is missing"},
		"a table more":                 {`CREATE TABLE kept AS SELECT * FROM intent`, "table kept"},
		"a view more":                  {`CREATE VIEW kept AS SELECT * FROM intent`, "view kept"},
		"another condition":            {`DROP INDEX run_open; CREATE INDEX run_open ON run (state) WHERE state = 'waiting'`, "index run_open is not as"},
		"a column more":                {`ALTER TABLE intent ADD COLUMN more TEXT`, "table intent"},
		"a column of another name":     {`ALTER TABLE row_head RENAME COLUMN body TO corpus`, "table row_head is not as"},
		"no table of migrations":       {`DROP TABLE migration`, "table migration is missing"},
		"another table of migrations":  {`DROP TABLE migration; CREATE TABLE migration (number, name, sum)`, "table migration"},
		"a migration to be made again": {`DELETE FROM migration WHERE number = (SELECT max(number) FROM migration)`, "none of this program's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _ := closed(t, 2)
			sound(t, dir)
			alter(t, dir, c.attack)
			seq, err := audit.NewSequencer("", logKey)
			if err != nil {
				t.Fatal(err)
			}
			s, err := sqlite.Open(t.Context(), dir, seq, rowGuard)
			if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), "backup") {
				t.Errorf("the start said %v", err)
			}
			if err == nil {
				_ = s.Close()
			}
			if faults, err := sqlite.Inspect(t.Context(), dir); err != nil || !strings.Contains(strings.Join(faults, "\n"), c.want) {
				t.Errorf("the inspection found %q, %v", faults, err)
			}
		})
	}
}

// alter changes the tables of a store that is closed.
func alter(t *testing.T, dir, query string) {
	t.Helper()
	db := foreign(t, dir)
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// sentWrite makes a Run with a write that was committed, and keeps its row as it
// was when it was approved.
func (c *config) sentWrite() {
	c.t.Helper()
	c.running("run_1")
	it := intent.Intent{Tenant: "acme", ID: "int_1", Run: "run_1", State: intent.Approved, Revision: 1, Connection: "c", Tool: "t", Effect: "write", CreatedAt: noon}
	c.propose(it)
	c.attack(`CREATE TEMP TABLE kept AS SELECT * FROM intent`)
	c.step(intent.Approved, intent.Claimed, intent.Sending, intent.Committed)
}

func (c *config) running(id string) {
	c.t.Helper()
	run := intent.Run{Tenant: "acme", ID: id, Mission: "m", Starter: "worker:night", Worker: intent.Outside, Input: []byte("{}"), State: intent.RunRunning, CreatedAt: noon}
	if _, err := c.s.CreateRun(c.t.Context(), gate.NewRun{Run: run, Events: []audit.Event{{Type: audit.RunStarted, Tenant: "acme", At: noon, Actor: "person:x", Run: id}}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *config) propose(it intent.Intent) {
	c.t.Helper()
	if _, fresh, err := c.s.Propose(c.t.Context(), proposed(it)); err != nil || !fresh {
		c.t.Fatal(fresh, err)
	}
}

func proposed(it intent.Intent) gate.Proposed {
	return gate.Proposed{Intent: it, ArgsDigest: "sha256:x", Own: true, Events: []audit.Event{{Type: audit.IntentDecided, Tenant: "acme", At: noon,
		Actor: "policy:p", Run: it.Run, Intent: it.ID, Fields: map[string]any{"verdict": "approved"}}}}
}

// step takes int_1 through states.
func (c *config) step(states ...intent.State) {
	c.t.Helper()
	entry := map[intent.State]audit.Type{intent.Claimed: audit.IntentClaimed, intent.Sending: audit.IntentSending}
	fence := int64(0)
	for i, to := range states[1:] {
		ev := audit.Event{Type: entry[to], Tenant: "acme", At: noon, Actor: "system:gate", Run: "run_1", Intent: "int_1", Fields: map[string]any{"fence": int64(1)}}
		if ev.Type == "" {
			ev.Type, ev.Fields = audit.IntentOutcome, map[string]any{"state": string(to)}
		}
		if ev.Type == audit.IntentClaimed {
			digest := string(intent.SHA256([]byte("x")))
			ev.Fields["args"], ev.Fields["effect"], ev.Fields["digest"] = digest, "write", digest
		}
		var err error
		if fence, err = c.s.Step(c.t.Context(), commit.Step{Tenant: "acme", Intent: "int_1", Run: "run_1", From: states[i], To: to, Fence: fence, At: noon, Events: []audit.Event{ev}}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// An old row that is there twice: with a sum where what is there twice cancels,
// nothing would be missed. The table is changed after the store was opened, which
// compares it, and before its rows are taken up.
func TestAnOldRowThatIsPutInTwiceIsRefused(t *testing.T) {
	for name, attack := range map[string][]string{
		"old rows alone": {
			`DELETE FROM intent`,
			`ALTER TABLE intent RENAME TO was`,
			`CREATE TABLE intent AS SELECT * FROM temp.kept UNION ALL SELECT * FROM temp.kept`,
			`DROP TABLE was`,
		},
		"beside the present one": {
			`ALTER TABLE intent RENAME TO was`,
			`CREATE TABLE intent AS SELECT * FROM temp.kept UNION ALL SELECT * FROM temp.kept UNION ALL SELECT * FROM was`,
			`DROP TABLE was`,
		},
		"a table that takes one tenant's name for another's": {
			`ALTER TABLE intent RENAME TO was`,
			`CREATE TABLE intent (tenant TEXT COLLATE NOCASE, id, run, ordinal, state, revision, connection, tool, effect, args_digest, edited_digest, key, body, why, result, fence, claimant, sent_at, resent, created_at, updated_at, mac)`,
			`INSERT INTO intent SELECT * FROM temp.kept`, `INSERT INTO intent SELECT * FROM temp.kept`,
			`UPDATE intent SET tenant = 'ACME' WHERE rowid = 2`,
			`DROP TABLE was`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.sentWrite()
			if err := c.s.Close(); err != nil {
				t.Fatal(err)
			}
			c.s = openIn(t, c.dir)
			for _, q := range attack {
				c.attack(q)
			}
			if err := c.s.VerifyRows(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.attack(`CREATE TRIGGER once BEFORE UPDATE ON intent BEGIN DELETE FROM intent WHERE rowid <> OLD.rowid AND id = OLD.id; END`)
			if got, err := c.s.Intent(t.Context(), "acme", "int_1"); !fault.Is(err, fault.Denied) {
				t.Errorf("it was given: %+v, %v", got, err)
			}
			if _, err := c.s.Step(t.Context(), commit.Step{Tenant: "acme", Intent: "int_1", Run: "run_1", From: intent.Approved, To: intent.Claimed, At: noon}); !fault.Is(err, fault.Denied) {
				t.Errorf("it was claimed again: %v", err)
			}
			if got := strings.Join(c.refusals(), ", "); !strings.Contains(got, "intent int_1") {
				t.Errorf("the audit log names %s", got)
			}
		})
	}
}

// Entries that the database was made to drop are missed at once: what they are
// about does not happen.
func TestAStepWhoseEntryIsDroppedFails(t *testing.T) {
	for _, table := range []string{"audit_entry", "audit_hash"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.attack(`CREATE TRIGGER hush BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(IGNORE); END`)
			err := c.s.Apply(t.Context(), "acme", "x", []sqlite.ResourceChange{change(policy("no-drops", "permit (principal, action, resource);"), 1)}, noon)
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("it was applied: %v", err)
			}
			c.attack(`DROP TRIGGER hush`)
			if got, err := c.s.Resources(t.Context(), "acme"); err != nil || len(got) != 2 || got[0].Revision != 1 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
