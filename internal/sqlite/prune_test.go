package sqlite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

// prune prunes until it goes no further.
func prune(t testing.TB, s *sqlite.Store, below int64, before time.Time) sqlite.PrunedTo {
	t.Helper()
	for {
		to, err := s.PruneAudit(t.Context(), sqlite.Prune{Tenant: "acme", Below: below, Before: before,
			Event: audit.Event{At: began.Add(1000 * time.Second), Actor: "person:acc_adm", Fields: map[string]any{"kind": "request", "why": "it is old"}}})
		if err != nil {
			t.Fatal(err)
		}
		if to.Stopped != "" {
			return to
		}
	}
}

// young is a tenant whose resources were applied before the first call.
func young(t *testing.T) *config {
	c := &config{t: t, dir: t.TempDir()}
	c.s = openIn(t, c.dir)
	c.db = foreign(t, c.dir)
	p := change(policy("no-drops", "forbid (principal, action, resource);"), 0)
	p.Event.At = began
	c.apply(c.s.Apply, p)
	return c
}

// pruned is a log of two keys and a thousand calls, without its first half.
func pruned(t *testing.T) (c *config, kept []byte, receipt []byte) {
	t.Helper()
	c = young(t)
	calls(t, c.s, 0, 200)
	if _, err := c.s.RotateAuditKey(t.Context(), audit.Event{Tenant: "acme", At: began.Add(200 * time.Second), Actor: "person:acc_adm"}); err != nil {
		t.Fatal(err)
	}
	calls(t, c.s, 200, 300)
	head, err := c.s.Audit().Head(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Prove(t.Context(), c.s.Audit(), "acme", 100)
	if err != nil {
		t.Fatal(err)
	}
	calls(t, c.s, 300, 1000)
	if to := prune(t, c.s, 2000, time.Time{}); to.Minimum != 1792 {
		t.Fatalf("%+v", to)
	}
	return c, head.Checkpoint, r.Marshal()
}

func firstKey(t *testing.T, c *config) string {
	t.Helper()
	rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.LogOpened}, 0, 1)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	e, err := audit.ParseEntry(rows[0].Entry)
	if err != nil {
		t.Fatal(err)
	}
	return e.Fields["verifier"].(string)
}

func TestWhatIsLeftOfAPrunedLogVerifiesAndEveryProofOfBeforeHolds(t *testing.T) {
	c, kept, receipt := pruned(t)
	o := audit.VerifyOptions{VerifierKey: firstKey(t, c), KeptCheckpoint: kept}
	rep := verify(t, c.dir, o)
	if l := rep.Logs[0]; !rep.OK() || l.Minimum != 1792 || l.Kept < 4 || l.Kept > 10 || l.Pruned < 3000 {
		t.Errorf("%+v", l)
	}
	if p, err := audit.VerifyReceipt(receipt, audit.ReceiptOptions{VerifierKey: o.VerifierKey}); err != nil || !p.OK() {
		t.Errorf("%v, %v", p.Findings, err)
	}
	if _, err := audit.Prove(t.Context(), c.s.Audit(), "acme", 100); !fault.Is(err, fault.NotFound) {
		t.Errorf("a receipt of what is gone: %v", err)
	}
	if r, err := audit.Prove(t.Context(), c.s.Audit(), "acme", 1793); err != nil || len(r.Handovers) != 1 {
		t.Errorf("%d handovers, %v", len(r.Handovers), err)
	}
	if a := asked(t, c.s, audit.Query{Record: "V-17"}); len(a.Uses) != 0 {
		t.Errorf("%+v", a)
	}
	if a := asked(t, c.s, audit.Query{Record: "V-900"}); len(a.Uses) != 1 || len(a.Uses[0].Entries) != 3 {
		t.Errorf("%+v", a)
	}
	// The action at the edge is whole, or gone.
	for i := 590; i < 600; i++ {
		if a := asked(t, c.s, audit.Query{Intent: fmt.Sprintf("int_%d", i)}); len(a.Uses) > 0 && len(a.Uses[0].Entries) != 3 {
			t.Errorf("int_%d: %+v", i, a)
		}
	}
	if err := c.s.ReindexAudit(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	calls(t, c.s, 1000, 1100) // it goes on
	if to := prune(t, c.s, 3000, time.Time{}); to.Minimum != 2816 {
		t.Errorf("%+v", to)
	}
	if rep := verify(t, c.dir, o); !rep.OK() || rep.Logs[0].Minimum != 2816 {
		t.Errorf("%+v", rep.Findings())
	}
}

// Attacks by who writes the file and has no key of the log.
func TestAPrunedLogIsToldFromOneThatWasTamperedWith(t *testing.T) {
	for name, c := range map[string]struct {
		sql  string
		want audit.FindingKind
	}{
		"a kept entry is gone":      {`DELETE FROM audit_entry WHERE type = 'log.key_rotated'`, audit.PrunedBad},
		"more is gone":              {`DELETE FROM audit_entry WHERE idx BETWEEN 1792 AND 2047`, audit.EntryMissing},
		"the entry that says it":    {`DELETE FROM audit_entry WHERE type = 'log.pruned'`, audit.EntryMissing},
		"its column":                {`UPDATE audit_entry SET type = 'run.ended' WHERE type = 'log.pruned'`, audit.PrunedBad},
		"its words":                 {`UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), '"minimum":1792', '"minimum":2048') AS BLOB) WHERE type = 'log.pruned'`, audit.EntryAltered},
		"a hash of what was pruned": {`UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = 40`, audit.HashAltered},
		"a kept entry is altered":   {`UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), '"generation":1', '"generation":2') AS BLOB) WHERE type = 'log.key_rotated'`, audit.EntryAltered},
		"one is put there":          {`INSERT INTO audit_entry SELECT tenant, 300, at, type, actor, run, intent, connection, entry FROM audit_entry WHERE idx = 2000`, audit.EntryMisplaced},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, _, _ := pruned(t)
			x.attack(c.sql)
			rep := verify(t, x.dir, audit.VerifyOptions{})
			if !slices.ContainsFunc(rep.Findings(), func(f audit.Finding) bool { return f.Kind == c.want }) {
				t.Errorf("found %v, want %s", rep.Findings(), c.want)
			}
		})
	}
}

// Attack: the beginning of a log that nobody pruned is taken away, and the rest says
// nothing about it.
func TestABeginningThatIsGoneWasNotPruned(t *testing.T) {
	c := young(t)
	calls(t, c.s, 0, 300)
	c.attack(`DELETE FROM audit_entry WHERE idx < 512`)
	if rep := verify(t, c.dir, audit.VerifyOptions{}); !slices.ContainsFunc(rep.Findings(), func(f audit.Finding) bool { return f.Kind == audit.EntryMissing }) {
		t.Errorf("found %v", rep.Findings())
	}
}

// Attack: what was altered is pruned, so that nobody finds it.
func TestWhatWasAlteredIsNotPruned(t *testing.T) {
	for name, attack := range map[string]string{
		"an entry":  `UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'V-8"', 'V-9"') AS BLOB) WHERE idx = 26`,
		"is gone":   `DELETE FROM audit_entry WHERE idx = 27`,
		"its hash":  `UPDATE audit_hash SET hash = zeroblob(32) WHERE idx = 50`,
		"the kept":  `DELETE FROM audit_entry WHERE idx = 0`,
		"one added": `INSERT INTO audit_entry SELECT tenant, 5000, at, type, actor, run, intent, connection, entry FROM audit_entry WHERE idx = 30`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := young(t)
			calls(t, c.s, 0, 300)
			c.attack(attack)
			to, err := c.s.PruneAudit(t.Context(), sqlite.Prune{Tenant: "acme", Below: 9999, Event: audit.Event{At: noon, Actor: "person:acc_adm"}})
			if name == "one added" { // it is beyond the log: what is in it is pruned, and verifying finds the other
				if rep := verify(t, c.dir, audit.VerifyOptions{}); err != nil || rep.Findings()[0].Kind != audit.EntryExtra {
					t.Errorf("%v, %v", err, rep.Findings())
				}
				return
			}
			if !fault.Is(err, fault.Denied) {
				t.Errorf("%+v, %v", to, err)
			}
		})
	}
}

// Attack: an entry is altered with its hash after the log was verified, so that it
// seems to be one that may go, and the hash is put right when it is gone.
func TestWhatWasAlteredWithItsHashIsNotPruned(t *testing.T) {
	c := young(t)
	calls(t, c.s, 0, 300)
	if err := c.s.SetHold(t.Context(), intent.Hold{Tenant: "acme", Kind: intent.HoldRun, Name: "run_3", Since: noon, By: "acc_adm", Reason: "a case"},
		audit.Event{Type: audit.HoldSet, Tenant: "acme", At: noon, Actor: "person:acc_adm"}); err != nil {
		t.Fatal(err)
	}
	for i := range int64(900) {
		rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{}, i, 1)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v, %v", rows, err)
		}
		forged := strings.ReplaceAll(string(rows[0].Entry), `"run_3"`, `"run_x"`)
		if forged == string(rows[0].Entry) {
			continue
		}
		hash := audit.Leaf([]byte(forged))
		if _, err := c.db.Exec(`UPDATE audit_entry SET entry = ?, run = 'run_x' WHERE idx = ?`, []byte(forged), i); err != nil {
			t.Fatal(err)
		}
		if _, err := c.db.Exec(`UPDATE audit_hash SET hash = ? WHERE idx = ?`, hash[:], tlog.StoredHashIndex(0, i)); err != nil {
			t.Fatal(err)
		}
	}
	to, err := c.s.PruneAudit(t.Context(), sqlite.Prune{Tenant: "acme", Below: 9999, Event: audit.Event{At: noon, Actor: "person:acc_adm"}})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("what is under a hold was pruned: %+v, %v", to, err)
	}
}

// Attack: the same, with the entry that says what was kept, and one of those is gone.
func TestWhatWasKeptIsNotForgottenByTheNextPruning(t *testing.T) {
	c, _, _ := pruned(t)
	rows, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.LogPruned}, 0, 1)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	var kept audit.KeptList
	all, err := c.s.Audit().List(t.Context(), "acme", audit.Filter{}, 0, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Index < 1792 && r.Type != audit.LogKeyRotated {
			kept.Add(r.Index)
		}
	}
	e, err := audit.ParseEntry(rows[0].Entry)
	if err != nil {
		t.Fatal(err)
	}
	n, digest := kept.Sum()
	forged := strings.ReplaceAll(string(rows[0].Entry), e.Fields["digest"].(string), digest)
	forged = strings.ReplaceAll(forged, fmt.Sprintf(`"kept":%d`, e.Fields["kept"]), fmt.Sprintf(`"kept":%d`, n))
	hash := audit.Leaf([]byte(forged))
	if _, err := c.db.Exec(`UPDATE audit_entry SET entry = ? WHERE idx = ?`, []byte(forged), e.Index); err != nil {
		t.Fatal(err)
	}
	if _, err := c.db.Exec(`UPDATE audit_hash SET hash = ? WHERE idx = ?`, hash[:], tlog.StoredHashIndex(0, e.Index)); err != nil {
		t.Fatal(err)
	}
	c.attack(`DELETE FROM audit_entry WHERE type = 'log.key_rotated'`)
	to, err := c.s.PruneAudit(t.Context(), sqlite.Prune{Tenant: "acme", Below: 2304, Event: audit.Event{At: noon, Actor: "person:acc_adm"}})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("what was kept is gone, and nobody knows: %+v, %v", to, err)
	}
}

// The rows are compared with what the log says is there, also where the entries that
// said it are long past.
func TestRowsAreComparedWithAPrunedLog(t *testing.T) {
	for name, c := range map[string]struct{ sql, named string }{
		"nothing":                {`SELECT 1`, ""},
		"a Policy is changed":    {`UPDATE resource SET body = replace(body, 'forbid', 'permit') WHERE name = 'no-drops'`, "Policy/no-drops"},
		"a Policy is gone":       {`DELETE FROM resource WHERE name = 'no-drops'`, "Policy/no-drops"},
		"and all that was known": {`DELETE FROM resource WHERE name = 'no-drops'; DELETE FROM row_head`, "Policy/no-drops"},
		"a hold is gone":         {`DELETE FROM hold`, "mission/other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := young(t)
			if err := x.s.SetHold(t.Context(), intent.Hold{Tenant: "acme", Kind: intent.HoldMission, Name: "other", Since: noon, By: "acc_adm", Reason: "a case"},
				audit.Event{Type: audit.HoldSet, Tenant: "acme", At: began, Actor: "person:acc_adm", Fields: map[string]any{"kind": "mission", "name": "other"}}); err != nil {
				t.Fatal(err)
			}
			calls(t, x.s, 0, 400)
			prune(t, x.s, 1024, time.Time{})
			x.attack(c.sql)
			x.again()
			if got := x.refusals(); c.named == "" && len(got) > 0 || c.named != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.named) }) {
				t.Errorf("refused %v, want %q", got, c.named)
			}
		})
	}
}

func TestAHoldKeepsWhatItIsOn(t *testing.T) {
	for kind, name := range map[intent.HoldKind]string{intent.HoldRun: "run_20", intent.HoldRecord: "V-200", intent.HoldMission: "onboard"} {
		c := young(t)
		calls(t, c.s, 0, 300)
		if err := c.s.SetHold(t.Context(), intent.Hold{Tenant: "acme", Kind: kind, Name: name, Since: noon, By: "acc_adm", Reason: "a case"},
			audit.Event{Type: audit.HoldSet, Tenant: "acme", At: noon, Actor: "person:acc_adm"}); err != nil {
			t.Fatal(err)
		}
		want := int64(512) // call 200 has the entries from 602 on
		if kind == intent.HoldMission {
			want = 0
		}
		if to := prune(t, c.s, 9999, time.Time{}); to.Minimum != want || !strings.Contains(to.Stopped, "legal hold") {
			t.Errorf("%s: %+v", kind, to)
		}
	}
}

func TestATimeBoundsWhatIsPruned(t *testing.T) {
	c := newConfig(t)
	calls(t, c.s, 0, 300)
	if to := prune(t, c.s, 9999, began.Add(200*time.Second)); to.Minimum != 0 {
		t.Errorf("what was written first happened last: %+v", to) // the resources, at noon
	}
	s := open(t, t.TempDir())
	calls(t, s, 0, 300)
	if to := prune(t, s, 9999, began.Add(200*time.Second)); to.Minimum != 512 {
		t.Errorf("%+v", to)
	}
}
