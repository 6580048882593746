package kek

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"io"

	"golang.org/x/crypto/argon2"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// minPassphrase is the least length of a passphrase, in bytes.
const minPassphrase = 12

// The derivations. Argon2id is not an approved function, so FIPS 140 mode has
// the other.
const (
	argon2id = "argon2id"
	pbkdf2ID = "pbkdf2-sha256"
)

// kdf is how a key was derived from the passphrase; stored beside the box.
type kdf struct {
	Name   string `json:"kdf"`
	Salt   []byte `json:"salt"`             // 16 random bytes
	Time   uint32 `json:"time"`             // passes, or iterations
	Memory uint32 `json:"memory,omitempty"` // KiB
	Lanes  uint8  `json:"lanes,omitempty"`
}

// What is made today, and the most that a stored value may ask for: more would
// be a way to keep the server from starting.
var (
	argonNow  = kdf{Name: argon2id, Time: 3, Memory: 256 << 10, Lanes: 4}
	argonMax  = kdf{Name: argon2id, Time: 16, Memory: 2 << 20, Lanes: 16}
	pbkdf2Now = kdf{Name: pbkdf2ID, Time: 600_000}
	pbkdf2Max = kdf{Name: pbkdf2ID, Time: 20_000_000}
)

// The derivations' functions, and whether only approved ones may be used:
// variables, so that tests count the work and see both modes.
var (
	idKey        = argon2.IDKey
	pbkdf2Key    = pbkdf2.Key[hash.Hash]
	approvedOnly = fips140.Enabled
)

// Passphrase is a seal that a person knows.
type Passphrase struct{ phrase plain.Value }

// CheckPassphrase refuses a passphrase that is too short to be one. Kind Invalid.
func CheckPassphrase(phrase []byte) error {
	if len(phrase) < minPassphrase {
		return fault.Newf(fault.Invalid, "the passphrase is shorter than %d bytes", minPassphrase).
			WithHint("use five random words or more")
	}
	return nil
}

// NewPassphrase makes the seal and wipes phrase, so that one attempt is one
// prompt. Under 12 bytes: Invalid.
func NewPassphrase(phrase []byte) (*Passphrase, error) {
	defer clear(phrase)
	if err := CheckPassphrase(phrase); err != nil {
		return nil, err
	}
	p := &Passphrase{}
	plain.Do(func() { p.phrase = plain.New(bytes.Clone(phrase)) }) // erased once the seal is let go of
	return p, nil
}

// Kind is [KindPassphrase].
func (*Passphrase) Kind() Kind { return KindPassphrase }

// Wrap derives a key under a fresh salt and today's parameters.
func (p *Passphrase) Wrap(_ context.Context, aad box.AAD, root plain.Value) (Sealed, error) {
	how := argonNow
	if approvedOnly() {
		how = pbkdf2Now
	}
	how.Salt = make([]byte, 16)
	_, _ = rand.Read(how.Salt) // never fails
	params, err := json.Marshal(how)
	if err != nil {
		return Sealed{}, fault.Wrap(fault.Internal, "describing the derivation", err)
	}
	s := Sealed{Kind: KindPassphrase, ID: ident.New("pass"), Params: params}
	key, err := p.derive(how)
	if err != nil {
		return Sealed{}, err
	}
	defer plain.Wipe(key)
	s.Box, err = box.Seal(plain.Bytes(key), bind(aad, s), root)
	return s, err
}

// Unwrap takes as long for a wrong passphrase as for the right one: all of the
// work is in the derivation, before anything is compared.
func (p *Passphrase) Unwrap(_ context.Context, aad box.AAD, s Sealed) (plain.Value, error) {
	how, err := parseKDF(s.Params)
	if err != nil {
		return plain.Value{}, err
	}
	key, err := p.derive(how)
	if err != nil {
		return plain.Value{}, err
	}
	root, err := open(key, aad, s)
	if fault.Is(err, fault.Denied) {
		return plain.Value{}, fault.New(fault.Denied, "this is not the passphrase that the vault was sealed with").
			WithHint("every character counts, spaces too; when it is lost, unseal with another seal or a recovery key, and set a new one")
	}
	return root, err
}

// parseKDF reads stored parameters, which whoever can write the database could
// have changed: nothing below today's strength, nothing without bound.
func parseKDF(b []byte) (kdf, error) {
	var k kdf
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return kdf{}, fault.New(fault.Invalid, "the stored parameters of the passphrase can't be read")
	}
	if _, err := d.Token(); err != io.EOF {
		return kdf{}, fault.New(fault.Invalid, "the stored parameters of the passphrase have something after them")
	}
	least, most := argonNow, argonMax
	if k.Name == pbkdf2ID {
		least, most = pbkdf2Now, pbkdf2Max
	}
	switch {
	case k.Name != least.Name:
		return kdf{}, fault.New(fault.Invalid, "the stored derivation of the passphrase is not known")
	case k.Time < least.Time || k.Memory < least.Memory || k.Lanes < least.Lanes || len(k.Salt) != 16:
		return kdf{}, fault.New(fault.Invalid, "the stored parameters of the passphrase are weaker than any that were ever made")
	case k.Time > most.Time || k.Memory > most.Memory || k.Lanes > most.Lanes:
		return kdf{}, fault.New(fault.Invalid, "the stored parameters of the passphrase ask for more than the limit")
	}
	return k, nil
}

func (p *Passphrase) derive(how kdf) (key plain.Value, err error) {
	plain.Do(func() { key, err = p.deriveKey(how) }) // the derivations copy the passphrase
	return key, err
}

func (p *Passphrase) deriveKey(how kdf) (plain.Value, error) {
	if how.Name == argon2id {
		if approvedOnly() {
			return plain.Value{}, fault.New(fault.Invalid, "the passphrase's key is derived with Argon2id, which FIPS 140 mode does not permit").
				WithHint("unseal with another seal in FIPS 140 mode and set the passphrase again, which derives its key with PBKDF2; without another seal, start once without FIPS 140 mode and add one")
		}
		return plain.New(idKey(plain.Bytes(p.phrase), how.Salt, how.Time, how.Memory, how.Lanes, box.KeySize)), nil
	}
	key, err := pbkdf2Key(sha256.New, string(plain.Bytes(p.phrase)), how.Salt, int(how.Time), box.KeySize)
	if err != nil {
		return plain.Value{}, fault.New(fault.Internal, "a key can't be derived from the passphrase with PBKDF2")
	}
	return plain.New(key), nil
}
