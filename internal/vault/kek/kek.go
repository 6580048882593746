// Package kek has the seals: what opens a vault that is at rest. A vault can have
// several, and each alone unseals it: a key file, a passphrase, a key management
// service, a program of the operator's, a recovery key that is kept offline.
//
// A seal encrypts a secret of its own, see [NewSecret]; the vault's root keys are
// encrypted to the key pair that is derived from it, see [Encrypt].
//
// It refuses a key file that others than its owner can read, a passphrase that
// is short, stored parameters that would make a passphrase cheaper to guess or a
// start endless, and a root key that was encrypted to a seal by somebody who did
// not have the vault open.
//
// # Security
//
// A seal protects against who has the database and not the seal. A key file
// belongs on another disk, or in another backup, than the database; a copy of
// both is a copy of every Secret. Keys are handed over only as a plain.Value,
// which is opaque outside internal/vault.
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
	KindRecovery   Kind = "recovery"
	KindTransit    Kind = "transit"
	KindExec       Kind = "exec"
)

// Sealed is a seal's secret, encrypted by the seal, as it is stored.
type Sealed struct {
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`               // which key file or passphrase; not secret
	Params []byte `json:"params,omitempty"` // JSON that the kind defines; authenticated; may be empty
	Box    []byte `json:"box,omitempty"`    // nonce, ciphertext and tag; empty where the secret is not the server's
}

// Seal encrypts a secret. aad says which seal of which vault it is.
type Seal interface {
	// Kind is the kind; a Sealed of another kind is never tried.
	Kind() Kind
	// Wrap encrypts the secret.
	Wrap(ctx context.Context, aad box.AAD, secret plain.Value) (Sealed, error)
	// Unwrap decrypts it. Denied: it is the wrong key file or passphrase.
	// Unavailable: the seal can't be read. Invalid: it is malformed or unsafe.
	Unwrap(ctx context.Context, aad box.AAD, s Sealed) (plain.Value, error)
}

// bind is the associated data of a Sealed's box.
func bind(aad box.AAD, s Sealed) box.AAD {
	return box.Bind("seal secret", string(aad), string(s.Kind), s.ID, string(s.Params))
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
