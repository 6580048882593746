package kek

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
)

// Recovery is a seal whose secret is made away from the server and kept offline.
// The server has its public half only, so it can't unseal with it by itself.
type Recovery struct{ path string }

// recoveryFile is what is kept offline: mode 0600, JSON.
type recoveryFile struct {
	ID     string `json:"id"`     // "rec_…"
	Secret []byte `json:"secret"` // base64 in the file; 32 bytes
}

// RecoveryPublic is the half that the server is given. The tag key is no key to
// anything that is stored: who has it and can write the database could replace
// the root key that this seal opens, so it is not published either.
type RecoveryPublic struct {
	ID     string `json:"id"`
	Public []byte `json:"public"` // the HPKE public key
	Tag    []byte `json:"tag"`    // 32 bytes
}

// NewRecovery makes a recovery key in a new file, and gives what the server is
// to have of it, as JSON. It never writes over a file.
func NewRecovery(path string) (public []byte, err error) {
	secret := NewSecret()
	defer plain.Wipe(secret)
	f := recoveryFile{ID: ident.New("rec"), Secret: plain.Bytes(secret)}
	key, tag, err := Public(secret)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(tag)
	public, err = json.Marshal(RecoveryPublic{ID: f.ID, Public: key, Tag: plain.Bytes(tag)})
	if err != nil {
		return nil, fault.New(fault.Internal, "encoding the recovery key's public half")
	}
	b, err := json.Marshal(f) //nolint:gosec // G117: it is what the file is for
	if err != nil {
		return nil, fault.New(fault.Internal, "encoding the recovery key")
	}
	defer clear(b)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fault.Newf(fault.Conflict, "there is a file %s already, and a recovery key is written over none", fault.Quote(path)).
			WithHint("it may be a recovery key: name another file")
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "making the recovery key's file", Err: err, Hint: "its directory has to be there, and writable"}
	}
	_, err = file.Write(append(b, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "writing the recovery key's file", err)
	}
	return append(public, '\n'), syncDir(filepath.Dir(path))
}

// ParseRecoveryPublic reads the half that the server is given.
func ParseRecoveryPublic(b []byte) (RecoveryPublic, error) {
	var p RecoveryPublic
	bad := fault.New(fault.Invalid, "this is not the public half of a recovery key").
		WithHint("it is what made the recovery key wrote to stdout")
	if err := safe.Strict(b, &p); err != nil || !recoveryID(p.ID) || len(p.Tag) != box.KeySize {
		return RecoveryPublic{}, bad
	}
	kem, _, _ := suite()
	if _, err := kem.NewPublicKey(p.Public); err != nil {
		return RecoveryPublic{}, bad
	}
	return p, nil
}

func recoveryID(s string) bool {
	return strings.HasPrefix(s, "rec_") && len(s) <= 64 && !strings.ContainsFunc(s, notID)
}

// NewRecoveryKey names the file with the offline half. It is read when it is
// needed.
func NewRecoveryKey(path string) *Recovery { return &Recovery{path} }

// Kind is [KindRecovery].
func (*Recovery) Kind() Kind { return KindRecovery }

// Wrap is Invalid: a recovery key is added to a vault by its public half.
func (*Recovery) Wrap(context.Context, box.AAD, plain.Value) (Sealed, error) {
	return Sealed{}, fault.New(fault.Invalid, "a recovery key is added by its public half")
}

// Unwrap gives the secret in the file, when it is the one that s names.
func (r *Recovery) Unwrap(_ context.Context, _ box.AAD, s Sealed) (plain.Value, error) {
	file, err := os.Open(r.path)
	if err != nil {
		return plain.Value{}, &fault.Error{Kind: fault.Unavailable, Msg: "opening the recovery key's file", Err: err, Hint: "check what follows --recovery-key"}
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return plain.Value{}, fault.Wrap(fault.Unavailable, "looking at the recovery key's file", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return plain.Value{}, fault.Newf(fault.Denied, "the recovery key's file %s can be used by others, or is no file", r.path).
			WithHint("chmod 600 %s", r.path)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	defer clear(b)
	var f recoveryFile
	if err != nil || len(b) > maxKeyFile || safe.Strict(b, &f) != nil || !recoveryID(f.ID) || len(f.Secret) != box.KeySize {
		clear(f.Secret)
		return plain.Value{}, fault.New(fault.Invalid, "the recovery key's file "+fault.Quote(r.path)+" is damaged").
			WithHint("use its copy; a new recovery key opens nothing that this one did")
	}
	if f.ID != s.ID {
		clear(f.Secret)
		return plain.Value{}, fault.Newf(fault.Denied, "the recovery key in %s is not this vault's", r.path).
			WithHint("the vault wants the one with the id %s", fault.Quote(s.ID))
	}
	return plain.New(f.Secret), nil
}
