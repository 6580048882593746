package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// damaged opens a data directory with its vault as a server does, and uses every
// Secret of acme. It gives the first error, of whichever of the three.
func damaged(t *testing.T, dir, key string, want map[string]string) (err error) {
	t.Helper()
	v, err := vault.New(vault.Config{Tenant: "acme", Now: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := audit.NewSequencer("", v.AuditKey)
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), dir, seq, rowGuard)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := v.Unseal(t.Context(), store, kek.NewKeyFile(key)); err != nil {
		return err
	}
	s := &shelf{Vault: v, t: t, store: store}
	for ref, value := range want {
		if got, err := s.sends("acme", ref); err != nil {
			return err
		} else if got != "Bearer "+value {
			t.Errorf("%s: another credential left", ref)
		}
	}
	return nil
}

// clearly fails unless an error says what to do, and is of a kind that a damaged
// disk may give: Unavailable, or Denied by the vault.
func clearly(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case fault.Is(err, fault.Denied): // the vault's own checks found it
	case !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "":
		t.Errorf("%s: %v, of kind %s, with the hint %q", what, err, fault.KindOf(err), fault.HintOf(err))
	}
}

// pages lists the first pages of tables and of their indexes.
func pages(t *testing.T, path, tables string) (numbers []int64, size int64) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("SELECT rootpage FROM sqlite_schema WHERE tbl_name LIKE $1 AND rootpage > 0", tables)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if err := rows.Err(); err != nil || len(numbers) < 2 {
		t.Fatalf("%d pages, %v", len(numbers), err)
	}
	return numbers, size
}

// Wherever in the vault's pages and in the file's header bytes are not what was
// written, the start says so, or every Secret is as it was.
func TestADamagedPageIsFoundAtTheStart(t *testing.T) {
	s := newShelf(t)
	want := map[string]string{}
	for i := range 8 {
		name := fmt.Sprintf("erp-%d", i)
		want[name] = fmt.Sprintf("%s-%d", vaultCanary, i)
		s.put(s.Set, "acme", name, want[name])
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	path, key := filepath.Join(s.dir, "data", sqlite.File), filepath.Join(s.dir, "key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	numbers, size := pages(t, path, "vault_%")
	type damage struct{ at, length int64 }
	spots := []damage{{0, 16}, {16, 8}, {18, 2}, {24, 76}, {100, 12}, {0, 4096}} // of the header
	for _, n := range numbers {
		begin := (n - 1) * size
		for _, at := range []int64{0, 3, 8, 12, size / 2, size - 700, size - 300, size - 64, size - 9} {
			spots = append(spots, damage{begin + at, 8})
		}
	}
	found := 0
	dir := filepath.Join(t.TempDir(), "data")
	for _, d := range spots {
		bad := bytes.Clone(good)
		for i := range d.length {
			bad[d.at+i] ^= 0x5a
		}
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, sqlite.File), bad, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := damaged(t, dir, key, want); err != nil {
			found++
			clearly(t, fmt.Sprintf("%d bytes at %d", d.length, d.at), err)
		}
	}
	if found < len(spots)/3 {
		t.Errorf("of %d damages %d were found: the others can't all have been in free space", len(spots), found)
	}
	t.Logf("%d of %d damages were found, the others are in free space", found, len(spots))
}

func TestDamageFoundWhileRunningStopsTheStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, sqlite.File)
	s := open(t, dir)
	record(t, s, ended(1), ended(2))
	if err := s.Close(); err != nil { // all pages into the file
		t.Fatal(err)
	}
	numbers, size := pages(t, path, "audit_entry")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody has read these pages yet when the disk loses them.
	s = open(t, dir)
	bad := bytes.Clone(good)
	for _, n := range numbers {
		clear(bad[(n-1)*size : n*size])
	}
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Audit().List(t.Context(), "acme", audit.Filter{}, 0, 10)
	clearly(t, "reading", err)
	for _, what := range []string{"the write that finds it", "the next write"} {
		err := s.Write(t.Context(), func(tx *sqlite.Tx) error { return tx.Audit(ended(3)) })
		clearly(t, what, err)
	}
	if err := s.Healthy(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "damaged") || fault.HintOf(err) == "" {
		t.Errorf("afterwards the store says %v", err)
	} else if got := sqlite.Reason(err); got != "the database is damaged" {
		t.Errorf("to strangers it is %q", got)
	}
	_ = s.Close() // whatever it says
	if err := errors.Join(os.WriteFile(path, good, 0o600), removed(path+"-wal"), removed(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	inOrder(t, dir, 3) // with the pages put back
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func TestADatabaseThatIsGoneIsNotMadeAnew(t *testing.T) {
	s := newShelf(t)
	s.put(s.Set, "acme", "erp", vaultCanary)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	dir, key := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "key")
	path := filepath.Join(dir, sqlite.File)
	for what, attack := range map[string]func() error{
		"emptied": func() error { return os.Truncate(path, 0) },
		"removed": func() error { return os.Remove(path) },
	} {
		if err := attack(); err != nil {
			t.Fatal(err)
		}
		err := damaged(t, dir, key, nil)
		if !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			t.Errorf("%s: another database was made", what)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
