package sqlite_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/storetest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

var rowGuard = sqlite.Guard{Keys: storetest.Keys{Key: "of rows"}, Now: clock, Log: slog.New(slog.DiscardHandler)}

// logKey is a key of its own for each tenant's log, always the same.
func logKey(t ident.Tenant, generation int64) (crypto.Signer, error) {
	seed := sha256.Sum256(fmt.Appendf(nil, "test log of %s, %d", t, generation))
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	return openWith(t, dir, logKey)
}

func openWith(t testing.TB, dir string, key audit.KeyFunc) *sqlite.Store {
	t.Helper()
	seq, err := audit.NewSequencer("", key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(context.Background(), dir, seq, rowGuard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func ended(run int) audit.Event {
	return audit.Event{Type: audit.RunEnded, Tenant: "acme", At: noon, Actor: "system:engine", Run: fmt.Sprintf("run_%d", run),
		Connection: "erp-read", Intent: "int_1", Fields: map[string]any{"turns": run}}
}

func record(t testing.TB, s *sqlite.Store, events ...audit.Event) {
	t.Helper()
	if err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
		for _, ev := range events {
			if err := tx.Audit(ev); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, dir string, opts audit.VerifyOptions) audit.Report {
	t.Helper()
	src, err := sqlite.OpenAudit(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	rep, err := audit.Verify(t.Context(), src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func inOrder(t testing.TB, dir string, size int64) {
	t.Helper()
	rep := verify(t, dir, audit.VerifyOptions{})
	if !rep.OK() || rep.Logs[0].Size != size {
		t.Fatalf("the log of %d entries, want %d, has findings %v", rep.Logs[0].Size, size, rep.Findings())
	}
}

func TestManyCallersShareTransactionsAndMakeOneLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const callers, each = 64, 20
	boom := errors.New("this step is taken back")
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
					if err := tx.Audit(ended(c*each + i)); err != nil {
						return err
					}
					if i%4 == 3 {
						return boom
					}
					return nil
				})
				if (i%4 == 3) != errors.Is(err, boom) {
					t.Errorf("caller %d, step %d: %v", c, i, err)
				}
			}
		})
	}
	wg.Wait()
	inOrder(t, dir, 1+callers*each*3/4) // also while the store is open
	rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{}, 1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r.Run] = true
	}
	for i := range callers * each {
		if kept := i%each%4 != 3; seen[fmt.Sprintf("run_%d", i)] != kept {
			t.Errorf("run_%d is in the log: %v, want %v", i, !kept, kept)
		}
	}
}

func TestAFailedStepTakesItsEntriesBackAndNobodyElses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	block, entered := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the writer, so that the others share the next transaction
		_ = s.Write(t.Context(), func(*sqlite.Tx) error { close(entered); <-block; return nil })
	})
	<-entered
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Write(t.Context(), func(tx *sqlite.Tx) error {
				if _, err := tx.Exec(fmt.Sprintf("CREATE TABLE t%d (x INTEGER)", i)); err != nil {
					return err
				}
				if err := errors.Join(tx.Audit(ended(10*i)), tx.Audit(ended(10*i+1))); err != nil {
					return err
				}
				if i == 1 {
					panic("a bug")
				}
				return nil
			})
		})
	}
	for s.Queued() < 3 { // a state to wait for, not a time
		runtime.Gosched()
	}
	close(block)
	wg.Wait()
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Fatalf("the steps said %v", errs)
	}
	inOrder(t, dir, 5)
	for i, want := range []bool{true, false, true} {
		err := s.Write(t.Context(), func(tx *sqlite.Tx) error { _, err := tx.Exec(fmt.Sprintf("DROP TABLE t%d", i)); return err })
		if (err == nil) != want {
			t.Errorf("table t%d: %v", i, err)
		}
	}
	record(t, s, ended(99))
	inOrder(t, dir, 6)
}

func TestTheLogGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		s := open(t, dir)
		record(t, s, ended(i), ended(i+100))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		inOrder(t, dir, int64(1+2*(i+1)))
	}
}

// TestWhatWasAcknowledgedIsThereAfterClosing closes the store under load: a
// caller that was told nil finds its entry, one that was told an error does not.
func TestWhatWasAcknowledgedIsThereAfterClosing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var mu sync.Mutex
	acked := map[string]bool{}
	started := make(chan struct{}, 1024)
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				ev := ended(c*100_000 + i)
				err := s.Write(context.Background(), func(tx *sqlite.Tx) error { return tx.Audit(ev) })
				mu.Lock()
				acked[ev.Run] = err == nil
				mu.Unlock()
				if err != nil {
					if !fault.Is(err, fault.Unavailable) {
						t.Errorf("%s was told %v", ev.Run, err)
					}
					return
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 50 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	again := open(t, dir)
	for run, want := range acked {
		rows, err := again.Audit().List(t.Context(), "acme", audit.Filter{Run: run}, 0, 2)
		if err != nil || (len(rows) == 1) != want {
			t.Errorf("%s is there %d times, acknowledged: %v (%v)", run, len(rows), want, err)
		}
	}
	if rep := verify(t, dir, audit.VerifyOptions{}); !rep.OK() {
		t.Error(rep.Findings())
	}
}

// TestTheLogIsWholeAfterACrash takes the files as they are while the store is
// open: what a machine has on disk when the process is killed.
func TestTheLogIsWholeAfterACrash(t *testing.T) {
	dir, crashed := t.TempDir(), t.TempDir()
	s := open(t, dir)
	for i := range 20 {
		record(t, s, ended(i))
	}
	for _, suffix := range []string{"", "-wal"} { // shared memory is not on the disk
		b, err := os.ReadFile(filepath.Join(dir, sqlite.File+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crashed, sqlite.File+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inOrder(t, crashed, 21)
	s2 := open(t, crashed)
	record(t, s2, ended(21))
	inOrder(t, crashed, 22)
}

func TestTheStoreStopsRecordingOnAChangedLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	record(t, s, ended(1))
	tamper(t, dir, "UPDATE audit_head SET checkpoint = x'00'")
	did := false
	err := s.Write(t.Context(), func(tx *sqlite.Tx) error {
		if err := tx.Audit(ended(2)); err != nil {
			return err
		}
		did = true
		return nil
	})
	if !errors.Is(err, audit.ErrDiverged) || did {
		t.Errorf("the step went on: %v, %v", did, err)
	}
}

func TestTheLogIsReadByItsColumns(t *testing.T) {
	s := open(t, t.TempDir())
	claim := audit.Event{Type: audit.SessionStarted, Tenant: "acme", At: noon, Actor: "person:acc_1", Fields: map[string]any{"factor": "totp"}}
	record(t, s, ended(1), claim, ended(2))
	record(t, s, audit.Event{Type: audit.SessionStarted, Tenant: "globex", At: noon, Actor: "person:acc_9"})
	for _, c := range []struct {
		f    audit.Filter
		from int64
		want []int64
	}{
		{audit.Filter{}, 0, []int64{0, 1, 2}},
		{audit.Filter{}, 2, []int64{2, 3}},
		{audit.Filter{Type: audit.SessionStarted}, 0, []int64{2}},
		{audit.Filter{Run: "run_2"}, 0, []int64{3}},
		{audit.Filter{Intent: "int_1", Connection: "erp-read"}, 0, []int64{1, 3}},
		{audit.Filter{Intent: "int_1", Run: "run_1", Connection: "erp-read", Type: audit.RunEnded}, 0, []int64{1}},
		{audit.Filter{Connection: "erp-write"}, 0, nil},
		{audit.Filter{Run: "' OR 1=1 --"}, 0, nil},
	} {
		rows, err := s.Audit().List(t.Context(), "acme", c.f, c.from, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range rows {
			got = append(got, r.Index)
			if e, err := audit.ParseEntry(r.Entry); err != nil || e.Tenant != "acme" || e.At.UnixMilli() != r.At {
				t.Errorf("row %d: %+v, %v", r.Index, e, err)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v from %d: rows %v, want %v", c.f, c.from, got, c.want)
		}
	}
}

// tamper changes the database behind the server's back.
func tamper(t testing.TB, dir string, queries ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range queries {
		r, err := db.Exec(q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if n, _ := r.RowsAffected(); n == 0 {
			t.Fatalf("%s changed nothing", q)
		}
	}
}

func benchmarkAppend(b *testing.B, callers int) {
	s := open(b, b.TempDir())
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		wg.Go(func() {
			for i := c; i < b.N; i += callers {
				if err := s.Write(context.Background(), func(tx *sqlite.Tx) error { return tx.Audit(ended(i)) }); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

func BenchmarkAppend1(b *testing.B)  { benchmarkAppend(b, 1) }
func BenchmarkAppend64(b *testing.B) { benchmarkAppend(b, 64) }

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	events := make([]audit.Event, 5000)
	for i := range events {
		events[i] = ended(i)
	}
	record(b, s, events...)
	for b.Loop() {
		if rep := verify(b, dir, audit.VerifyOptions{}); !rep.OK() {
			b.Fatal(rep.Findings())
		}
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "entries/s")
}
