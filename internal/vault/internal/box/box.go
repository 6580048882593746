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
//
// AES keeps the key beside the round keys that it makes of it, on the heap and
// out of reach. Both functions run in [plain.Do], which has that erased where the
// program was built for it; elsewhere it stays until the memory is used again.
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

// overhead is what a box is longer than its plaintext: nonce and tag.
const overhead = 12 + 16

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
	out := make([]byte, 0, len(plain.Bytes(v))+overhead) // out here, since what Do allocates is erased
	var err error
	plain.Do(func() {
		var g cipher.AEAD
		if g, err = aead(key, aad); err == nil {
			out = g.Seal(out, nil, plain.Bytes(v), aad) //nolint:gosec // G407: the AEAD makes a random nonce itself and takes none
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Open decrypts what Seal made with the same key and associated data. Anything
// else is Denied, without saying which of the two differs.
func Open(key []byte, aad AAD, sealed []byte) (plain.Value, error) {
	var b []byte
	var err error
	plain.Do(func() {
		var g cipher.AEAD
		if g, err = aead(key, aad); err != nil {
			return
		}
		// Room for all of it from the start, so that growing leaves no copy behind.
		if b, err = g.Open(make([]byte, 0, len(sealed)), nil, sealed, aad); err != nil {
			err = fault.New(fault.Denied, "the ciphertext does not belong here: its key, name, tenant, version or usage scope differs")
		}
	})
	if err != nil {
		return plain.Value{}, err
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
