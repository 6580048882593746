package kek

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// Renewer is a seal with a key of its own that it can replace.
type Renewer interface {
	// Renew makes the key new under which the next Wrap encrypts. It is given
	// what is stored under the seal now, which still opens afterwards, however
	// often Renew is called before a new Wrap's result is stored.
	Renew(ctx context.Context, aad box.AAD, stored Sealed) error
}

// Renew replaces the file: a new current key, and as the previous one the key
// that opens stored. The file is on disk when Renew returns, and the old file is
// there, whole, until then.
//
// A renewal that ended between the file and the database is repeated by another
// Renew: stored then opens with the previous key alone, and the file, which has
// its new key already, stays as it is. So the key that opens what is stored is
// never dropped. A file that serves two vaults would lose the other one's key at
// the second renewal; one vault has one key file.
//
// Denied: stored opens with neither key; nothing was changed. Invalid: it is a
// systemd credential, or stored is not of this kind.
func (k *KeyFile) Renew(_ context.Context, aad box.AAD, stored Sealed) error {
	if stored.Kind != KindKeyFile {
		return fault.New(fault.Invalid, "a key file renews only what a key file has sealed")
	}
	if _, ok := k.credential(); ok {
		return errCredential("the key file is a systemd credential, which can't be changed from here")
	}
	f, err := k.read()
	if err != nil {
		return err
	}
	defer f.wipe()
	if f.ID != stored.ID {
		return k.wrongFile(stored)
	}
	switch opens, err := f.opens(f.Current, aad, stored); {
	case err != nil:
		return err
	case opens:
		return k.replace(f)
	}
	if opens, err := f.opens(f.Previous, aad, stored); err != nil || opens {
		return err // an earlier renewal got as far as the file
	}
	return fault.New(fault.Denied, "the key file does not open what is stored: it was not renewed").
		WithHint("a key is only replaced by one that can take its place; unseal with another seal, and add a new key file")
}

// opens tries a key of the file.
func (f *keyFile) opens(key []byte, aad box.AAD, s Sealed) (bool, error) {
	if key == nil {
		return false, nil
	}
	v, err := open(plain.New(bytes.Clone(key)), aad, s)
	plain.Wipe(v)
	if fault.Is(err, fault.Denied) {
		return false, nil
	}
	return err == nil, err
}

// replace puts a file with a new current key in the place of f's.
func (k *KeyFile) replace(f *keyFile) error {
	path, err := filepath.EvalSymlinks(k.path) // a link stays one
	if err != nil {
		return fault.Wrap(fault.Unavailable, "finding the key file", err)
	}
	next := keyFile{ID: f.ID, Current: newKey(), Previous: bytes.Clone(f.Current)}
	defer next.wipe()
	tmp, err := next.write(path)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fault.Wrap(fault.Unavailable, "replacing the key file", errors.Join(err, os.Remove(tmp)))
	}
	return syncDir(filepath.Dir(path))
}

// write writes f, whole and on disk, beside path, under a name that nobody else
// writes to. What an interrupted try left is removed: it has keys in it.
func (f *keyFile) write(path string) (tmp string, err error) {
	var b []byte
	plain.Do(func() { b, err = json.Marshal(f) })
	defer clear(b)
	if err != nil {
		return "", fault.New(fault.Internal, "encoding the key file")
	}
	if err := removeLeft(path); err != nil {
		return "", err
	}
	tmp = filepath.Join(filepath.Dir(path), tmpPrefix(path)+rand.Text()+tmpSuffix)
	file, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, "making the key file", err)
	}
	_, err = file.Write(b) // without an end of line: a longer copy of b would stay in memory
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", fault.Wrap(fault.Unavailable, "writing the key file", errors.Join(err, os.Remove(tmp)))
	}
	return tmp, nil
}

// tmpPrefix and tmpSuffix are what a file has around its random part while it is
// written.
func tmpPrefix(path string) string { return "." + filepath.Base(path) + "." }

const tmpSuffix = ".new"

// removeLeft removes what an interrupted write of path left beside it. Another
// one under way then fails, and takes nothing with it.
func removeLeft(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "looking for what is left of an earlier try", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tmpPrefix(path)) || !strings.HasSuffix(e.Name(), tmpSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(fault.Unavailable, "removing what is left of an earlier try", err)
		}
	}
	return nil
}

func newKey() []byte {
	key := make([]byte, box.KeySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// syncDir makes a new name durable: nothing must be on disk under a key that a
// power cut takes away.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "opening the key file's directory", err)
	}
	return fault.Wrap(fault.Unavailable, "syncing the key file's directory", errors.Join(d.Sync(), d.Close()))
}

// credential is the file's name in the directory of systemd's credentials.
func (k *KeyFile) credential() (name string, ok bool) {
	if k.credentials == "" {
		return "", false
	}
	dir, err1 := filepath.Abs(k.credentials)
	path, err2 := filepath.Abs(k.path)
	if err := errors.Join(err1, err2); err != nil {
		return "", false
	}
	name, ok = strings.CutPrefix(path, dir+string(filepath.Separator))
	return name, ok && filepath.IsLocal(name)
}

// errCredential says how a key file becomes a credential.
func errCredential(msg string) error {
	return fault.New(fault.Invalid, msg).
		WithHint("make a key file with --key-file in another place, encrypt it with systemd-creds encrypt, name the result in the unit with LoadCredentialEncrypted=, and remove the plain file (docs/seals.md)")
}
