package identity

import (
	"crypto/fips140"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"sallyport.dev/internal/fault"
)

// Bounds of a password: NIST SP 800-63B asks for at least 8 where a second
// factor is used; the upper one keeps strangers from sending novels.
const (
	minPassword = 12  // runes
	maxPassword = 256 // bytes
)

// hashing is how one password was hashed. What is stored says so itself, in
// the PHC string format, so that the parameters can be raised later.
type hashing struct {
	kind       string // "argon2id" or "pbkdf2-sha256"
	memory     uint32 // KiB, of argon2id
	rounds     uint32 // passes of argon2id, iterations of PBKDF2
	lanes      uint8
	salt, hash []byte
}

const (
	kindArgon  = "argon2id"
	kindPBKDF2 = "pbkdf2-sha256"
)

// current is how passwords are hashed today: OWASP's second choice for
// Argon2id (19 MiB, two passes), and its figure for PBKDF2 in FIPS mode.
func current() hashing {
	if fips140.Enabled() {
		return hashing{kind: kindPBKDF2, rounds: 600_000}
	}
	return hashing{kind: kindArgon, memory: 19 << 10, rounds: 2, lanes: 1}
}

// sum hashes input, which is the keyed hash of a password.
func (h hashing) sum(input []byte) ([]byte, error) {
	if h.kind == kindPBKDF2 {
		b, err := pbkdf2.Key(sha256.New, string(input), h.salt, int(h.rounds), 32)
		return b, fault.Wrap(fault.Internal, "hashing a password", err)
	}
	if fips140.Enforced() {
		return nil, errOutdated
	}
	return argon2.IDKey(input, h.salt, h.rounds, h.memory, h.lanes, 32), nil
}

// newHash hashes input with a new salt.
func newHash(input []byte) (string, error) {
	h := current()
	h.salt = randomBytes(16)
	var err error
	if h.hash, err = h.sum(input); err != nil {
		return "", err
	}
	return h.String(), nil
}

// checkHash reports whether stored is of input.
func checkHash(stored string, input []byte) (bool, error) {
	h, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	sum, err := h.sum(input)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, h.hash) == 1, nil
}

// String is the PHC string format.
func (h hashing) String() string {
	b := base64.RawStdEncoding.Strict()
	salt, hash := b.EncodeToString(h.salt), b.EncodeToString(h.hash)
	if h.kind == kindPBKDF2 {
		return fmt.Sprintf("$%s$i=%d$%s$%s", kindPBKDF2, h.rounds, salt, hash)
	}
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", kindArgon, argon2.Version, h.memory, h.rounds, h.lanes, salt, hash)
}

// parseHash reads what String wrote, and nothing else. Parameters that would
// take the machine's memory or hours are refused: the row is data.
func parseHash(s string) (hashing, error) {
	bad := fault.New(fault.Internal, "an account's stored password is damaged").
		WithHint("an admin has to reset the account")
	parts := strings.Split(s, "$")
	var h hashing
	switch {
	case len(parts) == 6 && parts[0] == "" && parts[1] == kindArgon:
		var v int
		if n, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &v, &h.memory, &h.rounds, &h.lanes); n != 4 || err != nil || v != argon2.Version {
			return hashing{}, bad
		}
		if h.memory < 8 || h.memory > 1<<20 || h.rounds < 1 || h.rounds > 16 || h.lanes < 1 || h.lanes > 16 {
			return hashing{}, bad
		}
	case len(parts) == 5 && parts[0] == "" && parts[1] == kindPBKDF2:
		if n, err := fmt.Sscanf(parts[2], "i=%d", &h.rounds); n != 1 || err != nil || h.rounds < 1000 || h.rounds > 10_000_000 {
			return hashing{}, bad
		}
	default:
		return hashing{}, bad
	}
	h.kind = parts[1]
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[len(parts)-2])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[len(parts)-1])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.hash) != 32 || h.String() != s {
		return hashing{}, bad
	}
	return h, nil
}

// normal is the form of a password that is hashed: two keyboards may send the
// same text as different code points (NIST SP 800-63B section 5.1.1.2).
func normal(password string) string { return norm.NFKC.String(password) }

// checkPassword says whether a password may be chosen. Kind Invalid.
func checkPassword(password, name string) error {
	switch {
	case !utf8.ValidString(password):
		return fault.New(fault.Invalid, "the password is not valid text")
	case len(password) > maxPassword:
		return fault.Newf(fault.Invalid, "the password is longer than %d bytes", maxPassword)
	case utf8.RuneCountInString(normal(password)) < minPassword:
		return fault.Newf(fault.Invalid, "the password is shorter than %d characters", minPassword).
			WithHint("four or five random words make a good one")
	case strings.EqualFold(password, name):
		return fault.New(fault.Invalid, "the password is the account's name")
	}
	return nil
}
