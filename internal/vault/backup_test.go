package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

const chunk = 64<<10 + 28 // of a backup, in bytes

// business stands for what is in a database and is no Secret.
const business = "invoice 4711 of ACME: pay 90,000 to the new account"

// database is three and a half chunks.
func database() []byte { return bytes.Repeat([]byte(business+"\n"), 4400) }

// header describes database().
func (f *fixture) header() vault.BackupHeader {
	f.t.Helper()
	h := vault.NewBackup(f.now)
	h.Version, h.Schema, h.Size = "test", 5, int64(len(database()))
	h.Checkpoints = []vault.BackupCheckpoint{{Tenant: acme, Verifier: "v", Note: "sallyport.dev/log/acme\n7\nroot=\n"}}
	ring, err := f.Ring()
	if err != nil {
		f.t.Fatal(err)
	}
	h.Ring = ring
	return h
}

// backup is a whole backup of database().
func (f *fixture) backup(h vault.BackupHeader) []byte {
	f.t.Helper()
	var out bytes.Buffer
	w, err := f.SealBackup(h, &out)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := w.Write(database()); err != nil {
		f.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
	return out.Bytes()
}

// openBackup gives what the seals make of a backup.
func (f *fixture) openBackup(file []byte, seals ...kek.Seal) ([]byte, error) {
	b, err := vault.ReadBackup(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	r, err := b.Open(context.Background(), vault.Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(f.log, nil))}, seals...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestABackupComesBackWithASealAlone(t *testing.T) {
	f := start(t)
	file := f.backup(f.header())
	got, err := f.openBackup(file, f.seal)
	if err != nil || !bytes.Equal(got, database()) {
		t.Fatalf("%d bytes: %v", len(got), err)
	}
	b, err := vault.ReadBackup(bytes.NewReader(file))
	if err != nil || b.Length != int64(len(file)) || b.Header.Tenant != acme || b.Header.Vault == "" || !b.Header.CreatedAt.Equal(f.now) {
		t.Errorf("the header: %+v, %v", b.Header, err)
	}
}

func TestABackupShowsNothingOfTheDatabase(t *testing.T) {
	f := start(t)
	file := f.backup(f.header())
	for _, s := range []string{business, business[:12], base64.StdEncoding.EncodeToString([]byte(business))[:40], hex.EncodeToString([]byte(business))[:40]} {
		if bytes.Contains(file, []byte(s)) {
			t.Errorf("the backup has %q", s)
		}
	}
}

// beginning is where the header ends.
func beginning(file []byte) int {
	line := bytes.IndexByte(file, '\n') + 1
	return line + bytes.IndexByte(file[line:], '\n') + 1
}

func TestAnAlteredBackupIsRefused(t *testing.T) {
	f := start(t)
	h := f.header()
	file := f.backup(h)
	head := beginning(file)
	other := f.backup(f.header()) // of the same vault
	c := func(i int) []byte { return file[head+i*chunk : min(head+(i+1)*chunk, len(file))] }
	edit := func(old, new string) []byte {
		if !bytes.Contains(file[:head], []byte(old)) {
			t.Fatalf("the header has no %s", old)
		}
		return slices.Concat(bytes.Replace(file[:head], []byte(old), []byte(new), 1), file[head:])
	}
	for what, b := range map[string][]byte{
		"two chunks swapped":            slices.Concat(file[:head], c(1), c(0), c(2), c(3)),
		"a chunk dropped":               slices.Concat(file[:head], c(0), c(2), c(3)),
		"a chunk twice":                 slices.Concat(file[:head], c(0), c(0), c(1), c(2), c(3)),
		"the header of another":         slices.Concat(other[:beginning(other)], file[head:]),
		"the stream of another":         slices.Concat(file[:head], other[beginning(other):]),
		"a chunk of another":            slices.Concat(file[:head], c(0), other[beginning(other)+chunk:beginning(other)+2*chunk], c(2), c(3)),
		"something after it":            append(slices.Clone(file), '\n'),
		"itself after it":               slices.Concat(file, file),
		"its checkpoint replaced":       edit(`log/acme\n7\n`, `log/acme\n3\n`),
		"its key replaced":              edit(`"verifier":"v"`, `"verifier":"w"`),
		"its vault replaced":            edit(`"vault":"vault_`, `"vault":"fault_`),
		"its tenant replaced":           edit(`"tenant":"acme","schema"`, `"tenant":"evil","schema"`),
		"a larger size":                 edit(fmt.Sprintf(`"size":%d`, h.Size), fmt.Sprintf(`"size":%d`, h.Size+1)),
		"a size like a bomb":            edit(fmt.Sprintf(`"size":%d`, h.Size), `"size":1125899906842624`),
		"a size that overflows":         edit(fmt.Sprintf(`"size":%d`, h.Size), `"size":9223372036854775807`),
		"a negative size":               edit(fmt.Sprintf(`"size":%d`, h.Size), `"size":-1`),
		"another format":                edit("backup 1\n", "backup 2\n"),
		"no backup":                     []byte("SQLite format 3\x00 and so on, for a while"),
		"a field that nobody knows":     edit(`"schema":5`, `"schema":5,"more":1`),
		"a field twice":                 edit(`"schema":5`, `"schema":5,"schema":5`),
		"a space in the header":         edit(`"schema":5`, `"schema": 5`),
		"no header":                     []byte("sallyport backup 1\n"),
		"a header without an end":       append([]byte("sallyport backup 1\n"), bytes.Repeat([]byte("a"), 5<<20)...),
		"the header alone":              file[:head],
		"nothing at all":                {},
		"a header that is null":         []byte("sallyport backup 1\nnull\n"),
		"a header that is an empty one": []byte("sallyport backup 1\n{}\n"),
	} {
		refusedBackup(t, f, what, b)
	}
	for i := head; i < len(file); i += len(file) / 300 {
		b := slices.Clone(file)
		b[i] ^= 1 << (i % 8)
		refusedBackup(t, f, fmt.Sprintf("a bit of byte %d", i), b)
	}
	for i := 0; i < head; i += 7 {
		b := slices.Clone(file)
		b[i] ^= 1 << (i / 7 % 8)
		refusedBackup(t, f, fmt.Sprintf("a bit of the header's byte %d", i), b[:head+chunk+1])
	}
	for at := head; at < len(file); at += chunk {
		refusedBackup(t, f, fmt.Sprintf("cut at %d", at), file[:at])
	}
}

func refusedBackup(t *testing.T, f *fixture, what string, b []byte) {
	t.Helper()
	got, err := f.openBackup(b, f.seal)
	if err == nil {
		t.Errorf("%s: it was accepted", what)
	}
	if k := fault.KindOf(err); k != fault.Invalid && k != fault.Denied {
		t.Errorf("%s: %s: %v", what, k, err)
	}
	if !bytes.HasPrefix(database(), got) {
		t.Errorf("%s: bytes were given out that nobody had backed up", what)
	}
}

// An attacker who makes a backup of a vault of their own, in the hope that it is
// restored, has no way to encrypt it to the operator's seal.
func TestABackupOfAnAttackersVaultIsRefused(t *testing.T) {
	f, attacker := start(t), start(t)
	file := attacker.backup(attacker.header())
	if _, err := f.openBackup(file, f.seal); !fault.Is(err, fault.Denied) {
		t.Error("a vault of somebody else:", err)
	}
	// Nor is it enough to write the operator's ring above it, or one ring's seals
	// into the other.
	own := f.header()
	mine := attacker.header()
	mine.Ring.Seals = own.Ring.Seals
	if _, err := attacker.SealBackup(mine, io.Discard); !fault.Is(err, fault.Conflict) {
		t.Error("the vault itself writes foreign seals:", err)
	}
	theirs := f.backup(own)
	mixed := slices.Concat(theirs[:beginning(theirs)], file[beginning(file):])
	if _, err := f.openBackup(mixed, f.seal); !fault.Is(err, fault.Invalid) {
		t.Error("their stream under our header:", err)
	}
}

func TestTheWrongSealOpensNoBackupAndSaysSo(t *testing.T) {
	f := start(t)
	file := f.backup(f.header())
	phrase, err := kek.NewPassphrase([]byte("a passphrase that is long enough"))
	if err != nil {
		t.Fatal(err)
	}
	for what, seals := range map[string][]kek.Seal{
		"another key file": {start(t).seal},
		"a passphrase":     {phrase},
		"no key file":      {kek.NewKeyFile(filepath.Join(t.TempDir(), "none"))},
		"nothing":          {},
	} {
		got, err := f.openBackup(file, seals...)
		if err == nil || len(got) > 0 || strings.Contains(err.Error(), "altered") {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	if got, err := f.openBackup(file, phrase, f.seal); err != nil || len(got) != len(database()) {
		t.Error("one of two is the right one:", err)
	}
}

// Whoever has a seal that was removed since, and a backup from before, has the root
// key of that time and the derivation key, which never changes. It opens nothing
// that was made afterwards.
func TestARemovedSealAndAnOldBackupOpenNoNewOne(t *testing.T) {
	f := start(t)
	lost := kek.NewKeyFile(filepath.Join(t.TempDir(), "lost"))
	info, err := f.AddSeal(t.Context(), lost, admin(acme))
	if err != nil {
		t.Fatal(err)
	}
	old := f.backup(f.header())
	if err := f.RemoveSeal(t.Context(), info.ID, admin(acme)); err != nil {
		t.Fatal(err)
	}
	file := f.backup(f.header())
	if _, err := f.openBackup(old, lost); err != nil {
		t.Error("the old backup with the lost seal:", err)
	}
	if _, err := f.openBackup(file, lost); !fault.Is(err, fault.Denied) {
		t.Error("the new one with the lost seal:", err)
	}
	// The root key of the old ring for the new one's key.
	mixed, err := vault.ReadBackup(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	before, err := vault.ReadBackup(bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	mixed.Header.Ring = before.Header.Ring
	if _, err := mixed.Open(t.Context(), vault.Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(f.log, nil))}, lost); !fault.Is(err, fault.Invalid) {
		t.Error("the new one with the root key of before:", err)
	}
}

func TestASealedVaultMakesNoBackup(t *testing.T) {
	f := start(t)
	h := f.header()
	f.Seal()
	if _, err := f.SealBackup(h, io.Discard); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if _, err := f.Count(); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func TestABackupThatCanNotBeWrittenSaysSo(t *testing.T) {
	f := start(t)
	if _, err := f.SealBackup(f.header(), full{}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestSecretsAreCounted(t *testing.T) {
	f := start(t)
	f.set(acme, "erp", canary1)
	f.set(globex, "crm", canary2)
	if c, err := f.Count(); err != nil || c != (vault.Count{Secrets: 2}) {
		t.Errorf("%+v, %v", c, err)
	}
	f.store.head(acme, "erp").MAC[0] ^= 1
	f.restart()
	if c, err := f.Count(); err != nil || c != (vault.Count{Secrets: 2, Refused: 1}) {
		t.Errorf("%+v, %v", c, err)
	}
}

// Whatever the bytes are, there is no panic, and a header that is read is the one
// that these bytes say and no other.
func FuzzReadBackup(f *testing.F) {
	x := start(f)
	file := x.backup(x.header())
	f.Add(file[:beginning(file)])
	f.Add(file[:beginning(file)+chunk+5])
	f.Add([]byte("sallyport backup 1\n{}\n"))
	f.Add([]byte("sallyport backup 2\n{}\n"))
	f.Add([]byte("sallyport backup 1\n{\"size\":1,\"size\":2}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := vault.ReadBackup(bytes.NewReader(b))
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid {
				t.Fatalf("%s: %v", k, err)
			}
			return
		}
		if r.Header.Size <= 0 || r.Length <= r.Header.Size || !bytes.HasPrefix(b, []byte("sallyport backup 1\n{\"id\":")) {
			t.Fatalf("the header %+v was read", r.Header)
		}
	})
}
