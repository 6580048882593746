package kek_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/kek"
)

var _ kek.Renewer = (*kek.KeyFile)(nil)

// opens checks that what is stored opens, by a process that starts now.
func opens(path string, s kek.Sealed) error {
	got, err := kek.NewKeyFile(path).Unwrap(context.Background(), aad, s)
	if err == nil && !bytes.Equal(plain.Bytes(got), plain.Bytes(root())) {
		err = fmt.Errorf("it opened as something else")
	}
	return err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestARenewedKeyFileHasANewKeyAndKeepsTheOldOne(t *testing.T) {
	k, path, stored := wrap(t)
	first := read(t, path)
	for range 2 { // after two, the first key is in the file no more
		if err := k.Renew(t.Context(), aad, stored); err != nil {
			t.Fatal(err)
		}
		if err := opens(path, stored); err != nil {
			t.Fatalf("before the new box is stored: %v", err)
		}
		next, err := k.Wrap(t.Context(), aad, root())
		if err != nil || next.ID != stored.ID {
			t.Fatalf("%v, id %s", err, next.ID)
		}
		stored = next
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	old := filepath.Join(t.TempDir(), "key")
	write(t, old, first, 0o600)
	if err := opens(old, stored); !fault.Is(err, fault.Denied) {
		t.Errorf("what is stored opens with a key file from before two renewals: %v", err)
	}
}

// A crash leaves one of few states: the old file, with or without a part of the
// new one beside it, or the new file; and the database with the old box or the
// new one. Whatever they follow each other in, what is stored opens.
func TestNoSequenceOfRenewalsAndCrashesLosesTheKey(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 1))
		_, path, stored := wrap(t)
		tmp := filepath.Join(filepath.Dir(path), ".key.LEFT.new")
		var did []string
		for range 12 {
			k, before := kek.NewKeyFile(path), read(t, path) // a process that starts now
			if err := k.Renew(t.Context(), aad, stored); err != nil {
				t.Fatalf("seed %d: after %v: %v", seed, did, err)
			}
			after := read(t, path)
			if _, err := os.Stat(tmp); err == nil && !bytes.Equal(before, after) {
				t.Fatal("keys of an interrupted try are still beside the file")
			}
			switch r.IntN(4) {
			case 0:
				did = append(did, "crash while the file is written")
				write(t, path, before, 0o600)
				write(t, tmp, after[:r.IntN(len(after)+1)], 0o600)
			case 1:
				did = append(did, "crash after the file was renamed")
			case 2:
				did = append(did, "crash before the database commits")
				if _, err := k.Wrap(t.Context(), aad, root()); err != nil {
					t.Fatal(err)
				}
			case 3:
				did = append(did, "renew")
				next, err := k.Wrap(t.Context(), aad, root())
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(next.Box, stored.Box) {
					t.Fatal("the box is the old one")
				}
				stored = next
			}
			if err := opens(path, stored); err != nil {
				t.Fatalf("seed %d: what is stored does not open after %v: %v", seed, did, err)
			}
		}
	}
}

func TestARenewalThatDidNotFinishIsGoneOnWith(t *testing.T) {
	k, path, stored := wrap(t)
	if err := k.Renew(t.Context(), aad, stored); err != nil {
		t.Fatal(err)
	}
	once := read(t, path)
	if err := k.Renew(t.Context(), aad, stored); err != nil || !bytes.Equal(once, read(t, path)) {
		t.Errorf("the second try changed the file, which has its new key already: %v", err)
	}
}

func TestARenewalThatCantKeepTheKeyChangesNothing(t *testing.T) {
	_, other, foreign := wrap(t)
	k, path, stored := wrap(t)
	before := read(t, path)
	rewritten := stored
	rewritten.Box = bytes.Clone(stored.Box)
	rewritten.Box[20] ^= 1
	passphrase := stored
	passphrase.Kind = kek.KindPassphrase
	for name, c := range map[string]struct {
		stored kek.Sealed
		aad    box.AAD
		kind   fault.Kind
	}{
		"another key file's box":  {foreign, aad, fault.Denied},
		"a damaged box":           {rewritten, aad, fault.Denied},
		"another vault's box":     {stored, box.Bind("root", "vault_2", "1"), fault.Denied},
		"another kind of seal":    {passphrase, aad, fault.Invalid},
		"nothing that was stored": {kek.Sealed{}, aad, fault.Invalid},
	} {
		if err := k.Renew(t.Context(), c.aad, c.stored); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is in the way can't be removed: the disk refuses before the file is touched.
	if err := os.MkdirAll(filepath.Join(filepath.Dir(path), ".key.LEFT.new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Renew(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nothing can be written: %v", err)
	}
	if !bytes.Equal(before, read(t, path)) || opens(path, stored) != nil || opens(other, foreign) != nil {
		t.Error("a refused renewal changed the file")
	}
	if err := kek.NewKeyFile(filepath.Join(t.TempDir(), "key")).Renew(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a key file that is not there: %v", err)
	}
}

func TestALinkToTheKeyFileStaysALink(t *testing.T) {
	_, path, stored := wrap(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	if err := kek.NewKeyFile(link).Renew(t.Context(), aad, stored); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 || bytes.Equal(before, read(t, path)) {
		t.Errorf("the file that it leads to was not renewed: %v", err)
	}
	if err := opens(path, stored); err != nil {
		t.Error(err)
	}
}

func TestASystemdCredentialMayHaveTheModeThatItIsGiven(t *testing.T) {
	_, path, stored := wrap(t)
	content, dir := read(t, path), t.TempDir()
	cred := filepath.Join(dir, "seal.key")
	for mode, ok := range map[os.FileMode]bool{0o440: true, 0o400: true, 0o600: true, 0o444: false, 0o404: false, 0o660: false, 0o442: false, 0o450: false} {
		_ = os.Remove(cred)
		write(t, cred, content, mode)
		_, err := kek.NewKeyFile(cred, kek.Credentials(dir)).Unwrap(t.Context(), aad, stored)
		if ok && err != nil || !ok && !fault.Is(err, fault.Denied) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	_ = os.Remove(cred)
	write(t, cred, content, 0o440)
	for name, k := range map[string]*kek.KeyFile{
		"no directory is named":                kek.NewKeyFile(cred),
		"an empty directory is named":          kek.NewKeyFile(cred, kek.Credentials("")),
		"another directory is named":           kek.NewKeyFile(cred, kek.Credentials(t.TempDir())),
		"one whose name begins alike is named": kek.NewKeyFile(cred, kek.Credentials(dir[:len(dir)-1])),
	} {
		if _, err := k.Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Denied) {
			t.Errorf("mode 0440 where %s: %v", name, err)
		}
	}
}

func TestALinkDoesNotLeadOutOfTheCredentials(t *testing.T) {
	_, path, stored := wrap(t)
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "seal.key")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := kek.NewKeyFile(link, kek.Credentials(dir)).Unwrap(t.Context(), aad, stored); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a group's file outside was taken for a credential: %v", err)
	}
}

func TestNoKeyFileIsMadeOrRenewedAmongCredentials(t *testing.T) {
	dir := t.TempDir()
	k := kek.NewKeyFile(filepath.Join(dir, "seal.key"), kek.Credentials(dir))
	_, err := k.Wrap(t.Context(), aad, root())
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.HintOf(err), "systemd-creds encrypt") || !strings.Contains(fault.HintOf(err), "LoadCredentialEncrypted=") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("made there: %v, %v", files, err)
	}
	_, path, stored := wrap(t)
	write(t, filepath.Join(dir, "seal.key"), read(t, path), 0o400)
	if err := k.Renew(t.Context(), aad, stored); !fault.Is(err, fault.Invalid) || fault.HintOf(err) == "" {
		t.Errorf("renewing one: %v", err)
	}
	if next, err := k.Wrap(t.Context(), aad, root()); err != nil || next.ID != stored.ID {
		t.Errorf("wrapping under one: %v", err)
	}
}
