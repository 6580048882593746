package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// config is a tenant's resources in a store, and who can write the file.
type config struct {
	t   *testing.T
	dir string
	s   *sqlite.Store
	db  *sql.DB
}

func newConfig(t *testing.T) *config {
	c := &config{t: t, dir: t.TempDir()}
	c.s = openIn(t, c.dir)
	c.db = foreign(t, c.dir)
	c.apply(c.s.Apply, change(policy("no-drops", "forbid (principal, action, resource);"), 0), change(policy("reads", "permit (principal, action, resource);"), 0))
	return c
}

func policy(name, cedar string) *resource.Policy {
	return &resource.Policy{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindPolicy, Name: name}, Cedar: cedar}
}

func change(p *resource.Policy, was int64) sqlite.ResourceChange {
	return sqlite.ResourceChange{Kind: p.Kind, Name: p.Name, Resource: p, Was: was,
		Event: audit.Event{Type: audit.ResourceApplied, Tenant: "acme", At: noon, Actor: "person:acc_builder"}}
}

type applies func(context.Context, ident.Tenant, string, []sqlite.ResourceChange, time.Time) error

func (c *config) apply(how applies, changes ...sqlite.ResourceChange) {
	c.t.Helper()
	if err := how(c.t.Context(), "acme", "person:acc_builder", changes, noon); err != nil {
		c.t.Fatal(err)
	}
}

func (c *config) again() {
	c.t.Helper()
	if err := c.s.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.s = openIn(c.t, c.dir)
	if err := c.s.VerifyRows(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *config) attack(query string) {
	c.t.Helper()
	if _, err := c.db.Exec(query); err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
}

func (c *config) refusals() (out []string) {
	c.t.Helper()
	rows, err := c.s.Audit().List(c.t.Context(), "acme", audit.Filter{Type: audit.RowRefused}, 0, 100)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range rows {
		e, err := audit.ParseEntry(r.Entry)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(e.Fields["kind"], " ", e.Fields["name"]))
	}
	return out
}

// The set of what is applied is refused as a whole: what is missing may be what
// forbids. An admin who has looked says the whole set again.
func TestAppliedResourcesAreTheSetThatWasApplied(t *testing.T) {
	const forbids, kept = "Policy/no-drops", `CREATE TEMP TABLE kept AS SELECT * FROM resource WHERE name = 'no-drops'`
	stricter := func(c *config) {
		c.attack(kept)
		c.apply(c.s.Apply, change(policy("no-drops", "forbid (principal, action, resource); // and more"), 1))
	}
	for what, attack := range map[string]struct {
		before func(*config)
		sql    []string
		named  string
	}{
		"a Policy is changed to permit":           {nil, []string{`UPDATE resource SET body = replace(body, 'forbid', 'permit') WHERE name = 'no-drops'`}, forbids},
		"a Policy that forbids is gone":           {nil, []string{`DELETE FROM resource WHERE name = 'no-drops'`}, forbids},
		"an old Policy is put back":               {stricter, []string{`DELETE FROM resource WHERE name = 'no-drops'`, `INSERT INTO resource SELECT * FROM kept`}, forbids},
		"a Policy is put in":                      {nil, []string{`INSERT INTO resource SELECT tenant, kind, 'more', revision, body, applied_at, mac FROM resource WHERE name = 'reads'`}, "Policy/more"},
		"a Policy gets another's body":            {nil, []string{`UPDATE resource SET (body, mac) = (SELECT body, mac FROM resource WHERE name = 'reads') WHERE name = 'no-drops'`}, forbids},
		"a Policy gets another's name":            {nil, []string{`UPDATE resource SET name = 'x' WHERE name = 'no-drops'`}, forbids},
		"a Policy goes to globex":                 {nil, []string{`UPDATE resource SET tenant = 'globex' WHERE name = 'no-drops'`}, forbids},
		"a revision is lowered":                   {nil, []string{`UPDATE resource SET revision = 0 WHERE name = 'no-drops'`}, forbids},
		"everything is gone":                      {nil, []string{`DELETE FROM resource`}, forbids},
		"a Policy and all that is known are gone": {nil, []string{`DELETE FROM resource WHERE name = 'no-drops'`, `DELETE FROM row_head`}, forbids},
	} {
		for _, between := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", what, between), func(t *testing.T) {
				t.Parallel()
				c := newConfig(t)
				if attack.before != nil {
					attack.before(c)
				}
				for _, q := range attack.sql {
					c.attack(q)
				}
				if between {
					c.again()
				}
				c.wantRefused(attack.named)
				err := c.s.Apply(t.Context(), "acme", "x", []sqlite.ResourceChange{change(policy("no-drops", "permit (principal, action, resource);"), 1)}, noon)
				if err == nil && between {
					t.Error("a change of a refused resource was applied")
				}
				c.again()
				c.wantRefused(attack.named) // also when nobody looks for a while
				c.apply(c.s.Replace, change(policy("no-drops", "forbid (principal, action, resource);"), 0))
				for range 2 {
					got, err := c.s.Resources(t.Context(), "acme")
					if err != nil || len(got) != 1 || got[0].Revision < 3 {
						t.Fatalf("after the whole set was said again: %+v, %v", got, err)
					}
					c.again()
				}
			})
		}
	}
}

// What an apply of the whole set drops is off the record as well: it can't come
// back when the sums are lost, and without an attack their loss changes nothing.
func TestWhatWasReplacedStaysAway(t *testing.T) {
	for name, attack := range map[string][]string{
		"nothing":                           nil,
		"the sums are lost":                 {`DELETE FROM row_head`},
		"the sums are lost, a row is back":  {`DELETE FROM row_head`, `INSERT INTO resource SELECT * FROM kept`},
		"a row is back, the sums are there": {`INSERT INTO resource SELECT * FROM kept`},
	} {
		for _, between := range []bool{false, true} { // the start at which the removal was found, and the repair
			t.Run(fmt.Sprintf("%s, restarted %v", name, between), func(t *testing.T) {
				t.Parallel()
				c := newConfig(t)
				c.attack(`CREATE TEMP TABLE kept AS SELECT * FROM resource WHERE name = 'reads'`)
				c.attack(`DELETE FROM resource`)
				if between {
					c.again()
					c.again()
				}
				c.apply(c.s.Replace, change(policy("no-drops", "forbid (principal, action, resource);"), 0))
				before := len(c.refusals())
				if err := c.s.Close(); err != nil {
					t.Fatal(err)
				}
				for _, q := range attack {
					c.attack(q)
				}
				c.s = openIn(t, c.dir)
				if err := c.s.VerifyRows(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, err := c.s.Resources(t.Context(), "acme")
				if len(attack) == 0 || len(attack) == 1 && strings.HasPrefix(attack[0], "DELETE") {
					for _, r := range c.refusals()[before:] {
						if !strings.HasPrefix(r, "row_head ") {
							t.Errorf("a false alarm: %s", r)
						}
					}
					if err != nil || len(got) != 1 {
						t.Errorf("%+v, %v", got, err)
					}
				} else if !fault.Is(err, fault.Denied) || len(got) != 0 {
					t.Errorf("what was dropped is back: %+v, %v", got, err)
				}
			})
		}
	}
}

func (c *config) wantRefused(named string) {
	c.t.Helper()
	got, err := c.s.Resources(c.t.Context(), "acme")
	if !fault.Is(err, fault.Denied) || len(got) != 0 || !strings.Contains(fault.HintOf(err), "--prune") {
		c.t.Errorf("the resources are %+v, %v", got, err)
	}
	for _, r := range c.refusals() {
		if r == "resource "+named {
			return
		}
	}
	c.t.Errorf("the audit log names %v, not %s", c.refusals(), named)
}

// What the audit log says can't be bent to fit an old row: its own entries are
// compared with what was signed.
func TestAnOldRowWithTheLogBentToItIsRefused(t *testing.T) {
	for what, bend := range map[string]string{
		"the last entry is gone":     `DELETE FROM audit_entry WHERE idx = (SELECT max(idx) FROM audit_entry)`,
		"the last entry is hidden":   `UPDATE audit_entry SET type = 'run.ended' WHERE idx = (SELECT max(idx) FROM audit_entry)`,
		"the last entry is altered":  `UPDATE audit_entry SET entry = (SELECT entry FROM audit_entry WHERE idx = 1) WHERE idx = (SELECT max(idx) FROM audit_entry)`,
		"all that is known is gone":  `DELETE FROM row_head`,
		"what is known is put back":  `UPDATE row_head SET (nonce, body, mac) = (SELECT nonce, body, mac FROM kept_head)`,
		"another tenant's is put in": `INSERT INTO row_head SELECT 'globex', nonce, body, mac FROM row_head`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.attack(`CREATE TEMP TABLE kept AS SELECT * FROM resource WHERE name = 'no-drops'`)
			c.attack(`CREATE TEMP TABLE kept_head AS SELECT * FROM row_head`)
			c.apply(c.s.Apply, change(policy("no-drops", "forbid (principal, action, resource); // and more"), 1))
			c.attack(`DELETE FROM resource WHERE name = 'no-drops'`)
			c.attack(`INSERT INTO resource SELECT * FROM kept`)
			c.attack(bend)
			if err := c.s.Close(); err != nil {
				t.Fatal(err)
			}
			c.s = openIn(t, c.dir)
			if err := c.s.VerifyRows(t.Context()); err == nil {
				if got, err := c.s.Resources(t.Context(), "acme"); !fault.Is(err, fault.Denied) || len(got) != 0 {
					t.Errorf("the resources are %+v, %v", got, err)
				}
			} else if !fault.Is(err, fault.Unavailable) { // nothing can be checked: nothing is given
				t.Error(err)
			}
		})
	}
}

// A step that is undone leaves what is known as it was.
func TestWhatIsUndoneIsNotKnown(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	stale := []sqlite.ResourceChange{change(policy("no-drops", "forbid (principal, action, resource); // once more"), 1), change(policy("reads", ""), 7)}
	if err := c.s.Apply(t.Context(), "acme", "x", stale, noon); !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := c.s.Resources(t.Context(), "acme"); err != nil || len(got) != 2 || got[0].Revision != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		c.again()
	}
	if r := c.refusals(); len(r) != 0 {
		t.Errorf("a false alarm: %v", r)
	}
}

// A reader sees a row an instant before, or after, the process knows that it was
// committed. That is no attack.
func TestReadersBesideWritersRaiseNoFalseAlarm(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	run := intent.Run{Tenant: "acme", ID: "run_1", Mission: "m", Worker: intent.Outside, Input: []byte("{}"), State: intent.RunRunning, CreatedAt: noon}
	if _, err := c.s.CreateRun(t.Context(), gate.NewRun{Run: run}); err != nil {
		t.Fatal(err)
	}
	const writes = 12
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		writers.Go(func() {
			for range writes {
				if _, err := c.s.Refuse(t.Context(), "run_1", ended(1), explain.Observation{Tenant: "acme", Run: "run_1", At: noon, Kind: explain.Check}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Go(func() {
		for n := range int64(writes) {
			c.apply(c.s.Apply, change(policy("no-drops", fmt.Sprintf("forbid (principal, action, resource); // %d", n)), n+1))
		}
	})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := c.s.Run(t.Context(), "acme", "run_1"); err != nil {
					t.Error(err)
				}
				if runs, err := c.s.OpenRuns(t.Context()); err != nil || len(runs) != 1 {
					t.Errorf("%d Runs, %v", len(runs), err)
				}
				if _, err := c.s.Resources(t.Context(), "acme"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	c.again()
	if r := c.refusals(); len(r) != 0 {
		t.Errorf("false alarms: %v", r)
	}
}
