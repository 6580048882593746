package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/storetest"
	"sallyport.dev/internal/vault"
)

// snapped writes a snapshot as a database of its own, in a new directory.
func snapped(t testing.TB, snap *sqlite.Snapshot) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(snap.Copy(context.Background(), f), f.Close(), snap.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(f.Name()); err != nil || info.Size() != snap.Size {
		t.Fatalf("%d bytes: %v", info.Size(), err)
	}
	return dir
}

func sound(t testing.TB, dir string) {
	t.Helper()
	if faults, err := sqlite.Inspect(t.Context(), dir); err != nil || len(faults) > 0 {
		t.Errorf("%s: %q, %v", dir, faults, err)
	}
}

// set stores a Secret.
func (s *shelf) set(name string) {
	s.t.Helper()
	_, err := s.Set(s.t.Context(), vault.Write{Tenant: "acme", Name: name, Fields: map[string][]byte{"token": []byte(vaultCanary + name)}, AnyOrigin: true, Actor: vaultAdmin("acme")})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestASnapshotIsOneMomentWhileTheServerWrites(t *testing.T) {
	s := newShelf(t)
	for i := range 40 {
		s.set(fmt.Sprintf("before-%d", i))
	}
	// Somebody writes all the time: while the snapshot begins, is read, and ends.
	ctx, stop := context.WithCancel(t.Context())
	begun, over := make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			err := s.store.Write(ctx, func(tx *sqlite.Tx) error {
				ev := ended(n)
				ev.At = clock() // as the vault of this shelf has it
				return tx.Audit(ev)
			})
			if n == 0 {
				close(begun)
			}
			if err != nil {
				over <- err
				return
			}
		}
	}()
	<-begun
	var snaps []*sqlite.Snapshot
	for range 3 {
		snap, err := s.store.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, snap)
	}
	s.set("after")
	var dirs []string
	for _, snap := range snaps {
		dirs = append(dirs, snapped(t, snap))
	}
	stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Fatal("the server wrote until", err)
	}
	for i, dir := range dirs {
		sound(t, dir)
		head := snaps[i].Heads["acme"]
		if rep := verify(t, dir, audit.VerifyOptions{VerifierKey: head.Verifier, KeptCheckpoint: head.Checkpoint}); !rep.OK() || rep.Logs[0].Size != head.Size || rep.Logs[0].Checkpoint != string(head.Checkpoint) {
			t.Errorf("its log: %v, %d entries, the head has %d", rep.Findings(), rep.Logs[0].Size, head.Size)
		}
		if snaps[i].Schema < 5 || snaps[i].Ring.Root.Rev == 0 || len(snaps[i].Ring.Seals) != 1 {
			t.Errorf("schema %d, ring %+v", snaps[i].Schema, snaps[i].Ring.Root)
		}
		var names int
		db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.QueryRow("SELECT count(*) FROM vault_secret").Scan(&names), db.Close()); err != nil || names != 40 {
			t.Errorf("%d secrets: %v", names, err)
		}
	}
}

// A Secret that is destroyed while a backup is read: the write is not held up,
// and what is shredded leaves the write-ahead log as soon as the backup has ended.
func TestASnapshotHoldsUpNoWrite(t *testing.T) {
	s := newShelf(t)
	s.set("gone")
	snap, err := s.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "acme", "gone", vaultAdmin("acme")); err != nil {
		t.Fatal(err)
	}
	wal := filepath.Join(s.dir, "data", sqlite.File+"-wal")
	if info, err := os.Stat(wal); err != nil || info.Size() == 0 {
		t.Fatalf("the write-ahead log is empty under a snapshot: %v", err)
	}
	sound(t, snapped(t, snap))
	record(t, s.store, ended(1))
	if info, err := os.Stat(wal); err != nil || info.Size() != 0 {
		t.Errorf("the write-ahead log has %d bytes of what was shredded: %v", info.Size(), err)
	}
}

func TestASnapshotEndsWithItsCaller(t *testing.T) {
	s := newShelf(t)
	snap, err := s.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := snap.Copy(ctx, &strings.Builder{}); err == nil {
		t.Error("it went on")
	}
	broken := errors.New("the client is gone")
	if err := snap.Copy(t.Context(), failing{broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestDamageToADatabaseIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, path string)
		want   string
	}{
		"a page":          {func(t *testing.T, path string) { overwrite(t, path, 12*4096, 4096) }, ""},
		"a page's header": {func(t *testing.T, path string) { overwrite(t, path, 9*4096, 12) }, ""},
		"no database":     {func(t *testing.T, path string) { overwrite(t, path, 0, 100) }, "not a database"},
		"half of it": {func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err := errors.Join(err, os.Truncate(path, info.Size()/2)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"a row that refers to nothing": {func(t *testing.T, path string) {
			tamper(t, filepath.Dir(path), "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (parent INTEGER REFERENCES parent); INSERT INTO child VALUES (1)")
		}, "child"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := closed(t, 400)
			sound(t, dir)
			c.damage(t, filepath.Join(dir, sqlite.File))
			if faults, err := sqlite.Inspect(t.Context(), dir); err != nil || len(faults) == 0 || !strings.Contains(strings.Join(faults, "\n"), c.want) {
				t.Errorf("%q, %v", faults, err)
			}
		})
	}
	if _, err := sqlite.Inspect(t.Context(), t.TempDir()); !fault.Is(err, fault.NotFound) {
		t.Error("without a database:", err)
	}
}

// overwrite spoils n bytes.
func overwrite(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", n)), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A backup's confirmation is good once, for that backup, by that person, for two
// minutes.
func TestABackupIsRecordedWithAFreshFactorOnly(t *testing.T) {
	s := openIn(t, t.TempDir())
	w := storetest.NewWorld(t, s)
	ann, bob := w.Human("acme", "ann", ident.Admin), w.Human("acme", "bob", ident.Admin)
	const act = intent.Digest("the act")
	factor := func(h *storetest.Human) identity.Factor {
		w.Pass(time.Minute)
		f, err := w.Dir.Confirm(t.Context(), h.Account.Principal(), h.Password, h.Code(), act, w.Now)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ev := func() audit.Event {
		return audit.Event{Type: audit.BackupMade, Tenant: "acme", At: w.Now, Actor: "person:" + ann.Account.ID, Fields: map[string]any{"name": "bkp_1"}}
	}
	f := factor(ann)
	for what, change := range map[string]func(*identity.Factor){
		"another act":    func(f *identity.Factor) { f.For = "another" },
		"another person": func(f *identity.Factor) { f.Account = bob.Account.ID },
		"another tenant": func(f *identity.Factor) { f.Tenant = "globex" },
		"a made-up one":  func(f *identity.Factor) { f.ID = "fac_made_up" },
	} {
		g := f
		change(&g)
		if err := s.RecordBackup(t.Context(), g, ev()); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.RecordBackup(t.Context(), f, ev()); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordBackup(t.Context(), f, ev()); !fault.Is(err, fault.Conflict) {
		t.Error("a second time:", err)
	}
	old := factor(ann)
	w.Pass(decision.FactorLife + time.Second)
	if err := s.RecordBackup(t.Context(), old, ev()); !fault.Is(err, fault.Conflict) {
		t.Error("an old one:", err)
	}
	if rows, err := s.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.BackupMade}, 0, 10); err != nil || len(rows) != 1 {
		t.Errorf("%d entries: %v", len(rows), err)
	}
}
