package kek

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/safe"
)

const (
	maxExecAnswer = 64 << 10 // bytes of standard output
	maxWrapped    = 16 << 10 // bytes of a ciphertext
	maxStderr     = 4 << 10  // bytes of standard error that are looked at
)

// execAnswer is what the program answers: an id and, but for "id", a payload; or
// an error.
type execAnswer struct {
	V          int        `json:"v"`
	ID         string     `json:"id"`
	Ciphertext []byte     `json:"ciphertext"` // base64
	Plaintext  []byte     `json:"plaintext"`  // base64; 32 bytes
	Error      *execError `json:"error"`
}

type execError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// parseExec reads an answer strictly: one object with exactly what the operation
// calls for. An error that the program reports has the kind that it says. No
// error repeats anything else of the answer.
func parseExec(op string, b []byte) (a execAnswer, err error) {
	bad := func(why string) (execAnswer, error) {
		clear(a.Plaintext)
		return execAnswer{}, fault.New(fault.Invalid, "the answer of the seal's program: "+why).
			WithHint("docs/seals.md has the contract")
	}
	plain.Do(func() { err = safe.Strict(b, &a) })
	if err != nil {
		return bad(err.Error())
	}
	switch {
	case a.V != 1:
		return bad("its version is not 1")
	case a.Error != nil && (a.ID != "" || a.Ciphertext != nil || a.Plaintext != nil):
		return bad("it is an error and a result at once")
	case a.Error != nil:
		return execAnswer{}, a.Error.fault(op)
	case !execID.MatchString(a.ID):
		return bad("its id is not 1 to 200 printable characters without spaces and quotes")
	case (op == "wrap") != (a.Ciphertext != nil) || len(a.Ciphertext) > maxWrapped || op == "wrap" && len(a.Ciphertext) == 0:
		return bad("its ciphertext is missing, not asked for, or too long")
	case (op == "unwrap") != (a.Plaintext != nil):
		return bad("its plaintext is missing, or not asked for")
	case op == "unwrap" && len(a.Plaintext) != box.KeySize:
		return bad("its plaintext is not a key of 32 bytes")
	}
	return a, nil
}

// execID: ARNs, resource names and PKCS#11 URIs fit.
var execID = regexp.MustCompile(`^[!#-&(-;=?-\[\]-_a-~]{1,200}$`)

// fault is the program's error as ours.
func (e *execError) fault(op string) error {
	msg := "the seal's program can't " + op
	if said := tell([]byte(e.Message)); said != "" {
		msg += ": " + said
	}
	switch e.Kind {
	case "denied":
		return fault.New(fault.Denied, msg)
	case "unavailable":
		return fault.New(fault.Unavailable, msg)
	case "invalid":
		return fault.New(fault.Invalid, msg)
	}
	return fault.New(fault.Invalid, "the answer of the seal's program: its error has no kind that there is").
		WithHint("the kinds are denied, unavailable and invalid")
}

var (
	// A key of 32 bytes has 43 characters in base64 and 64 in hex, and longer
	// words are in few messages: what is as long as a part of one is left out.
	longWord = regexp.MustCompile(`[A-Za-z0-9+/=_-]{20,}`)
	numbers  = regexp.MustCompile(`(?:(?:0[xX])?[0-9a-fA-F]{1,3}[\s,;:\[\]{}()\\x-]+){6,}[0-9a-fA-F]*`)
)

// tell prepares the program's words for an error: at most 80 bytes, and nothing
// that could be a key. The program has the plaintext in its hands, and a message
// is easily made of all that is at hand.
func tell(b []byte) string {
	if !utf8.Valid(b) {
		return "[not text]"
	}
	s := string(b)
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return "[not text]"
	}
	s = numbers.ReplaceAllString(s, "[left out]")
	return fault.Quote(longWord.ReplaceAllString(s, "[left out]"))
}
