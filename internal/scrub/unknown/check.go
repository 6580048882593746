package unknown

import (
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// checks are the checksums that providers put into their tokens. Each says
// whether that of a token holds.
var checks = map[string]func([]byte) bool{
	"crc62":  crc62,
	"crchex": crcHex,
}

// crc62 is GitHub's and npm's: the last six characters are the CRC-32 of what
// stands between the prefix and them, in base 62 with leading zeros.
func crc62(t []byte) bool {
	const abc = digits + uppers + lowers
	n := len(t) - 6
	if n < 5 {
		return false
	}
	head := strings.IndexByte(string(t[:n]), '_') + 1
	sum := crc32.ChecksumIEEE(t[head:n])
	for i := len(t) - 1; i >= n; i-- {
		if t[i] != abc[sum%62] {
			return false
		}
		sum /= 62
	}
	return sum == 0
}

// crcHex is Grafana's: the last eight characters are the CRC-32 of all before
// the underscore before them, least byte first.
func crcHex(t []byte) bool {
	n := len(t) - 9
	if n < 0 {
		return false
	}
	sum := crc32.ChecksumIEEE(t[:n])
	want := hex.EncodeToString([]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
	return hasFold(t[n+1:], want)
}
