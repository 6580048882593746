package rotator

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // G505: what MariaDB and MySQL keep of a password in mysql_native_password
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
)

// iterations is PostgreSQL's own number.
const iterations = 4096

// verifier is what PostgreSQL keeps of a password (RFC 5803, as pg_authid has it).
// With it the password is neither in a statement nor in the server's log. The
// password is plain ASCII, so SASLprep changes nothing of it.
func verifier(password, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, string(password), salt, iterations, sha256.Size)
	if err != nil {
		return "", fault.New(fault.Internal, "a password's verifier can't be computed")
	}
	defer clear(salted)
	client := sign(salted, "Client Key")
	defer clear(client)
	stored := sha256.Sum256(client)
	e := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$" + strconv.Itoa(iterations) + ":" + e(salt) + "$" + e(stored[:]) + ":" + e(sign(salted, "Server Key")), nil
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte(text)) // a hash takes everything
	return m.Sum(nil)
}

func newSalt() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return b
}

// nativeHash is what MariaDB and MySQL keep of a password in
// mysql_native_password. It has no salt and is fast, so it is for values of 186
// random bits, as they are made here, and for no password of a person's.
func nativeHash(password []byte) string {
	once := sha1.Sum(password) //nolint:gosec // G401: as above
	twice := sha1.Sum(once[:]) //nolint:gosec // G401: as above
	clear(once[:])
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}
