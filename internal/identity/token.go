package identity

import (
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"sallyport.dev/internal/fault"
)

// The tokens' prefixes. They, and the checksum, let a scanner of repositories
// and logs find a token that got where it should not be, without a false alarm.
const (
	SessionPrefix = "sps_"
	RunPrefix     = "spr_"
	LinkPrefix    = "spl_" // an admin's link to enrol a passkey
	WorkerPrefix  = "spw_"
)

const (
	tokenBytes = 32
	bodyLen    = 52 // of 32 bytes in base32
	sumLen     = 7  // of 4 bytes in base32
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newToken is the prefix, 32 random bytes and a checksum: 63 characters.
func newToken(prefix string) string {
	body := tokenText.EncodeToString(randomBytes(tokenBytes))
	return prefix + body + tokenSum(prefix+body)
}

func tokenSum(s string) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc32.ChecksumIEEE([]byte(s)))
	return tokenText.EncodeToString(b[:])
}

// ParseToken says which kind of token s is, [SessionPrefix], [RunPrefix],
// [WorkerPrefix] or [LinkPrefix], or that it is none: kind Unauthenticated. It accepts one spelling only. A well
// formed token is not a valid one.
func ParseToken(s string) (prefix string, err error) {
	bad := fault.New(fault.Unauthenticated, "the token is not one of ours").
		WithHint("sign in again, or check that it was copied whole")
	switch {
	case len(s) != len(SessionPrefix)+bodyLen+sumLen:
		return "", bad
	case strings.HasPrefix(s, SessionPrefix):
		prefix = SessionPrefix
	case strings.HasPrefix(s, RunPrefix):
		prefix = RunPrefix
	case strings.HasPrefix(s, LinkPrefix):
		prefix = LinkPrefix
	case strings.HasPrefix(s, WorkerPrefix):
		prefix = WorkerPrefix
	default:
		return "", bad
	}
	body, sum := s[len(prefix):len(prefix)+bodyLen], s[len(prefix)+bodyLen:]
	// The checksum is a public function of the token: nothing to hide in time.
	if sum != tokenSum(prefix+body) {
		return "", bad
	}
	b, err := tokenText.DecodeString(body)
	if err != nil || len(b) != tokenBytes || tokenText.EncodeToString(b) != body {
		return "", bad
	}
	return prefix, nil
}
