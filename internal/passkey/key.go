package passkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"math/big"

	"github.com/fxamacker/cbor/v2"

	"sallyport.dev/internal/fault"
)

// The algorithms, with COSE's numbers (RFC 9053), the one that we ask for first
// first.
const (
	ES256 = "ES256"
	EdDSA = "EdDSA"
	RS256 = "RS256"

	coseES256 = -7
	coseEdDSA = -8
	coseRS256 = -257
)

// Algorithms are COSE's numbers of those that are accepted, in order.
var Algorithms = []int{coseES256, coseEdDSA, coseRS256}

// Sizes of an RSA key, in bits; smaller ones are refused by FIPS 140 mode too, and
// larger ones cost whoever checks.
const minRSA, maxRSA = 2048, 4096

// Key is a public key of a passkey. Its algorithm is that of its kind: none can be
// chosen by who signs.
type Key struct {
	alg string
	pub crypto.PublicKey
}

// Algorithm is its name: ES256, EdDSA or RS256.
func (k Key) Algorithm() string { return k.alg }

func refusedKey() error {
	return fault.New(fault.Denied, "the passkey's key is of a kind that is not accepted").
		WithHint("use an authenticator that knows ES256, EdDSA or RS256")
}

// newKey accepts a key of one of the three kinds.
func newKey(pub any) (Key, error) {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return Key{ES256, p}, nil
		}
	case ed25519.PublicKey:
		if len(p) == ed25519.PublicKeySize {
			return Key{EdDSA, p}, nil
		}
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n >= minRSA && n <= maxRSA && n%8 == 0 && p.N.Bit(0) == 1 && p.E == 65537 {
			return Key{RS256, p}, nil
		}
	}
	return Key{}, refusedKey()
}

// ParseKey reads a key as [Key.Bytes] gives it. Kinds Invalid, Denied.
func ParseKey(der []byte) (Key, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fault.New(fault.Invalid, "the public key can't be read")
	}
	return newKey(pub)
}

// Bytes is the key as a SubjectPublicKeyInfo (RFC 5280), DER.
func (k Key) Bytes() []byte {
	b, err := x509.MarshalPKIXPublicKey(k.pub)
	if err != nil {
		return nil // no such key is made here
	}
	return b
}

// parseCOSE reads a key as authenticators write it (RFC 9052 section 7). Kinds
// Invalid, Denied.
func parseCOSE(b []byte) (Key, error) {
	var head struct {
		Kind int             `cbor:"1,keyasint"`
		Alg  int             `cbor:"3,keyasint"`
		A    cbor.RawMessage `cbor:"-1,keyasint"` // the curve; of RSA, the modulus
		X    []byte          `cbor:"-2,keyasint"` // of RSA, the exponent
		Y    []byte          `cbor:"-3,keyasint,omitempty"`
	}
	bad := fault.New(fault.Invalid, "the passkey's key can't be read")
	if err := strictCBOR.Unmarshal(b, &head); err != nil {
		return Key{}, bad
	}
	if head.Kind == 3 && head.Alg == coseRS256 {
		var n []byte
		if err := strictCBOR.Unmarshal(head.A, &n); err != nil || len(n) > maxRSA/8 || len(head.X) > 4 || head.Y != nil {
			return Key{}, bad
		}
		return newKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(head.X).Int64())})
	}
	var curve int
	if err := strictCBOR.Unmarshal(head.A, &curve); err != nil {
		return Key{}, bad
	}
	switch {
	case head.Kind == 2 && head.Alg == coseES256 && curve == 1 && len(head.X) == 32 && len(head.Y) == 32:
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, head.X...), head.Y...))
		if err != nil {
			return Key{}, bad // it is no point of the curve
		}
		return newKey(p)
	case head.Kind == 1 && head.Alg == coseEdDSA && curve == 6 && head.Y == nil:
		return newKey(ed25519.PublicKey(head.X))
	}
	return Key{}, refusedKey()
}

// verify says whether the signature of a message is by this key.
func (k Key) verify(message, signature []byte) bool {
	hash := sha256.Sum256(message)
	switch p := k.pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, hash[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(p, message, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(p, crypto.SHA256, hash[:], signature) == nil
	}
	return false
}
