package vault_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// disk is a vault over the embedded store, with n Secrets.
func disk(b *testing.B, n int) (open func() *vault.Vault) {
	dir := b.TempDir()
	seal := kek.NewKeyFile(filepath.Join(dir, "key"))
	var store *sqlite.Store
	open = func() *vault.Vault {
		if store != nil {
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
		}
		v, err := vault.New(vault.Config{Tenant: acme, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		seq, err := audit.NewSequencer("", v.AuditKey)
		if err != nil {
			b.Fatal(err)
		}
		if store, err = sqlite.Open(b.Context(), filepath.Join(dir, "data"), seq); err != nil {
			b.Fatal(err)
		}
		if err := v.Unseal(b.Context(), store, seal); err != nil {
			b.Fatal(err)
		}
		return v
	}
	v := open()
	b.Cleanup(func() { _ = store.Close() })
	var ws []vault.Write
	for i := range n {
		ws = append(ws, vault.Write{Tenant: acme, Name: fmt.Sprintf("secret-%05d", i), AnyOrigin: true, Actor: admin(acme),
			Fields: map[string][]byte{"token": fmt.Appendf(nil, "sk-%032x-%d", uint64(i)*0x9e3779b97f4a7c15, i)}})
	}
	if err := v.SetMany(b.Context(), acme, admin(acme), ws); err != nil {
		b.Fatal(err)
	}
	return open
}

// BenchmarkOpenFourReaders opens doors to 1,000 Secrets of the embedded store,
// from four goroutines.
func BenchmarkOpenFourReaders(b *testing.B) {
	v := disk(b, 1000)()
	var refs [1000]string
	for i := range refs {
		refs[i] = fmt.Sprintf("secret-%05d", i)
	}
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := v.Open(b.Context(), spec(acme, refs[i%len(refs)])); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "opens/s")
}

// BenchmarkStart opens the embedded store and unseals the vault: every row is
// verified, every value is decrypted once, and the scrub set is built.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			open := disk(b, n)
			for b.Loop() {
				open()
			}
		})
	}
}

// BenchmarkRotateKeys replaces keys of 1,000 Secrets.
func BenchmarkRotateKeys(b *testing.B) {
	v := disk(b, 1000)()
	for name, f := range map[string]func() (vault.Rotation, error){
		"root":    func() (vault.Rotation, error) { return v.RotateRoot(b.Context(), admin(acme)) },
		"project": func() (vault.Rotation, error) { return v.RotateProject(b.Context(), acme, admin(acme)) },
		"data":    func() (vault.Rotation, error) { return v.RotateData(b.Context(), acme, admin(acme)) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
