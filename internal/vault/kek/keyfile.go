package kek

import (
	"bytes"
	"context"
	"crypto/rand"
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
)

// maxKeyFile is the most bytes of a key file that are read.
const maxKeyFile = 4 << 10

// KeyFile is a seal in a file of mode 0600 (or a systemd credential): JSON with
// an id, the current key and, after a rotation, the previous one.
type KeyFile struct{ path string }

// NewKeyFile names the file. It is read when it is needed, and made when a root
// key is first wrapped and there is none: never at an Unwrap, where a new key
// would hide that the right one is missing.
func NewKeyFile(path string) *KeyFile { return &KeyFile{path} }

// Kind is [KindKeyFile].
func (*KeyFile) Kind() Kind { return KindKeyFile }

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
		return plain.Value{}, fault.Newf(fault.Denied, "the key file %s is not the one that the vault was sealed with", k.path).
			WithHint("the vault wants the key file with the id %s", fault.Quote(s.ID))
	}
	root, err := open(plain.New(bytes.Clone(f.Current)), aad, s)
	if err != nil && f.Previous != nil {
		root, err = open(plain.New(bytes.Clone(f.Previous)), aad, s)
	}
	return root, err
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
	// Not waiting: opening a pipe would, for whoever writes into it.
	file, err := os.OpenFile(k.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "opening the key file", Err: err,
			Hint: "the vault can't be unsealed without it: restore the file, or unseal with the passphrase"}
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
	if err := checkMode(k.path, info); err != nil {
		return nil, err
	}
	var f *keyFile
	plain.Do(func() { f, err = readKeyFile(file) }) // what decodes JSON and base64 keeps copies
	return f, err
}

func readKeyFile(r io.Reader) (*keyFile, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	defer clear(b)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "reading the key file", err)
	}
	return parseKeyFile(b)
}

// checkMode refuses what others can read or write.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fault.Newf(fault.Invalid, "the key file %s is not a regular file", path).
			WithHint("name the file itself: a directory, a pipe or a device can't keep a key")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fault.Newf(fault.Denied, "the key file %s can be used by others (mode %04o)", path, info.Mode().Perm()).
			WithHint("chmod 600 %s, and consider the key as known to whoever could read it", path)
	}
	return nil
}

// parseKeyFile reads the content strictly. No error repeats any of it.
func parseKeyFile(b []byte) (*keyFile, error) {
	bad := func(why string) (*keyFile, error) {
		return nil, fault.New(fault.Invalid, "the key file is damaged: "+why).
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
	f := keyFile{ID: ident.New("key"), Current: make([]byte, box.KeySize)}
	_, _ = rand.Read(f.Current) // never fails
	defer f.wipe()
	b, err := json.Marshal(f)
	if err != nil {
		return fault.New(fault.Internal, "encoding the key file")
	}
	defer clear(b)
	dir := filepath.Dir(k.path)
	tmp, err := os.CreateTemp(dir, ".sallyport-key-*") // mode 0600
	if err != nil {
		return &fault.Error{Kind: fault.Unavailable, Msg: "making the key file", Err: err,
			Hint: "its directory has to be there, and the server's user has to be able to write to it"}
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // what stays is a file of 0600 beside the key file, with the same content or less
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fault.Wrap(fault.Unavailable, "writing the key file", err)
	}
	if err := os.Link(tmp.Name(), k.path); err != nil { // fails where the name is taken
		return fault.Wrap(fault.Unavailable, "naming the key file", err)
	}
	return syncDir(dir)
}

// syncDir makes a new name durable: the root key must not be on disk under a
// key file that a power cut takes away.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "opening the key file's directory", err)
	}
	return fault.Wrap(fault.Unavailable, "syncing the key file's directory", errors.Join(d.Sync(), d.Close()))
}
