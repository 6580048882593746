package identity

// What the tests of the parsers have to see.
var (
	ParseHash    = func(s string) (string, error) { h, err := parseHash(s); return h.String(), err }
	NewHash      = newHash
	CheckHash    = checkHash
	NewToken     = newToken
	MatchCode    = matchCode
	Backoff      = backoff
	OTPAuth      = otpauth
	MinPBKDF2    = hashing{kind: kindPBKDF2, rounds: 1000}
	WithPassword = func(h hashing, salt, input []byte) (string, error) {
		h.salt = salt
		sum, err := h.sum(input)
		h.hash = sum
		return h.String(), err
	}
)
