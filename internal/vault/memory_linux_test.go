package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

func uintptrOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// memoryTest names the directory to the child process.
const memoryTest = "SALLYPORT_TEST_MEMORY_DIR"

// memoryName is the child's Secret.
const memoryName = "erp"

// brought is what the parent tells the child to search for: it knows the seals'
// secrets and the value, and the child gets them only in files, as a server does.
type brought struct {
	Needles    []vault.Masked
	Passphrase bool
}

// searches are what the child found, by when.
type searches map[string]found

// What this shows of each build is in docs/memory.md.
func TestMemoryHoldsKeysWhereItIsDocumented(t *testing.T) {
	if dir := os.Getenv(memoryTest); dir != "" {
		if err := memoryChild(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	seals := []bool{false}
	if vault.Erases { // elsewhere a passphrase shows nothing more, and takes its seconds
		seals = append(seals, true)
	}
	for _, passphrase := range seals {
		t.Run(fmt.Sprintf("passphrase=%v", passphrase), func(t *testing.T) {
			got := memoryOf(t, passphrase)
			for when, f := range got {
				held(t, when, f)
				if vault.Erases {
					erased(t, when, f)
				} else {
					t.Logf("%s: copies on the heap, which this build does not erase: root key %d, project key %d, data key %d, seal %d, value %d", when,
						f.total("root key", "heap"), f.total("project key", ""), f.total("data key", ""), f.total("seal", ""), f.total("value", ""))
				}
			}
			if few, many := got["20 uses"].total("value", ""), got["400 uses"].total("value", ""); vault.Erases && many > few {
				t.Errorf("after 20 uses the value is there %d times, and after 400 uses %d times", few, many)
			}
		})
	}
}

// held is what holds in every build: the root key is in exactly one locked page
// until the vault is sealed, and a copy that was planted is found.
func held(t *testing.T, when string, f found) {
	t.Helper()
	page, control := 1, 0
	switch when {
	case "sealed":
		page = 0
	case "planted":
		control = 1
	}
	for _, key := range []string{"root key", "derivation key"} {
		if n := f.total(key, "locked page"); n != page {
			t.Errorf("%s: the %s is in %d locked pages, want %d", when, key, n, page)
		}
	}
	if n := f.total("control", ""); n != control {
		t.Errorf("%s: the planted copy is there %d times, want %d", when, n, control)
	}
	for what, places := range f {
		for where := range places {
			if where != "heap" && where != "locked page" {
				t.Errorf("%s: %s is in %s", when, what, where)
			}
		}
	}
}

// erased is what holds where Do erases: no key is anywhere else.
func erased(t *testing.T, when string, f found) {
	t.Helper()
	root := 0
	if when == "planted" {
		root = 1
	}
	if n := f.total("root key", "heap"); n != root {
		t.Errorf("%s: the root key is on the heap %d times, want %d: %v", when, n, root, f)
	}
	for _, name := range []string{"project key", "data key", "seal", "derivation key"} {
		if n := f.total(name, "heap"); n != 0 {
			t.Errorf("%s: the %s is there %d times: %v", when, name, n, f)
		}
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
		b.Needles = append(append(b.Needles, vault.Mask("seal", []byte(phrase))...), vault.MaskText("seal", []byte(phrase))...)
	} else {
		b.Needles = append(append(b.Needles, vault.Mask("seal", key)...), vault.MaskText("seal", key)...)
	}
	control := make([]byte, 32)
	_, _ = rand.Read(control)
	b.Needles = append(b.Needles, vault.Mask("control", control)[0])
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
	seal, err := memorySeal(dir, b.Passphrase)
	if err != nil {
		return err
	}
	keys, err := vault.HeldKeys(v, seal)
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
		if b.Passphrase {
			break // what a use leaves does not depend on the seal
		}
		if err := memoryUse(v, uses); err != nil {
			return err
		}
		if err := look(fmt.Sprintf("%d uses", uses)); err != nil {
			return err
		}
	}
	planted, err := vault.CopyOfRoot(v)
	if err != nil {
		return err
	}
	control := plant(b.Needles)
	err = look("planted")
	runtime.KeepAlive(planted)
	clear(planted)
	clear(control)
	if err != nil {
		return err
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		return fmt.Errorf("the process that was searched is dumpable: %d, %w", n, err)
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

// plant makes the one copy of the control.
func plant(needles []vault.Masked) []byte {
	for _, n := range needles {
		if n.Name == "control" {
			out := make([]byte, len(n.Mask))
			for i := range out {
				out[i] = n.Masked[i] ^ n.Mask[i]
			}
			return out
		}
	}
	return nil
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
		if _, err := door.RoundTrip(req); err == nil { // there is no system
			return errors.New("a request was answered")
		}
	}
	return nil
}
