package kek

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/program"
)

// maxKeyFile is the most bytes of a key file that are read.
const maxKeyFile = 4 << 10

// KeyFile is a seal in a file of mode 0600 (or a systemd credential): JSON with
// an id, the current key and, after a renewal, the previous one.
type KeyFile struct {
	path        string
	credentials string // the directory of systemd's credentials, or empty
}

// KeyFileOption changes how the file is used.
type KeyFileOption func(*KeyFile)

// Credentials names the directory in which systemd gives a service its
// credentials ($CREDENTIALS_DIRECTORY). A key file in it may have the mode that
// systemd gives it, and is never made or renewed there. Empty: there is none.
func Credentials(dir string) KeyFileOption { return func(k *KeyFile) { k.credentials = dir } }

// NewKeyFile names the file. It is read when it is needed, and made when a key
// is first wrapped and there is none: never at an Unwrap, where a new key would
// hide that the right one is missing.
func NewKeyFile(path string, opts ...KeyFileOption) *KeyFile {
	k := &KeyFile{path: path}
	for _, o := range opts {
		o(k)
	}
	return k
}

// Kind is [KindKeyFile].
func (*KeyFile) Kind() Kind { return KindKeyFile }

// Check says why the file can't be used, or nil: it is not there, not safe, or
// damaged. Which vault it is for, it does not say.
func (k *KeyFile) Check() error {
	f, err := k.read()
	if err == nil {
		f.wipe()
	}
	return err
}

// Wrap encrypts under the current key.
func (k *KeyFile) Wrap(_ context.Context, aad box.AAD, root plain.Value) (Sealed, error) {
	f, err := k.read()
	if errors.Is(err, fs.ErrNotExist) {
		if err = k.create(); err == nil {
			f, err = k.read()
		}
	}
	if err != nil {
		return Sealed{}, err
	}
	defer f.wipe()
	s := Sealed{Kind: KindKeyFile, ID: f.ID}
	s.Box, err = box.Seal(f.Current, bind(aad, s), root)
	return s, err
}

// Unwrap tries the current key, then the previous one.
func (k *KeyFile) Unwrap(_ context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	f, err := k.read()
	if err != nil {
		return plain.Value{}, err
	}
	defer f.wipe()
	if f.ID != s.ID {
		return plain.Value{}, k.wrongFile(s)
	}
	root, err := open(plain.New(bytes.Clone(f.Current)), aad, s)
	if err != nil && f.Previous != nil {
		root, err = open(plain.New(bytes.Clone(f.Previous)), aad, s)
	}
	return root, err
}

func (k *KeyFile) wrongFile(s Sealed) error {
	return fault.Newf(fault.Denied, "the key file %s is not the one that the vault was sealed with", k.path).
		WithHint("the vault wants the key file with the id %s", fault.Quote(s.ID))
}

// keyFile is the file's content. It stays in this file of the package.
type keyFile struct {
	ID       string `json:"id"`
	Current  []byte `json:"current"`            // base64 in the file; 32 bytes
	Previous []byte `json:"previous,omitempty"` // the same, or absent
}

func (f *keyFile) wipe() {
	clear(f.Current)
	clear(f.Previous)
}

func (k *KeyFile) read() (*keyFile, error) {
	file, err := k.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "opening the key file", Err: err,
			Hint: "the vault can't be unsealed without it: restore the file, or unseal with another seal"}
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "opening the key file", Err: err,
			Hint: "the server's user has to own it, and be let into its directory"}
	}
	defer func() { _ = file.Close() }() // it was only read
	// Of the open file, not of the path: what is checked is what is read.
	info, err := file.Stat()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "looking at the key file", err)
	}
	if err := k.checkMode(info); err != nil {
		return nil, err
	}
	var f *keyFile
	plain.Do(func() { f, err = readKeyFile(file) }) // what decodes JSON and base64 keeps copies
	return f, fault.Wrap(fault.KindOf(err), "the key file "+fault.Quote(k.path), err)
}

func readKeyFile(r io.Reader) (*keyFile, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	defer clear(b)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "reading the key file", err)
	}
	return parseKeyFile(b)
}

// open opens the file; a credential by way of its directory, which no link
// leads out of: the mode that is accepted there is accepted nowhere else.
func (k *KeyFile) open() (*os.File, error) {
	name, ok := k.credential()
	if !ok {
		// Not waiting: opening a pipe would, for whoever writes into it.
		return os.OpenFile(k.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	root, err := os.OpenRoot(k.credentials)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(name)
}

// checkMode refuses what others can read or write.
func (k *KeyFile) checkMode(info fs.FileInfo) error {
	mode := info.Mode()
	if !mode.IsRegular() {
		return fault.Newf(fault.Invalid, "the key file %s is not a regular file", k.path).
			WithHint("name the file itself: a directory, a pipe or a device can't keep a key")
	}
	allowed := fs.FileMode(0o700)
	if _, ok := k.credential(); ok {
		if !program.Ours(info) {
			return fault.Newf(fault.Denied, "the credential %s belongs to another user", k.path)
		}
		allowed = 0o640 // the group's bit is the mask of the ACL that lets the service's user in
	}
	if mode.Perm()&^allowed != 0 {
		return fault.Newf(fault.Denied, "the key file %s can be used by others (mode %04o)", k.path, mode.Perm()).
			WithHint("chmod 600 %s, and consider the key as known to whoever could read it", k.path)
	}
	return nil
}

// parseKeyFile reads the content strictly. No error repeats any of it.
func parseKeyFile(b []byte) (*keyFile, error) {
	bad := func(why string) (*keyFile, error) {
		return nil, fault.New(fault.Invalid, "it is damaged: "+why).
			WithHint("restore it from its backup; a new one can't open what the old one sealed")
	}
	if len(b) > maxKeyFile {
		return bad("it is too long")
	}
	var f keyFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return bad("it is not the JSON that it was")
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("something follows its JSON")
	}
	switch {
	case !strings.HasPrefix(f.ID, "key_") || len(f.ID) > 64 || strings.ContainsFunc(f.ID, notID):
		return bad("it has no id")
	case len(f.Current) != box.KeySize:
		return bad("its current key does not have 32 bytes")
	case f.Previous != nil && len(f.Previous) != box.KeySize:
		return bad("its previous key does not have 32 bytes")
	}
	return &f, nil
}

func notID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
}

// create writes a new key file, whole and on disk before it has its name, and
// never over another.
func (k *KeyFile) create() error {
	if _, ok := k.credential(); ok {
		return errCredential("there is no key file among systemd's credentials, and none is made there")
	}
	f := keyFile{ID: ident.New("key"), Current: newKey()}
	defer f.wipe()
	tmp, err := f.write(k.path)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()        // it has another name by now
	if err := os.Link(tmp, k.path); err != nil { // fails where the name is taken
		return fault.Wrap(fault.Unavailable, "naming the key file", err)
	}
	return syncDir(filepath.Dir(k.path))
}
