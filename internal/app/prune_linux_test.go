package app

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
)

// fill adds entries to acme's log that are about nothing.
func fill(t *testing.T, s *sqlite.Store, at time.Time, n int) {
	t.Helper()
	evs := make([]audit.Event, n)
	for i := range evs {
		evs[i] = audit.Event{Type: audit.SessionFailed, Tenant: "acme", At: at, Actor: "system:test"}
	}
	if err := s.Record(t.Context(), evs...); err != nil {
		t.Fatal(err)
	}
}

// run is a Run of a Worker outside that has ended.
func (c *crowd) ended() string {
	c.t.Helper()
	r, err := c.Gate.StartRun(c.t.Context(), builder, gate.Start{Mission: "pay", Via: "api", Outside: true})
	c.must(err)
	c.must(c.Gate.EndRun(c.t.Context(), ident.Principal{Tenant: "acme", Kind: ident.Run, ID: r.ID}, "done", "it is paid"))
	return r.ID
}

// far is a sink that has read so far.
type far struct{ export.Sink }

func (far) Kind() string { return "file" }
func (far) Name() string { return "/siem" }

func TestPruningWaitsForBodiesHoldsAndExports(t *testing.T) {
	c := newCrowd(t)
	fill(t, c.store, c.clock, 600)
	run := c.ended()
	fill(t, c.store, c.clock, 600)
	c.clock = c.clock.Add(time.Hour)
	prune := func(in api.PruneAudit) api.PrunedAudit {
		t.Helper()
		in.Why = "it is old"
		out, err := c.PruneAudit(t.Context(), c.adam, in)
		c.must(err)
		return out
	}
	c.exports = []*export.Exporter{{Tenant: "acme", Store: c.store, Sink: far{}, Now: c.now, Log: slog.New(slog.DiscardHandler)}}
	if got := prune(api.PruneAudit{Below: 9999}); got.Minimum != 0 || !strings.Contains(got.Stopped, "/siem") {
		t.Errorf("a sink has read nothing: %+v", got)
	}
	c.must(c.store.SetExported(t.Context(), "acme", "file /siem", 300))
	if got := prune(api.PruneAudit{Below: 9999}); got.Minimum != 256 || !strings.Contains(got.Stopped, "/siem") {
		t.Errorf("a sink has read 300: %+v", got)
	}
	c.exports = nil
	if got := prune(api.PruneAudit{Before: c.clock}); got.Minimum != 512 || !strings.Contains(got.Stopped, run) {
		t.Errorf("a Run's bodies are there: %+v", got)
	}
	_, err := c.SetHold(t.Context(), c.adam, intent.HoldRun, run, "a case")
	c.must(err)
	if got := prune(api.PruneAudit{Before: c.clock, Erase: true}); got.Minimum != 512 || got.Erased != 0 || !strings.Contains(got.Stopped, "hold") {
		t.Errorf("a hold: %+v", got)
	}
	c.must(c.LiftHold(t.Context(), c.adam, intent.HoldRun, run, "it is over"))
	c.clock = c.clock.Add(time.Minute)
	if got := prune(api.PruneAudit{Before: c.clock, Erase: true}); got.Minimum != 1024 || got.Erased != 1 || got.Dropped < 500 {
		t.Errorf("nothing is in the way: %+v", got)
	}
	if _, err := c.PruneAudit(t.Context(), c.adam, api.PruneAudit{Before: c.clock.Add(time.Hour), Why: "x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a time that has not come: %v", err)
	}
	c.wantProven()
}

func (c *crowd) wantProven() {
	c.t.Helper()
	rep, err := VerifyAudit(c.t.Context(), c.cfg.Dir, audit.VerifyOptions{})
	if c.must(err); !rep.OK() {
		c.t.Errorf("%+v", rep.Findings())
	}
}

func TestALogThatDoesNotVerifyIsNotPruned(t *testing.T) {
	c := newCrowd(t)
	fill(t, c.store, c.clock, 600)
	db, err := sql.Open("sqlite", filepath.Join(c.cfg.Dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
	c.must(err)
	defer db.Close()
	_, err = db.Exec(`UPDATE audit_entry SET actor = 'system:nobody' WHERE idx = 500`)
	c.must(err)
	if out, err := c.PruneAudit(t.Context(), c.adam, api.PruneAudit{Below: 256, Why: "x"}); !fault.Is(err, fault.Conflict) || out.Minimum != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestOldEntriesGoByThemselvesAndWhatIsLeftStarts(t *testing.T) {
	c := newCrowd(t)
	c.cfg.Audit.KeepLog = 48 * time.Hour
	fill(t, c.store, c.clock, 600)
	minimum := func() int64 {
		c.must(c.pruneOld(t.Context()))
		p, err := audit.LastPruned(t.Context(), c.store.Audit(), "acme")
		c.must(err)
		return p.Minimum
	}
	c.clock = c.clock.Add(47 * time.Hour)
	if got := minimum(); got != 0 {
		t.Errorf("too early: %d", got)
	}
	c.clock = c.clock.Add(2 * time.Hour)
	if got := minimum(); got != 512 {
		t.Errorf("%d", got)
	}
	c.wantProven()
	// It starts, also where all that is known of the rows was taken away: then the log
	// alone says what there is.
	c.must(c.Stop(context.WithoutCancel(t.Context())))
	db, err := sql.Open("sqlite", filepath.Join(c.cfg.Dir, sqlite.File))
	c.must(err)
	_, err = db.Exec("DELETE FROM row_head")
	c.must(err)
	c.must(db.Close())
	a, err := New(t.Context(), c.cfg)
	c.must(err)
	defer func() { c.must(a.Stop(context.WithoutCancel(t.Context()))) }()
	c.must(a.Vault.Unseal(t.Context(), a.store, a.cfg.Seals...))
	c.must(a.loadWorlds(t.Context()))
	c.must(a.store.VerifyRows(t.Context()))
	if rows := a.store.RefusedRows(); len(rows) != 1 || rows[0].Table != "row_head" {
		t.Errorf("refused: %+v", rows)
	}
	if _, err := a.Vault.Head(t.Context(), "acme", "system-3"); err != nil {
		t.Error(err)
	}
}

func TestABackupOfAPrunedLogIsRestored(t *testing.T) {
	o := newOffice(t, t.TempDir())
	fill(t, o.store, o.time, 300)
	o.time = o.time.Add(time.Minute)
	if out, err := o.PruneAudit(t.Context(), o.who(), api.PruneAudit{Before: o.time, Why: "it is old"}); err != nil || out.Minimum != 256 {
		t.Fatalf("%+v, %v", out, err)
	}
	c := o.config(o.backup("b"))
	rep, err := Restore(t.Context(), c)
	if err != nil || !rep.Audit.OK() || rep.Rows != nil {
		t.Fatalf("%+v, %v", rep, err)
	}
	a := o.restored(c.Dir)
	if _, err := a.Vault.Head(t.Context(), "acme", "erp"); err != nil {
		t.Error(err)
	}
}

func TestAMissionSaysHowLongItsBodiesAreKept(t *testing.T) {
	c := newCrowd(t)
	_, err := c.Apply(t.Context(), setter, []resource.Resource{
		&resource.Mission{Head: headOf(resource.KindMission, "pay"), Goal: "pay", Connections: []string{"erp-write"}, Retention: resource.Retention{Days: 2}},
		&resource.Mission{Head: headOf(resource.KindMission, "other"), Goal: "pay", Connections: []string{"erp-write"}},
	}, false, false)
	c.must(err)
	paid := c.ended()
	other, err := c.Gate.StartRun(t.Context(), builder, gate.Start{Mission: "other", Via: "api", Outside: true})
	c.must(err)
	c.must(c.Gate.EndRun(t.Context(), ident.Principal{Tenant: "acme", Kind: ident.Run, ID: other.ID}, "done", "it is paid"))
	for _, step := range []struct {
		after time.Duration
		keep  time.Duration
		want  []string
	}{{47 * time.Hour, 0, nil}, {2 * time.Hour, 72 * time.Hour, []string{paid}}, {24 * time.Hour, 72 * time.Hour, []string{paid, other.ID}}} {
		c.clock, c.cfg.Audit.KeepBodies = c.clock.Add(step.after), step.keep
		c.must(c.eraseOld(t.Context()))
		rows, err := c.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.BodiesErased}, 0, 10)
		c.must(err)
		var got []string
		for _, r := range rows {
			got = append(got, r.Run)
		}
		if strings.Join(got, " ") != strings.Join(step.want, " ") {
			t.Errorf("after %s: %v, want %v", step.after, got, step.want)
		}
	}
}

// A private record is found by its name until that is to be forgotten, and by nobody
// after.
func TestPrivateRecordsAreForgotten(t *testing.T) {
	c := newCrowd(t)
	was, err := c.recordKey(t.Context(), "acme", "ann@example.com")
	c.must(err)
	if again, err := c.recordKey(t.Context(), "acme", "ann@example.com"); err != nil || again != was {
		t.Errorf("%s is not %s: %v", again, was, err)
	}
	if theirs, err := c.recordKey(t.Context(), "globex", "ann@example.com"); err != nil || theirs == was {
		t.Errorf("another tenant has the same hash: %v", err)
	}
	c.must(c.store.Record(t.Context(), audit.Event{Type: audit.IntentDenied, Tenant: "acme", At: c.clock, Actor: "run:run_1", Intent: "int_1", Fields: map[string]any{"recordKey": was}}))
	ask := func() int {
		a, err := c.QueryAudit(t.Context(), "acme", audit.Query{Record: "ann@example.com"})
		c.must(err)
		return len(a.Uses)
	}
	if ask() != 1 {
		t.Error("it is not found")
	}
	_, err = c.SetHold(t.Context(), c.adam, intent.HoldRecord, audit.HiddenRecord(was), "a case")
	c.must(err)
	if err := c.ForgetRecords(t.Context(), c.adam, "asked for"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a hold: %v", err)
	}
	c.must(c.LiftHold(t.Context(), c.adam, intent.HoldRecord, audit.HiddenRecord(was), "it is over"))
	var nonce string
	db, err := sql.Open("sqlite", filepath.Join(c.cfg.Dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
	c.must(err)
	defer db.Close()
	c.must(db.QueryRow("SELECT nonce FROM record_key WHERE tenant = 'acme'").Scan(&nonce))
	c.must(db.Close())
	c.must(c.ForgetRecords(t.Context(), c.adam, "asked for"))
	if ask() != 0 {
		t.Error("it is found still")
	}
	for _, name := range []string{sqlite.File, sqlite.File + "-wal"} {
		if as := shown(t, filepath.Join(c.cfg.Dir, name), nonce); as != nil {
			t.Errorf("what it was found by is in %s", name)
		}
	}
	c.wantProven()
}

// Attacks by who writes the file: another nonce, so that nothing is found; or none, so
// that a new one is made.
func TestAForgedNonceIsRefused(t *testing.T) {
	for _, attack := range []string{`UPDATE record_key SET nonce = 'x'`, `DELETE FROM record_key`} {
		c := newCrowd(t)
		_, err := c.recordKey(t.Context(), "acme", "ann@example.com")
		c.must(err)
		db, err := sql.Open("sqlite", filepath.Join(c.cfg.Dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
		c.must(err)
		_, err = db.Exec(attack)
		c.must(err)
		c.must(db.Close())
		if _, err := c.recordKey(t.Context(), "acme", "ann@example.com"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", attack, err)
		}
	}
}
