// Package box encrypts one short plaintext under one key: AES-256-GCM with a
// random nonce, and associated data that says what the ciphertext is and where
// it belongs. Every layer of the envelope (seal, root, project key, data key,
// value) is one box.
//
// It refuses a key that is not 32 bytes, and associated data that is empty: a
// ciphertext that belongs nowhere could be moved anywhere.
//
// # Security
//
// Each part of the associated data is length-prefixed, so that no two lists of
// parts give the same bytes. A random nonce of 96 bits allows 2^32 boxes under
// one key; a data key makes one, and a project key's term ends long before.
package box

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// KeySize is the length of every key, in bytes.
const KeySize = 32

// AAD is associated data: what the box is, and where it belongs.
type AAD []byte

// Bind makes associated data of a purpose and parts.
func Bind(purpose string, parts ...string) AAD {
	out := appendPart(nil, purpose)
	for _, p := range parts {
		out = appendPart(out, p)
	}
	return out
}

func appendPart(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// Seal encrypts v. The result is nonce, ciphertext and tag.
func Seal(key []byte, aad AAD, v plain.Value) ([]byte, error) {
	g, err := aead(key, aad)
	if err != nil {
		return nil, err
	}
	return g.Seal(nil, nil, plain.Bytes(v), aad), nil //nolint:gosec // G407: the AEAD makes a random nonce itself and takes none
}

// Open decrypts what Seal made with the same key and associated data. Anything
// else is Denied, without saying which of the two differs.
func Open(key []byte, aad AAD, sealed []byte) (plain.Value, error) {
	g, err := aead(key, aad)
	if err != nil {
		return plain.Value{}, err
	}
	// Room for all of it from the start, so that growing leaves no copy behind.
	b, err := g.Open(make([]byte, 0, len(sealed)), nil, sealed, aad)
	if err != nil {
		return plain.Value{}, fault.New(fault.Denied, "the ciphertext does not belong here: its key, name, tenant, version or usage scope differs")
	}
	return plain.New(b), nil
}

func aead(key []byte, aad AAD) (cipher.AEAD, error) {
	if len(key) != KeySize || len(aad) == 0 {
		return nil, fault.New(fault.Internal, "a box without a proper key or without associated data")
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "preparing AES")
	}
	g, err := cipher.NewGCMWithRandomNonce(c)
	if err != nil {
		return nil, fault.New(fault.Internal, "preparing AES-GCM")
	}
	return g, nil
}
