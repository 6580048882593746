// Package kek has the seals: what the vault's root key is encrypted with while
// it is at rest. There are a key file and a passphrase; a vault can have
// several, and each alone unseals it.
//
// It refuses a key file that others than its owner can read, a passphrase that
// is short, and stored parameters that would make a passphrase cheaper to guess
// or a start endless.
//
// # Security
//
// A seal protects against who has the database and not the seal. The key file
// belongs on another disk, or in another backup, than the database; a copy of
// both is a copy of every Secret. The root key is handed over only as a
// plain.Value, which is opaque outside internal/vault.
package kek

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// Kind says what sort of seal it is.
type Kind string

// The kinds.
const (
	KindKeyFile    Kind = "key-file"
	KindPassphrase Kind = "passphrase"
	KindTransit    Kind = "transit"
	KindExec       Kind = "exec"
)

// Sealed is the root key under one seal, as it is stored.
type Sealed struct {
	Kind   Kind
	ID     string // which key file or passphrase; not secret
	Params []byte // JSON that the kind defines; authenticated; may be empty
	Box    []byte // nonce, ciphertext and tag
}

// Seal encrypts the root key. aad says which root key of which vault it is.
type Seal interface {
	// Kind is the kind; a Sealed of another kind is never tried.
	Kind() Kind
	// Wrap encrypts the root key.
	Wrap(ctx context.Context, aad box.AAD, root plain.Value) (Sealed, error)
	// Unwrap decrypts it. Denied: it is the wrong key file or passphrase.
	// Unavailable: the seal can't be read. Invalid: it is malformed or unsafe.
	Unwrap(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error)
}

// bind is the associated data of a Sealed's box.
func bind(aad box.AAD, s Sealed) box.AAD {
	return box.Bind("root key", string(aad), string(s.Kind), s.ID, string(s.Params))
}

// open decrypts s under key, and wipes the key.
func open(key plain.Value, aad box.AAD, s Sealed) (root plain.Value, err error) {
	defer plain.Wipe(key)
	plain.Do(func() { root, err = box.Open(plain.Bytes(key), bind(aad, s), s.Box) })
	if fault.Is(err, fault.Denied) {
		return plain.Value{}, fault.Newf(fault.Denied, "this is not the %s that the vault was sealed with", s.Kind)
	}
	return root, err
}
