package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/fxamacker/cbor/v2"

	"sallyport.dev/internal/fault"
)

// The flags of authenticator data (section 6.1).
const (
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	flagBackup   = 1 << 3 // the key may be on several devices
	flagBackedUp = 1 << 4
	flagKey      = 1 << 6
	flagExtended = 1 << 7
)

// strictCBOR reads CBOR in one way only: no key twice, no indefinite length, no tag,
// no name that is not known, and little nesting.
var strictCBOR = func() cbor.DecMode {
	m, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 64, MaxMapPairs: 64, UTF8: cbor.UTF8RejectInvalid, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField}.DecMode()
	if err != nil {
		panic("passkey: " + err.Error()) // the options are constants
	}
	return m
}()

// authenticator is authenticator data, read.
type authenticator struct {
	party      [sha256.Size]byte // hash of the relying party's id
	flags      byte
	counter    uint32
	aaguid     [16]byte
	credential []byte // nil: there is no key in it
	key        []byte // COSE
}

const headSize = sha256.Size + 1 + 4

// parseAuthenticator reads authenticator data to its last byte. Kind Invalid.
func parseAuthenticator(b []byte) (authenticator, error) {
	bad := fault.New(fault.Invalid, "the passkey's authenticator data can't be read")
	if len(b) < headSize || len(b) > maxAuthenticator {
		return authenticator{}, bad
	}
	d := authenticator{party: [sha256.Size]byte(b), flags: b[sha256.Size], counter: binary.BigEndian.Uint32(b[sha256.Size+1:])}
	b = b[headSize:]
	if d.flags&flagKey != 0 {
		if len(b) < 18 {
			return authenticator{}, bad
		}
		d.aaguid = [16]byte(b)
		n := int(binary.BigEndian.Uint16(b[16:]))
		if b = b[18:]; n == 0 || n > MaxCredential || len(b) < n {
			return authenticator{}, bad
		}
		d.credential = bytes.Clone(b[:n])
		var key cbor.RawMessage
		rest, err := strictCBOR.UnmarshalFirst(b[n:], &key)
		if err != nil {
			return authenticator{}, bad
		}
		d.key, b = key, rest
	}
	if d.flags&flagExtended != 0 {
		var names map[string]cbor.RawMessage
		rest, err := strictCBOR.UnmarshalFirst(b, &names)
		if err != nil {
			return authenticator{}, bad
		}
		b = rest
	}
	if len(b) != 0 {
		return authenticator{}, bad
	}
	return d, nil
}

// check looks at whom the data is for, and whether a person was there.
func (d authenticator) check(id string) error {
	switch {
	case id == "" || d.party != sha256.Sum256([]byte(id)):
		return refuse("it is for another server")
	case d.flags&flagPresent == 0:
		return refuse("nobody was present")
	case d.flags&flagVerified == 0:
		return refuse("the authenticator did not verify who was present")
	case d.flags&flagBackup == 0 && d.flags&flagBackedUp != 0:
		return refuse("its flags contradict each other")
	}
	return nil
}

// Credential is a key pair that an authenticator has made.
type Credential struct {
	ID      []byte
	Key     Key
	AAGUID  string // which model of authenticator, in hex; zeros where it does not say
	Counter uint32
	Synced  bool // the private key may be on several devices
}

// Hash names a credential where its id is not to be.
func Hash(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:])
}

// Enrol checks what an authenticator says when it makes a key pair: the attestation
// object and the client data. Kinds Denied, Invalid.
func (p Party) Enrol(challenge, attestation, clientData []byte) (Credential, error) {
	if len(attestation) > maxAttestation {
		return Credential{}, fault.New(fault.Invalid, "the passkey's attestation is too large")
	}
	if err := checkClient(clientData, "webauthn.create", challenge, func(o string) bool { return o == p.Origin }); err != nil {
		return Credential{}, err
	}
	var obj struct {
		Format    string          `cbor:"fmt"`
		Statement cbor.RawMessage `cbor:"attStmt"` // who made the device is not asked
		Data      []byte          `cbor:"authData"`
	}
	if err := strictCBOR.Unmarshal(attestation, &obj); err != nil {
		return Credential{}, fault.New(fault.Invalid, "the passkey's attestation can't be read")
	}
	d, err := parseAuthenticator(obj.Data)
	if err != nil {
		return Credential{}, err
	}
	if err := d.check(p.ID); err != nil {
		return Credential{}, err
	}
	if d.credential == nil {
		return Credential{}, refuse("it has no key in it")
	}
	k, err := parseCOSE(d.key)
	if err != nil {
		return Credential{}, err
	}
	return Credential{ID: d.credential, Key: k, AAGUID: hex.EncodeToString(d.aaguid[:]), Counter: d.counter, Synced: d.flags&flagBackup != 0}, nil
}
