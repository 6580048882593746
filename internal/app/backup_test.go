package app

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// A backup's file is searched for Secrets and for business data: a database's, for
// Secrets alone.
func TestAStolenBackupShowsNothing(t *testing.T) {
	o := newOffice(t, t.TempDir())
	file := o.backup("stolen")
	data := filepath.Join(o.dir, "data")
	for _, name := range []string{"sallyport.db", "sallyport.db-wal"} {
		if as := shown(t, filepath.Join(data, name), secretCanary); as != nil {
			t.Errorf("a Secret is in %s as %v", name, as)
		}
	}
	if shown(t, filepath.Join(data, "sallyport.db"), businessCanary) == nil && shown(t, filepath.Join(data, "sallyport.db-wal"), businessCanary) == nil {
		t.Error("the database does not have what the backup is searched for")
	}
	for _, text := range []string{secretCanary, businessCanary, "Halvorsen", "weekly", "CREATE TABLE", "finance"} {
		if as := shown(t, file, text); as != nil {
			t.Errorf("the backup has %q as %v", text, as)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
}

func TestABackupTakesAnAdminWithAFreshProof(t *testing.T) {
	o := newOffice(t, t.TempDir())
	builder, stranger, run := o.who(), o.who(), o.who()
	builder.Roles = []ident.Role{ident.Builder, ident.Auditor}
	stranger.Tenant = "globex"
	run.Kind = ident.Run
	used := o.code()
	if err := o.Backup(t.Context(), o.who(), adminPassword, used, "", io.Discard); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		who            ident.Principal
		password, code string
		want           fault.Kind
	}{
		"a builder":                 {builder, adminPassword, o.code(), fault.Denied},
		"an admin of another":       {stranger, adminPassword, o.code(), fault.Denied},
		"a Run":                     {run, adminPassword, o.code(), fault.Denied},
		"the wrong password":        {o.who(), "something else entirely", o.code(), fault.Unauthenticated},
		"a code that was used":      {o.who(), adminPassword, used, fault.Unauthenticated},
		"nothing beside a session":  {o.who(), "", "", fault.Unauthenticated},
		"a code that nobody has":    {o.who(), adminPassword, "000000", fault.Unauthenticated},
		"nobody at all":             {ident.Principal{}, adminPassword, o.code(), fault.Denied},
		"the product, with no role": {ident.Principal{Tenant: "acme", Kind: ident.System, ID: "setup"}, "", "", fault.Denied},
	} {
		var out strings.Builder
		if err := o.Backup(t.Context(), c.who, c.password, c.code, "", &out); !fault.Is(err, c.want) || out.Len() > 0 {
			t.Errorf("%s: %d bytes, %v", what, out.Len(), err)
		}
	}
	rows, err := o.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.BackupMade}, 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Actor != o.who().String() {
		t.Errorf("%d entries: %v", len(rows), err)
	}
}

func TestABackupThatCanNotBeWrittenLeavesNoFile(t *testing.T) {
	o := newOffice(t, t.TempDir())
	dir := t.TempDir()
	broken := errors.New("the network is gone")
	err := NewFile(filepath.Join(dir, "b"), func(w io.Writer) error {
		return o.Backup(t.Context(), o.who(), adminPassword, o.code(), "", &atMost{w, 100_000, broken})
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left: %v", entries, err)
	}
	o.backup("another") // the one that failed holds nothing up
}

// atMost writes n bytes, and then fails.
type atMost struct {
	w   io.Writer
	n   int
	err error
}

func (a *atMost) Write(b []byte) (int, error) {
	if a.n -= len(b); a.n < 0 {
		return 0, a.err
	}
	return a.w.Write(b)
}

func TestThereIsOneBackupAtATime(t *testing.T) {
	o := newOffice(t, t.TempDir())
	code := o.code()
	r, w := io.Pipe()
	done := make(chan error)
	go func() { done <- o.Backup(t.Context(), o.who(), adminPassword, code, "", w) }()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := o.Backup(t.Context(), o.who(), adminPassword, "", "", io.Discard); !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Error("a second one:", err)
	}
	_ = r.Close()
	if err := <-done; err == nil {
		t.Error("the first one did not notice that its reader has gone")
	}
}

func TestAFileIsNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	write := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	if err := NewFile(path, write("one")); err != nil {
		t.Fatal(err)
	}
	if err := NewFile(path, write("two")); !fault.Is(err, fault.Conflict) {
		t.Error(err)
	}
	// Somebody else is quicker, after the first look.
	late := filepath.Join(dir, "late")
	err := NewFile(late, func(w io.Writer) error {
		return errors.Join(write("mine")(w), os.WriteFile(late, []byte("theirs"), 0o600))
	})
	if b, rerr := os.ReadFile(late); !fault.Is(err, fault.Conflict) || string(b) != "theirs" {
		t.Errorf("%q, %v, %v", b, err, rerr)
	}
	if err := NewFile(filepath.Join(dir, "nowhere", "b"), write("x")); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v: %v", entries, err)
	}
}
