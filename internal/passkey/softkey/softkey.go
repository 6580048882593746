// Package softkey is an authenticator and a browser in memory, for tests: it makes
// passkeys and signs challenges, as well as what no honest one would.
//
// It refuses nothing: every field of what it says can be changed before it is
// signed, so that an attack is one line of a test.
//
// # Security
//
// Its private keys are a test's. Nothing of the product imports it.
package softkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"github.com/fxamacker/cbor/v2"

	"sallyport.dev/internal/passkey"
)

// Flags of what an honest authenticator says: present, verified.
const honest = 0x05

// Key is a passkey and where it is used.
type Key struct {
	Signer  crypto.Signer
	ID      []byte
	Party   string // the relying party's id
	Origin  string // of the page
	Flags   byte
	Counter uint32 // of the next signature
	Alg     int    // COSE's number; 0: that of the signer
	// Client adds to the client data, or changes it.
	Client map[string]any
}

// New makes an ES256 passkey for a party.
func New(p passkey.Party) *Key {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return of(p, signer, err)
}

// NewEdDSA makes an EdDSA passkey.
func NewEdDSA(p passkey.Party) *Key {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	return of(p, signer, err)
}

// NewRS256 makes an RS256 passkey of so many bits.
func NewRS256(p passkey.Party, bits int) *Key {
	signer, err := rsa.GenerateKey(rand.Reader, bits)
	return of(p, signer, err)
}

// NewP384 makes one of a kind that is not accepted.
func NewP384(p passkey.Party) *Key {
	signer, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	return of(p, signer, err)
}

func of(p passkey.Party, signer crypto.Signer, err error) *Key {
	must(err)
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never errors
	return &Key{Signer: signer, ID: id, Party: p.ID, Origin: p.Origin, Flags: honest, Counter: 1}
}

func must(err error) {
	if err != nil {
		panic("softkey: " + err.Error())
	}
}

// clientData is what the browser says of a ceremony.
func (k *Key) clientData(kind string, challenge []byte) []byte {
	m := map[string]any{"type": kind, "challenge": base64.RawURLEncoding.EncodeToString(challenge), "origin": k.Origin, "crossOrigin": false}
	for name, v := range k.Client {
		m[name] = v
	}
	b, err := json.Marshal(m)
	must(err)
	return b
}

// data is the authenticator's head with its count.
func (k *Key) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(k.Party))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), k.Counter)
}

// Create answers a challenge with the key.
func (k *Key) Create(challenge []byte) (attestation, clientData []byte) {
	data := append(k.data(k.Flags|0x40), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.ID)))
	data = append(append(data, k.ID...), k.cose()...)
	b, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	must(err)
	k.Counter++
	return b, k.clientData("webauthn.create", challenge)
}

func (k *Key) cose() []byte {
	m := map[int]any{}
	switch p := k.Signer.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		must(err)
		size := (len(point) - 1) / 2
		m[1], m[3], m[-1], m[-2], m[-3] = 2, -7, 1, point[1:1+size], point[1+size:]
		if p.Curve == elliptic.P384() {
			m[3], m[-1] = -35, 2
		}
	case ed25519.PublicKey:
		m[1], m[3], m[-1], m[-2] = 1, -8, 6, []byte(p)
	case *rsa.PublicKey:
		m[1], m[3], m[-1], m[-2] = 3, -257, p.N.Bytes(), []byte{1, 0, 1}
	}
	if k.Alg != 0 {
		m[3] = k.Alg
	}
	b, err := cbor.Marshal(m)
	must(err)
	return b
}

// Get answers a challenge with a signature, and counts on.
func (k *Key) Get(challenge []byte) passkey.Assertion {
	return k.GetAs("webauthn.get", challenge)
}

// GetAs is Get in another ceremony.
func (k *Key) GetAs(kind string, challenge []byte) passkey.Assertion {
	a := passkey.Assertion{Credential: k.ID, AuthenticatorData: k.data(k.Flags), ClientData: k.clientData(kind, challenge)}
	k.Counter++
	client := sha256.Sum256(a.ClientData)
	message := append(append([]byte{}, a.AuthenticatorData...), client[:]...)
	var err error
	if _, ed := k.Signer.(ed25519.PrivateKey); ed {
		a.Signature, err = k.Signer.Sign(rand.Reader, message, crypto.Hash(0))
	} else {
		hash := sha256.Sum256(message)
		a.Signature, err = k.Signer.Sign(rand.Reader, hash[:], crypto.SHA256)
	}
	must(err)
	return a
}
