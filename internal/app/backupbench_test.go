package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// large is a program over a database of some 64 MB.
func large(b *testing.B) (a *App, dir string) {
	b.Helper()
	dir = b.TempDir()
	a, err := New(b.Context(), Config{Dir: filepath.Join(dir, "data"), Tenant: "acme", LogHandler: slog.DiscardHandler, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(dir, "seal.key"))}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Stop(context.WithoutCancel(b.Context())) })
	err = a.Vault.Unseal(b.Context(), a.store, a.cfg.Seals...)
	text := strings.Repeat("what a system answered, line by line\n", 27_000)
	for range 64 {
		err = errors.Join(err, a.store.Observe(b.Context(), explain.Observation{Tenant: "acme", Run: "run_1", At: time.Now(), Kind: explain.ToolCall, Text: text}))
	}
	if err != nil {
		b.Fatal(err)
	}
	return a, dir
}

// backupTo is Backup after its confirmation.
func (a *App) backupTo(ctx context.Context, w io.Writer) error {
	snap, err := a.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	h := vault.NewBackup(time.Now())
	h.Version = Version
	return errors.Join(a.writeBackup(ctx, h, snap, w), snap.Close())
}

// BenchmarkBackup reads and encrypts the database; what is done with it is the
// client's business.
func BenchmarkBackup(b *testing.B) {
	a, dir := large(b)
	b.SetBytes(sizeAt(b, filepath.Join(dir, "data", "sallyport.db")))
	for b.Loop() {
		if err := a.backupTo(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore makes a data directory, with every check and every fsync.
func BenchmarkRestore(b *testing.B) {
	a, dir := large(b)
	file := filepath.Join(dir, "b")
	if err := NewFile(file, func(w io.Writer) error { return a.backupTo(b.Context(), w) }); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(sizeAt(b, file))
	for b.Loop() {
		c := RestoreConfig{File: file, Dir: filepath.Join(dir, "new"), Seals: a.cfg.Seals, LogHandler: slog.DiscardHandler, Now: time.Now}
		if rep, err := Restore(b.Context(), c); err != nil || rep.Dir == "" {
			b.Fatal(rep, err)
		}
		if err := os.RemoveAll(c.Dir); err != nil {
			b.Fatal(err)
		}
	}
}

func sizeAt(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
