package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

func TestARestoredServerHasWhatWasBackedUp(t *testing.T) {
	o := newOffice(t, t.TempDir())
	file := o.backup("b")
	_, err := o.Vault.Set(t.Context(), vault.Write{Tenant: "acme", Name: "later", AnyOrigin: true, Actor: o.who(), Fields: map[string][]byte{"token": []byte("cnry-made-after-the-backup")}})
	o.must(err)
	c := o.config(file)
	rep, err := Restore(t.Context(), c)
	o.must(err)
	if !rep.Opened || !rep.Audit.OK() || len(rep.Audit.Logs) != 2 || *rep.Secrets != (vault.Count{Secrets: 3}) || rep.Dir != c.Dir {
		t.Errorf("%+v", rep)
	}
	for _, l := range rep.Audit.Logs {
		if !l.Pinned || !l.Against {
			t.Errorf("the log of %s was not compared with the header", l.Tenant)
		}
	}
	a := o.restored(c.Dir)
	if _, err := a.Vault.Head(t.Context(), "acme", "erp"); err != nil {
		t.Error(err)
	}
	if _, err := a.Vault.Head(t.Context(), "acme", "later"); !fault.Is(err, fault.NotFound) {
		t.Error("what came after the backup is there:", err)
	}
	if _, err := a.Directory.AccountNamed(t.Context(), "acme", "ann"); err != nil {
		t.Error(err)
	}
	rows, err := a.store.Audit().List(t.Context(), "acme", audit.Filter{Type: audit.BackupMade}, 0, 10)
	if err != nil || len(rows) != 1 || !bytes.Contains(rows[0].Entry, []byte(rep.Backup.ID)) {
		t.Errorf("the backup does not have its own entry: %v", err)
	}
	for _, tenant := range []ident.Tenant{"acme", "globex"} {
		if rows, err := a.store.Audit().List(t.Context(), tenant, audit.Filter{Type: audit.BackupRestored}, 0, 10); err != nil || len(rows) != 1 {
			t.Errorf("%s: %d entries that it was restored: %v", tenant, len(rows), err)
		}
	}
}

// What was open when the backup was made may have been done since: none of it is
// done again by itself.
func TestWhatWasOpenNeedsAPersonAfterARestore(t *testing.T) {
	o := newOffice(t, t.TempDir())
	c := o.config(o.backup("b"))
	rep, err := Restore(t.Context(), c)
	o.must(err)
	if *rep.Ended != (Ended{Writes: 5, Reads: 5, Runs: 1, Sessions: 1}) {
		t.Errorf("%+v", *rep.Ended)
	}
	a := o.restored(c.Dir)
	want := map[string]intent.State{
		"write PARKED": intent.NeedsHuman, "write APPROVED": intent.NeedsHuman, "write CLAIMED": intent.NeedsHuman, "write SENDING": intent.NeedsHuman,
		"write UNKNOWN": intent.NeedsHuman, "write COMMITTED": intent.Committed, "write DENIED": intent.Denied,
		"read PARKED": intent.Withdrawn, "read APPROVED": intent.Withdrawn, "read CLAIMED": intent.Failed, "read SENDING": intent.Failed,
		"read UNKNOWN": intent.NeedsHuman, "read COMMITTED": intent.Committed, "read DENIED": intent.Denied,
	}
	for name, id := range o.intents {
		it, err := a.store.Intent(t.Context(), "acme", id)
		if err != nil || it.State != want[name] {
			t.Errorf("%s is %s: %v", name, it.State, err)
		}
		if it.State == intent.NeedsHuman && (it.Result == nil || !strings.Contains(it.Result.Note, "Do not repeat")) {
			t.Errorf("%s does not say what it is about: %+v", name, it.Result)
		}
		if d, err := a.store.DecisionOf(t.Context(), "acme", id); err == nil && d.State != decision.Void {
			t.Errorf("the Decision on %s is %s", name, d.State)
		}
	}
	o.nothingGoesOn(a)
	// A person who has looked closes one.
	who := o.who()
	r := gate.Resolution{Finding: gate.Applied, Revision: 1, Why: "it is in the system"}
	q, err := a.Gate.Ask(t.Context(), who, o.intents["write APPROVED"], r)
	if err != nil {
		t.Fatal(err)
	}
	r.Factor = decision.Factor{ID: "fac_1", Tenant: who.Tenant, Account: who.ID, At: o.time, For: q.Act(r, who.ID)}
	if it, err := a.Gate.Resolve(t.Context(), who, o.intents["write APPROVED"], r); err != nil || it.State != intent.Committed {
		t.Errorf("%s: %v", it.State, err)
	}
}

// nothingGoesOn: no message, Run, session, token, confirmation or missed schedule
// of before does anything.
func (o *office) nothingGoesOn(a *App) {
	t := o.t
	t.Helper()
	for _, segments := range []bool{true, false} {
		if due, _, err := a.store.DueMessages(t.Context(), o.time.Add(time.Hour), segments, 100); err != nil || len(due) > 0 {
			t.Errorf("the outbox has %v: %v", due, err)
		}
	}
	if r, err := a.store.Run(t.Context(), "acme", o.run); err != nil || r.State != intent.RunEnded || r.Verdict != "stopped" {
		t.Errorf("the Run is %s: %v", r.State, err)
	}
	for what, token := range map[string]string{"the session": o.session, "the Run's token": o.token} {
		if _, err := a.Directory.Authenticate(t.Context(), token, o.time); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := o.Directory.Authenticate(t.Context(), token, o.time); err != nil {
			t.Errorf("%s was worth nothing before: %v", what, err)
		}
	}
	if _, err := a.Directory.MintRun(t.Context(), "acme", o.run, o.time.Add(time.Hour), o.time); !fault.Is(err, fault.Conflict) {
		t.Error("its Run gets a token:", err)
	}
	if left, err := a.store.Left(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%d attempts are left: %v", len(left), err)
	}
}

// The backup was made on a Monday at seven, and is restored two weeks later: what
// was due in between was started by the server that is gone.
func TestARestoreStartsNoScheduleOfThePast(t *testing.T) {
	o := newOffice(t, t.TempDir())
	c := o.config(o.backup("b"))
	o.time = monday.AddDate(0, 0, 15)
	_, err := Restore(t.Context(), c)
	o.must(err)
	a := o.restored(c.Dir)
	a.startDue(t.Context())
	runs, err := a.store.Runs(t.Context(), "acme", "system:schedule", 10)
	if o.must(err); len(runs) > 0 {
		t.Errorf("%d Runs were started for the past", len(runs))
	}
	o.time = monday.AddDate(0, 0, 21)
	a.startDue(t.Context())
	if runs, err = a.store.Runs(t.Context(), "acme", "system:schedule", 10); err != nil || len(runs) != 1 {
		t.Errorf("%d Runs when the next time comes: %v", len(runs), err)
	}
}

func TestACheckMakesNothing(t *testing.T) {
	o := newOffice(t, t.TempDir())
	c := o.config(o.backup("b"))
	c.Tmp, c.Dir = t.TempDir(), ""
	rep, err := Restore(t.Context(), c)
	o.must(err)
	if !rep.Opened || !rep.Audit.OK() || rep.Secrets.Secrets != 3 || rep.Ended != nil || rep.Dir != "" {
		t.Errorf("%+v", rep)
	}
	if entries, err := os.ReadDir(c.Tmp); err != nil || len(entries) > 0 {
		t.Errorf("%v is left: %v", entries, err)
	}
	c.Seals = nil
	if rep, err = Restore(t.Context(), c); err != nil || rep.Opened || rep.Audit != nil || rep.Backup.ID == "" || !slices.Equal(rep.Backup.Seals, []string{"key-file"}) {
		t.Errorf("without a seal: %+v, %v", rep, err)
	}
	b, err := os.ReadFile(c.File)
	o.must(err)
	o.must(os.WriteFile(c.File, b[:len(b)-1], 0o600))
	if _, err := Restore(t.Context(), c); !fault.Is(err, fault.Invalid) {
		t.Error("cut, and without a seal:", err)
	}
}

func TestAnAlteredBackupIsNotRestored(t *testing.T) {
	o := newOffice(t, t.TempDir())
	file, other := o.backup("b"), o.backup("other")
	b, err := os.ReadFile(file)
	o.must(err)
	b2, err := os.ReadFile(other)
	o.must(err)
	const chunk = 64<<10 + 28
	head := bytes.IndexByte(b[20:], '\n') + 21
	head2 := bytes.IndexByte(b2[20:], '\n') + 21
	attacks := map[string][]byte{
		"nothing":                   {},
		"the header alone":          b[:head],
		"the header of another":     slices.Concat(b2[:head2], b[head:]),
		"chunks swapped":            slices.Concat(b[:head], b[head+chunk:head+2*chunk], b[head:head+chunk], b[head+2*chunk:]),
		"a chunk dropped":           slices.Concat(b[:head], b[head+chunk:]),
		"a chunk twice":             slices.Concat(b[:head+chunk], b[head:]),
		"a byte more":               append(slices.Clone(b), 0),
		"the checkpoint of another": slices.Concat(bytes.Replace(b[:head], checkpointOf(t, b[:head]), checkpointOf(t, b2[:head2]), 1), b[head:]),
	}
	for at := head; at < len(b); at += chunk {
		attacks[fmt.Sprintf("cut at %d", at)] = b[:at]
		for _, off := range []int{0, 20, chunk / 2, chunk - 1} {
			if c := slices.Clone(b); at+off < len(b) {
				c[at+off] ^= 4
				attacks[fmt.Sprintf("a bit of byte %d", at+off)] = c
			}
		}
	}
	attacks["a bit of the last byte"] = append(slices.Clone(b[:len(b)-1]), b[len(b)-1]^1)
	for what, attack := range attacks {
		c := o.config(filepath.Join(o.dir, "attack"))
		o.must(os.WriteFile(c.File, attack, 0o600))
		if _, err := Restore(t.Context(), c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
		nothingLeft(t, c)
	}
}

// checkpointOf is the signed note of acme's log in a header.
func checkpointOf(t *testing.T, head []byte) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(head, []byte(`"note":"`))
	note, _, ok2 := bytes.Cut(rest, []byte(`"`))
	if !ok || !ok2 {
		t.Fatal("the header has no checkpoint")
	}
	return note
}

func TestTheWrongSealRestoresNothing(t *testing.T) {
	o, stranger := newOffice(t, t.TempDir()), newOffice(t, t.TempDir())
	phrase, err := kek.NewPassphrase([]byte("a passphrase that is long enough"))
	o.must(err)
	for what, seal := range map[string]kek.Seal{
		"somebody else's key file": kek.NewKeyFile(filepath.Join(stranger.dir, "seal.key")),
		"a passphrase":             phrase,
	} {
		c := o.config(filepath.Join(o.dir, "b"))
		if _, err := os.Stat(c.File); err != nil {
			o.backup("b")
		}
		c.Seals = []kek.Seal{seal}
		if _, err := Restore(t.Context(), c); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", what, err)
		}
		nothingLeft(t, c)
	}
	// A backup that an attacker made of a vault of their own.
	c := o.config(stranger.backup("theirs"))
	if _, err := Restore(t.Context(), c); !fault.Is(err, fault.Denied) {
		t.Error("an attacker's backup:", err)
	}
	nothingLeft(t, c)
}

func TestABackupIsHeldAgainstACheckpointThatWasKept(t *testing.T) {
	o := newOffice(t, t.TempDir())
	kept := func() []byte {
		head, err := o.store.Audit().Head(t.Context(), "acme")
		o.must(err)
		return head.Checkpoint
	}
	before := kept()
	file := o.backup("b")
	at := kept()
	o.backup("later")
	for what, c := range map[string]struct {
		note []byte
		want audit.FindingKind
	}{
		"from before": {before, ""},
		"of then":     {at, ""},
		"from after":  {kept(), audit.Truncated},
	} {
		cfg := o.config(file)
		cfg.Checkpoint = c.note
		rep, err := Restore(t.Context(), cfg)
		if o.must(err); rep.Audit.OK() != (c.want == "") || (rep.Dir == "") != (c.want != "") {
			t.Errorf("%s: %v, made %q", what, rep.Audit.Findings(), rep.Dir)
		}
		if c.want != "" {
			if rep.Audit.Findings()[0].Kind != c.want {
				t.Errorf("%s: %v", what, rep.Audit.Findings())
			}
			nothingLeft(t, cfg)
		}
	}
	stranger := newOffice(t, t.TempDir())
	head, err := stranger.store.Audit().Head(t.Context(), "acme")
	o.must(err)
	cfg := o.config(file)
	if cfg.Checkpoint = head.Checkpoint; true {
		if rep, err := Restore(t.Context(), cfg); err != nil || rep.Audit.OK() || rep.Dir != "" {
			t.Errorf("the checkpoint of another vault: %+v, %v", rep.Audit, err)
		}
	}
	cfg.Checkpoint = []byte("no checkpoint")
	if _, err := Restore(t.Context(), cfg); !fault.Is(err, fault.Invalid) {
		t.Error("no checkpoint at all:", err)
	}
}

// What was changed in the database before it was backed up is found then.
func TestADatabaseThatWasTamperedWithIsNotRestored(t *testing.T) {
	o := newOffice(t, t.TempDir())
	o.tamper("UPDATE audit_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'ann', 'eve') AS BLOB) WHERE tenant = 'acme' AND type = 'account.created'")
	c := o.config(o.backup("b"))
	rep, err := Restore(t.Context(), c)
	if o.must(err); rep.Audit.OK() || rep.Audit.Findings()[0].Kind != audit.EntryAltered || rep.Dir != "" {
		t.Errorf("%+v", rep.Audit.Findings())
	}
	nothingLeft(t, c)
}

func TestARestoreGoesNowhereWhereSomethingIs(t *testing.T) {
	o := newOffice(t, t.TempDir())
	file := o.backup("b")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	o.must(os.Mkdir(path("full"), 0o700))
	o.must(os.WriteFile(path("full/notes.txt"), []byte("mine"), 0o600))
	o.must(os.WriteFile(path("file"), []byte("mine"), 0o600))
	o.must(os.Symlink(path("nowhere"), path("dangling")))
	o.must(os.Mkdir(path("empty"), 0o755))
	o.must(os.Symlink(path("empty"), path("link")))
	for name, want := range map[string]fault.Kind{
		path("full"): fault.Conflict, path("file"): fault.Unavailable, path("dangling"): fault.Invalid,
		path("none/deep"): fault.Unavailable, filepath.Join(o.dir, "data"): fault.Conflict,
	} {
		c := o.config(file)
		c.Dir = name
		if _, err := Restore(t.Context(), c); !fault.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := o.config(file)
	c.Dir = path("link")
	if rep, err := Restore(t.Context(), c); err != nil || rep.Dir == "" {
		t.Errorf("%+v, %v", rep, err)
	}
	if info, err := os.Stat(path("empty")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
	if _, err := os.Stat(path("empty/" + sqlite.File)); err != nil {
		t.Error(err)
	}
}

func TestARestoreThatIsInterruptedLeavesNothing(t *testing.T) {
	o := newOffice(t, t.TempDir())
	c := o.config(o.backup("b"))
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(done, _ int64) {
		if done > 100_000 {
			cancel()
		}
	}
	if _, err := Restore(ctx, c); err == nil {
		t.Error("it went on")
	}
	nothingLeft(t, c)
}
