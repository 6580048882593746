package kek

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// A seal protects one secret of 32 random bytes, and that never changes while
// the seal lasts. From it come a key pair, to which root keys are encrypted, and
// a tag key. With the public key a new root key is encrypted to a seal that is
// not at hand; the tag says that somebody did it who had the vault open, since
// a public key alone would let whoever can write the database plant a root key
// of their own, and read what is stored from then on.

// sizeTag is the length of a tag: HMAC-SHA-256.
const sizeTag = sha256.Size

// suite is RFC 9180 with a key encapsulation that also withstands a quantum
// computer, since a stolen backup can wait for one. All of it is approved in
// FIPS 140 mode.
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768P256(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// NewSecret makes a seal's secret.
func NewSecret() plain.Value {
	b := make([]byte, box.KeySize)
	_, _ = rand.Read(b) // never fails
	return plain.New(b)
}

// derive gives 32 bytes for one use of a seal's secret.
func derive(secret plain.Value, purpose string) (plain.Value, error) {
	b, err := hkdf.Key(sha256.New, plain.Bytes(secret), nil, string(box.Bind("sallyport seal", purpose)), box.KeySize)
	if err != nil || len(plain.Bytes(secret)) != box.KeySize {
		return plain.Value{}, fault.New(fault.Internal, "deriving from a seal's secret")
	}
	return plain.New(b), nil
}

// pair is the key pair of a seal's secret.
func pair(secret plain.Value) (hpke.PrivateKey, error) {
	seed, err := derive(secret, "key pair")
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(seed)
	kem, _, _ := suite()
	k, err := kem.DeriveKeyPair(plain.Bytes(seed))
	if err != nil {
		return nil, fault.New(fault.Internal, "making a seal's key pair")
	}
	return k, nil
}

// Public gives a seal's public key, and its tag key.
func Public(secret plain.Value) (public []byte, tag plain.Value, err error) {
	plain.Do(func() {
		k, kerr := pair(secret)
		if err = kerr; err == nil {
			public = k.PublicKey().Bytes()
			tag, err = derive(secret, "tag")
		}
	})
	return public, tag, err
}

// Encrypt encrypts a root key to a seal's public key, without the seal. aad says
// which root key of which vault it is, and to which seal.
func Encrypt(public []byte, tag plain.Value, aad box.AAD, root plain.Value) ([]byte, error) {
	kem, kdf, aead := suite()
	k, err := kem.NewPublicKey(public)
	if err != nil || len(plain.Bytes(tag)) != box.KeySize {
		return nil, fault.New(fault.Invalid, "the seal's public key can't be read")
	}
	sealed, err := hpke.Seal(k, kdf, aead, aad, plain.Bytes(root))
	if err != nil {
		return nil, fault.New(fault.Internal, "encrypting a root key to a seal")
	}
	return append(sealed, tagOf(tag, aad, sealed)...), nil
}

// Decrypt opens what Encrypt made, with the seal's secret. Denied: it is another
// seal's, another root key's, or was made by somebody without the tag key.
func Decrypt(secret plain.Value, aad box.AAD, sealed []byte) (root plain.Value, err error) {
	denied := fault.New(fault.Denied, "the root key was not encrypted to this seal by who had the vault open")
	plain.Do(func() { root, err = decrypt(secret, aad, sealed, denied) })
	return root, err
}

func decrypt(secret plain.Value, aad box.AAD, sealed []byte, denied error) (plain.Value, error) {
	tag, err := derive(secret, "tag")
	if err != nil {
		return plain.Value{}, err
	}
	defer plain.Wipe(tag)
	n := len(sealed) - sizeTag
	if n < 0 || !hmac.Equal(sealed[n:], tagOf(tag, aad, sealed[:n])) {
		return plain.Value{}, denied
	}
	k, err := pair(secret)
	if err != nil {
		return plain.Value{}, err
	}
	_, kdf, aead := suite()
	b, err := hpke.Open(k, kdf, aead, aad, sealed[:n])
	if err != nil || len(b) != box.KeySize {
		clear(b)
		return plain.Value{}, denied
	}
	return plain.New(b), nil
}

// tagOf authenticates a ciphertext.
func tagOf(tag plain.Value, aad box.AAD, sealed []byte) []byte {
	m := hmac.New(sha256.New, plain.Bytes(tag))
	m.Write(box.Bind("root tag", string(aad), string(sealed)))
	return m.Sum(nil)
}
