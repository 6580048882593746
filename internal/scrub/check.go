package scrub

import (
	"bytes"
	"math"
	"strings"

	"sallyport.dev/internal/fault"
)

// Limits of a value, in bytes without the space around it.
const (
	// MinLen is the least: what is shorter occurs by chance.
	MinLen = 8
	// MaxLen is the most: a longer value is a file, and its parts are secrets.
	MaxLen = 32 << 10
)

// minBits is how hard a value has to be to guess, by [guessBits].
const minBits = 30

// wordLen is from how many characters on a run of letters is taken for random.
const wordLen = 12

// Check says whether a value can be protected, for use where Secrets are taken
// in. It refuses, with fault.Invalid and a hint that never repeats the value:
// under MinLen or over MaxLen bytes, under about 30 bits of estimated entropy,
// and what looks like an ordinary word (replacing it would damage texts, and
// seeing it replaced would give it away).
func Check(value []byte) error {
	v := bytes.TrimSpace(value)
	if err := checkLen(v); err != nil {
		return err
	}
	if wordLike(v) {
		return fault.New(fault.Invalid, "the value looks like an ordinary word").
			WithHint("use a random value; a word also occurs in texts that have nothing to do with the secret")
	}
	if guessBits(v) < minBits {
		return fault.Newf(fault.Invalid, "the value is too easy to guess (under about %d bits)", minBits).
			WithHint("use a random value of 16 characters or more")
	}
	return nil
}

func checkLen(v []byte) error {
	switch {
	case len(v) < MinLen:
		return fault.Newf(fault.Invalid, "the value is shorter than %d bytes", MinLen).
			WithHint("a value this short occurs by chance and can't be taken out of texts; use a longer one")
	case len(v) > MaxLen:
		return fault.Newf(fault.Invalid, "the value is longer than %d bytes", MaxLen).
			WithHint("register its parts (each line, each field) as values of their own")
	}
	return nil
}

// wordLike reports whether v is one short word: letters in one case or
// capitalised, then at most four digits or signs.
func wordLike(v []byte) bool {
	if len(v) >= wordLen {
		return false
	}
	word := strings.TrimRight(string(v), "0123456789!?.,;:#$*-_")
	if len(v)-len(word) > 4 || word == "" {
		return false
	}
	for i := range len(word) {
		if c := word[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return word[1:] == strings.ToLower(word[1:]) || word == strings.ToUpper(word)
}

// guessBits estimates from above how many bits it takes to guess v: each character
// that is new counts as a choice from the classes in use; a repeated character
// or a step of one (as in 1234, aaaa) counts one bit.
func guessBits(v []byte) float64 {
	var seen [256]bool
	var lower, upper, digit, other float64
	for _, c := range v {
		switch {
		case c >= 'a' && c <= 'z':
			lower = 26
		case c >= 'A' && c <= 'Z':
			upper = 26
		case c >= '0' && c <= '9':
			digit = 10
		default:
			other = 33
		}
	}
	per, sum := math.Log2(lower+upper+digit+other), 0.0
	for i, c := range v {
		step := i > 0 && (c == v[i-1] || c == v[i-1]+1 || c == v[i-1]-1)
		if seen[c] || step {
			sum++
		} else {
			sum += per
		}
		seen[c] = true
	}
	return sum
}
