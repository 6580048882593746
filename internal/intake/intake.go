// Package intake is how a Secret's value travels to the vault: encrypted to a
// public key of the vault by whoever typed it, so that nothing on the way needs
// to be trusted with it. The vault, the CLI and the console's script (which has
// the same steps in WebCrypto) share this format.
//
//	sealed    = version (1 byte) | nonce (40) | encapsulated key (65) | ciphertext
//	plaintext = for each field, sorted: u32 length, name, u32 length, value
//	info      = label, tenant, Secret's name, about, nonce; u32 length before each
//
// The suite is HPKE (RFC 9180) in base mode: DHKEM(P-256, HKDF-SHA256),
// HKDF-SHA256, AES-256-GCM, all of which a browser has.
//
// It refuses a key whose id is not that of its bytes, a key of another
// algorithm, and what is too large or not in this format.
//
// # Security
//
// A ciphertext opens under one tenant, name, usage scope and nonce; the vault
// gives each nonce out once and takes it once. Who only reads the way (a proxy,
// a log of bodies, a terminator of TLS) learns the length. Who can change what
// passes can hand out a key of their own: against that the id is compared with
// one that was learned another way.
package intake

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Algorithm names the suite.
const Algorithm = "HPKE DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"

// Sizes, in bytes.
const (
	NonceSize = 40      // as the vault makes it; opaque to everybody else
	MaxSealed = 1 << 20 // of what is taken in
	encSize   = 65      // an uncompressed point of P-256
	tagSize   = 16
	maxFields = 64 // the vault takes fewer
	version   = 1
)

// label begins the info of every ciphertext.
const label = "sallyport secret intake v1"

// Key is what a value is encrypted to, for one value.
type Key struct {
	ID        string       `json:"id"` // of the key; it stays for the vault's life
	Algorithm string       `json:"algorithm"`
	PublicKey string       `json:"publicKey"` // an uncompressed point of P-256, in base64
	Tenant    ident.Tenant `json:"tenant"`
	Nonce     string       `json:"nonce"` // for one value of the caller's, in base64
	ExpiresAt time.Time    `json:"expiresAt"`
}

// Target is what a ciphertext is bound to besides the nonce.
type Target struct {
	Tenant ident.Tenant
	Name   string // of the Secret
	About  string // where it may be used, as it is sent beside the ciphertext
}

// Info is HPKE's info of a ciphertext.
func Info(to Target, nonce []byte) []byte {
	var b []byte
	for _, part := range [][]byte{[]byte(label), []byte(to.Tenant), []byte(to.Name), []byte(to.About), nonce} {
		b = appendPart(b, part)
	}
	return b
}

// ID is the id of a public key: "ik-" and half of its SHA-256 in hex.
func ID(public []byte) string {
	h := sha256.Sum256(public)
	return "ik-" + hex.EncodeToString(h[:16])
}

// NewKey is a public key as it is handed out.
func NewKey(t ident.Tenant, public, nonce []byte, until time.Time) Key {
	return Key{ID: ID(public), Algorithm: Algorithm, PublicKey: base64.StdEncoding.EncodeToString(public), Tenant: t,
		Nonce: base64.StdEncoding.EncodeToString(nonce), ExpiresAt: until}
}

// Suite is what both sides encrypt with.
func Suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.P256()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// Check refuses a key that is none of this suite, or whose id is another key's.
// Kind Invalid.
func (k Key) Check() error {
	_, _, err := k.parts()
	return err
}

func (k Key) parts() (point, nonce []byte, err error) {
	point, err = base64.StdEncoding.DecodeString(k.PublicKey)
	nonce, err2 := base64.StdEncoding.DecodeString(k.Nonce)
	if k.Algorithm != Algorithm || err != nil || err2 != nil || len(nonce) != NonceSize {
		return nil, nil, fault.New(fault.Invalid, "the server's intake key is of a kind that is not known here").
			WithHint("is the server of the same version as this program")
	}
	if k.ID != ID(point) {
		return nil, nil, fault.New(fault.Invalid, "the server's intake key has the id of another key")
	}
	return point, nonce, nil
}

// Seal encrypts fields. Kind Invalid: as Check says.
func Seal(k Key, to Target, fields map[string][]byte) ([]byte, error) {
	point, nonce, err := k.parts()
	if err != nil {
		return nil, err
	}
	kem, kdf, aead := Suite()
	public, err := kem.NewPublicKey(point)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the server's intake key is not a point of P-256")
	}
	text := Pack(fields)
	defer clear(text)
	box, err := hpke.Seal(public, kdf, aead, Info(to, nonce), text)
	if err != nil {
		return nil, fault.New(fault.Internal, "encrypting to the server's intake key")
	}
	return slices.Concat([]byte{version}, nonce, box), nil
}

// Split takes a ciphertext apart: box is what hpke.Open takes. Kind Invalid.
func Split(sealed []byte) (nonce, box []byte, err error) {
	switch {
	case len(sealed) > MaxSealed:
		return nil, nil, fault.Newf(fault.Invalid, "the encrypted value is larger than %d KiB", MaxSealed>>10)
	case len(sealed) < 1+NonceSize+encSize+tagSize || sealed[0] != version:
		return nil, nil, fault.New(fault.Invalid, "the encrypted value is not in the format of this server")
	}
	return sealed[1 : 1+NonceSize], sealed[1+NonceSize:], nil
}

// Pack writes fields in the order of their names. The caller wipes the result.
func Pack(fields map[string][]byte) []byte {
	n := 0
	for name, value := range fields {
		n += 8 + len(name) + len(value)
	}
	out := make([]byte, 0, n) // room for all, so that growing leaves no copy
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		out = appendPart(appendPart(out, []byte(name)), fields[name])
	}
	return out
}

// Unpack reads what Pack wrote, and nothing else. The values are parts of b.
// Kind Invalid.
func Unpack(b []byte) (map[string][]byte, error) {
	bad := fault.New(fault.Invalid, "what was encrypted is not a list of fields")
	out := map[string][]byte{}
	last := ""
	for len(b) > 0 {
		var part [2][]byte
		for i := range part {
			if len(b) < 4 {
				return nil, bad
			}
			n := binary.BigEndian.Uint32(b)
			if b = b[4:]; uint64(n) > uint64(len(b)) {
				return nil, bad
			}
			part[i], b = b[:n:n], b[n:]
		}
		name := string(part[0])
		if len(out) > 0 && name <= last || len(out) == maxFields || bytes.ContainsRune(part[0], 0) {
			return nil, bad
		}
		out[name], last = part[1], name
	}
	return out, nil
}

func appendPart(b, part []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(part))) // intake bounds it far below
	return append(b, part...)
}
