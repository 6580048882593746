package identity

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, which every authenticator has
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"net/url"
	"time"

	"sallyport.dev/internal/fault"
)

// Algorithm is the hash of an account's one-time codes.
type Algorithm string

// The algorithms. SHA-1 in HMAC is not broken, and the only one that every
// authenticator app understands; FIPS mode has no SHA-1.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
)

const (
	totpStep   = 30 * time.Second
	totpSecret = 20 // bytes; RFC 4226 section 4, R6 recommends 160 bits
)

func defaultAlgorithm() Algorithm {
	if fips140.Enabled() {
		return SHA256
	}
	return SHA1
}

// Code is the one-time code of RFC 6238 at a time: six digits, steps of 30 s.
func Code(secret []byte, alg Algorithm, at time.Time) (string, error) {
	return codeAt(secret, alg, at.Unix()/int64(totpStep/time.Second))
}

func codeAt(secret []byte, alg Algorithm, counter int64) (string, error) {
	var h func() hash.Hash
	switch alg {
	case SHA1:
		if fips140.Enforced() {
			return "", errOutdated
		}
		h = sha1.New
	case SHA256:
		h = sha256.New
	default:
		return "", fault.Newf(fault.Internal, "an account's one-time codes use the unknown hash %q", fault.Quote(string(alg)))
	}
	m := hmac.New(h, secret)
	_ = binary.Write(m, binary.BigEndian, counter) // a hash never errors
	sum := m.Sum(nil)
	off := sum[len(sum)-1] & 0xf // RFC 4226 section 5.3
	n := binary.BigEndian.Uint32(sum[off:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000), nil
}

// matchCode finds the step whose code was given, of the one before, the
// present and the next one, above last: the last step that was used. It always
// computes all three.
func matchCode(secret []byte, alg Algorithm, code string, last int64, now time.Time) (counter int64, ok bool, err error) {
	step := now.Unix() / int64(totpStep/time.Second)
	for c := step - 1; c <= step+1; c++ {
		want, err := codeAt(secret, alg, c)
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && c > last && !ok {
			counter, ok = c, true
		}
	}
	return counter, ok, nil
}

// otpauth is the URI that authenticator apps read from a QR code.
func otpauth(tenant, name string, secret []byte, alg Algorithm) string {
	q := url.Values{"secret": {encodeTOTP(secret)}, "issuer": {"Sallyport"}, "algorithm": {string(alg)}, "digits": {"6"}, "period": {"30"}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/Sallyport:" + name + "@" + tenant, RawQuery: q.Encode()}
	return u.String()
}

func encodeTOTP(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}
