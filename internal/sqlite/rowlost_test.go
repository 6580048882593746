package sqlite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/intent"
)

// A write that is under way can't be hidden, so that the same is proposed as if
// there had been none: neither by removal nor by a change of what it is found by,
// and not over any number of starts.
func TestAWriteUnderWayCannotBeHiddenFromItsRepetition(t *testing.T) {
	for name, attack := range map[string]string{
		"it is removed":       `DELETE FROM intent`,
		"another Tool":        `UPDATE intent SET tool = 'other'`,
		"a final state":       `UPDATE intent SET state = 'DENIED'`,
		"another Run":         `UPDATE intent SET run = 'run_2'`,
		"another effect":      `UPDATE intent SET effect = 'read'`,
		"another tenant":      `UPDATE intent SET tenant = 'globex'`,
		"a digest of no call": `UPDATE intent SET args_digest = 'sha256:y'`,
		"an index without it": ``,
	} {
		for starts := range 3 {
			t.Run(fmt.Sprint(name, ", ", starts, " starts later"), func(t *testing.T) {
				t.Parallel()
				c := newConfig(t)
				c.running("run_1")
				c.running("run_2")
				it := intent.Intent{Tenant: "acme", ID: "int_1", Run: "run_1", State: intent.Approved, Revision: 1, Connection: "c", Tool: "t", Effect: "write", Digest: intent.SHA256([]byte("x")), CreatedAt: noon}
				c.propose(it)
				c.step(intent.Approved, intent.Claimed, intent.Sending)
				if attack == "" {
					c.unindexed("intent_same")
				} else {
					c.attack(attack)
				}
				for range starts {
					c.again()
				}
				again := it
				again.ID = "int_2"
				got, fresh, err := c.s.Propose(t.Context(), proposed(again))
				if attack == "" {
					if found := err == nil && got.ID == "int_1"; fresh || !found && !fault.Is(err, fault.Denied) {
						t.Errorf("it was proposed again: %+v, %v, %v", got, fresh, err)
					}
					return
				}
				if !fault.Is(err, fault.Denied) || fresh || !strings.Contains(fault.HintOf(err), "row.refused") {
					t.Errorf("it was proposed again: %+v, %v, %v", got, fresh, err)
				}
				again.Key = "k"
				if _, fresh, err = c.s.Propose(t.Context(), proposed(again)); !fault.Is(err, fault.Denied) || fresh {
					t.Errorf("it was proposed again with a key: %v, %v", fresh, err)
				}
				if !slices.Contains(c.refusals(), "intent int_1") {
					t.Errorf("the audit log names %v", c.refusals())
				}
				read := intent.Intent{Tenant: "acme", ID: "int_3", Run: "run_1", State: intent.Claimed, Revision: 1, Connection: "c", Tool: "t", Effect: "read", CreatedAt: noon}
				c.propose(read) // looking helps to find out
				other := it
				other.ID, other.Run = "int_4", "run_2"
				c.propose(other)
			})
		}
	}
}

// unindexed makes an index of the live file forget its rows, as damage would.
func (c *config) unindexed(name string) {
	c.t.Helper()
	for _, q := range []string{`PRAGMA writable_schema = ON`, `UPDATE sqlite_schema SET sql = sql || ' WHERE tool = ''none''' WHERE name = '` + name + `'`,
		`PRAGMA writable_schema = RESET`, `REINDEX ` + name,
		`PRAGMA writable_schema = ON`, `UPDATE sqlite_schema SET sql = replace(sql, ' WHERE tool = ''none''', '') WHERE name = '` + name + `'`,
		`PRAGMA writable_schema = RESET`} {
		c.attack(q)
	}
}

// What was lost and is put back as it was goes on: then it is known what became of
// it.
func TestAWriteUnderWayThatIsPutBackAsItWasGoesOn(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.running("run_1")
	it := intent.Intent{Tenant: "acme", ID: "int_1", Run: "run_1", State: intent.Approved, Revision: 1, Connection: "c", Tool: "t", Effect: "write", Digest: intent.SHA256([]byte("x")), CreatedAt: noon}
	c.propose(it)
	c.attack(`CREATE TEMP TABLE old AS SELECT * FROM intent`)
	c.step(intent.Approved, intent.Claimed, intent.Sending)
	c.attack(`CREATE TEMP TABLE kept AS SELECT * FROM intent`)
	c.attack(`DELETE FROM intent`)
	c.again()
	c.attack(`INSERT INTO intent SELECT * FROM old`)
	c.again()
	if got, err := c.s.Intent(t.Context(), "acme", "int_1"); !fault.Is(err, fault.Denied) {
		t.Errorf("an old row was given: %+v, %v", got, err)
	}
	c.attack(`DELETE FROM intent`)
	c.attack(`INSERT INTO intent SELECT * FROM kept`)
	for range 2 {
		c.again()
		it.ID = "int_2"
		if got, fresh, err := c.s.Propose(t.Context(), proposed(it)); err != nil || fresh || got.ID != "int_1" {
			t.Errorf("%+v, %v, %v", got, fresh, err)
		}
	}
}

// A Run that is under way can't be hidden from the key that started it.
func TestARunUnderWayCannotBeHiddenFromItsKey(t *testing.T) {
	for name, attack := range map[string]string{
		"it is removed":  `DELETE FROM run`,
		"another key":    `UPDATE run SET start_key = 'x'`,
		"without a key":  `UPDATE run SET start_key = NULL`,
		"as it had been": `UPDATE run SET state = 'ended'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			run := intent.Run{Tenant: "acme", ID: "run_1", Mission: "m", Starter: "person:x", Worker: intent.Outside, Input: []byte("{}"), State: intent.RunRunning, CreatedAt: noon}
			start := gate.NewRun{Run: run, Key: "k", Events: []audit.Event{{Type: audit.RunStarted, Tenant: "acme", At: noon, Actor: "person:x", Run: "run_1"}}}
			if _, err := c.s.CreateRun(t.Context(), start); err != nil {
				t.Fatal(err)
			}
			c.attack(attack)
			start.Run.ID = "run_2"
			if got, err := c.s.CreateRun(t.Context(), start); !fault.Is(err, fault.Denied) {
				t.Errorf("it was started again: %+v, %v", got, err)
			}
			if !slices.Contains(c.refusals(), "run run_1") {
				t.Errorf("the audit log names %v", c.refusals())
			}
		})
	}
}
