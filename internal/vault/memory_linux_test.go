package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"log/slog"

	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

func uintptrOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// memoryTest names the directory to the child process.
const memoryTest = "SALLYPORT_TEST_MEMORY_DIR"

// The values of the child's Secret, as the child's parent knows them.
const memoryName = "erp"

// brought is what the parent tells the child to search for: it knows the seals'
// secrets and the value, and the child gets them only in files, as a server does.
type brought struct {
	Needles    []vault.Masked
	Passphrase bool
}

// searches are what the child found, by when.
type searches map[string]found

func TestMemoryHoldsKeysWhereItIsDocumented(t *testing.T) {
	if dir := os.Getenv(memoryTest); dir != "" {
		if err := memoryChild(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, passphrase := range []bool{false, true} {
		t.Run(fmt.Sprintf("passphrase=%v", passphrase), func(t *testing.T) {
			t.Parallel()
			got := memoryOf(t, passphrase)
			for when, f := range got {
				for what, where := range f {
					t.Logf("%s: %s: %v", when, what, where)
				}
			}
		})
	}
}

// memoryOf runs the child.
func memoryOf(t *testing.T, passphrase bool) searches {
	t.Helper()
	dir := t.TempDir()
	var b brought
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	file, err := json.Marshal(map[string]any{"id": "key_a", "current": key})
	if err != nil {
		t.Fatal(err)
	}
	write("key", string(file))
	value, phrase := "v-"+rand.Text()+rand.Text(), rand.Text()+"-"+rand.Text()
	write("value", value)
	b.Needles = append(vault.Mask("value", []byte(value)), vault.MaskText("value", []byte(value))...)
	if b.Passphrase = passphrase; passphrase {
		write("phrase", phrase)
		b.Needles = append(append(b.Needles, vault.Mask("passphrase", []byte(phrase))...), vault.MaskText("passphrase", []byte(phrase))...)
	} else {
		b.Needles = append(append(b.Needles, vault.Mask("key file's key", key)...), vault.MaskText("key file's key", key)...)
	}
	in, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryHoldsKeysWhereItIsDocumented$") // this very test
	cmd.Env, cmd.Stdin = append(os.Environ(), memoryTest+"="+dir), bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	report, err := os.ReadFile(filepath.Join(dir, "report"))
	if err != nil {
		t.Fatal(err)
	}
	var got searches
	if err := json.Unmarshal(report, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// memoryChild is a hardened process with a vault, which searches itself.
func memoryChild(dir string) error {
	own, err := openMemory()
	if err != nil {
		return err
	}
	if err := vault.Harden(); err != nil {
		return err
	}
	var b brought
	if err := json.NewDecoder(os.Stdin).Decode(&b); err != nil {
		return err
	}
	v, err := vault.New(vault.Config{Tenant: acme, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	store := &memory{}
	for range 2 { // the first start, then one like every other
		v.Seal()
		seal, err := memorySeal(dir, b.Passphrase)
		if err != nil {
			return err
		}
		if err := v.Unseal(context.Background(), store, seal); err != nil {
			return err
		}
	}
	if err := memorySet(v, dir); err != nil {
		return err
	}
	keys, err := vault.HeldKeys(v)
	if err != nil {
		return err
	}
	b.Needles = append(b.Needles, keys...)
	got := searches{}
	look := func(when string) error {
		runtime.GC() // finds what is not used any more
		runtime.GC() // has swept it
		f, err := own.search(b.Needles)
		got[when] = f
		return err
	}
	if err := look("unsealed"); err != nil {
		return err
	}
	for _, uses := range []int{20, 400} {
		if err := memoryUse(v, uses); err != nil {
			return err
		}
		if err := look(fmt.Sprintf("after %d uses", uses)); err != nil {
			return err
		}
	}
	planted, err := vault.CopyOfRoot(v)
	if err != nil {
		return err
	}
	err = look("planted")
	runtime.KeepAlive(planted)
	clear(planted)
	if err != nil {
		return err
	}
	v.Seal()
	if err := look("sealed"); err != nil {
		return err
	}
	report, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report"), report, 0o600)
}

// memorySeal opens a seal as serve does.
func memorySeal(dir string, passphrase bool) (kek.Seal, error) {
	if !passphrase {
		return kek.NewKeyFile(filepath.Join(dir, "key")), nil
	}
	phrase, err := os.ReadFile(filepath.Join(dir, "phrase"))
	if err != nil {
		return nil, err
	}
	return kek.NewPassphrase(phrase)
}

func memorySet(v *vault.Vault, dir string) error {
	value, err := os.ReadFile(filepath.Join(dir, "value"))
	if err != nil {
		return err
	}
	_, err = v.Set(context.Background(), vault.Write{Tenant: acme, Name: memoryName, Fields: map[string][]byte{"token": value}, AnyOrigin: true, Actor: admin(acme)})
	return err
}

// memoryUse opens a door and sends a request by it, again and again.
func memoryUse(v *vault.Vault, times int) error {
	for range times {
		door, err := v.Open(context.Background(), spec(acme, memoryName))
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://erp.example/", http.NoBody)
		if err != nil {
			return err
		}
		if _, err := door.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "") {
			return err
		}
	}
	return nil
}
