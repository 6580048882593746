package scrub

import (
	"bytes"
	"math"
)

// Of a long random value a part is worth hiding too: somebody who has half of a
// token guesses the rest, or looks it up. Fragments are looked for in what is
// surely random from end to end. Of a value with a structure (a user name before
// its password, a connection string, JSON) parts may be public; what is secret
// in it is registered as a value of its own.

const (
	fragmentBits = 128 // a value of fewer bits is found whole only
	fragmentMost = 16  // so many bytes of one are a fragment, or half of it
)

// fragment says from where to where v counts as random, and how many bytes of
// that are a fragment; 0 where none is.
func fragment(v []byte) (from, to, least int) {
	if bytes.ContainsAny(v, " :@\"'{}<>;,&?\\%") || bytes.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
		return 0, 0, 0
	}
	to = len(v)
	if bytes.HasPrefix(v, []byte("eyJ")) { // JSON in base64: much of it is like others'
		if from = bytes.LastIndexByte(v, '.') + 1; from == 0 {
			return 0, 0, 0
		}
		// Of a JWT, the signature.
	}
	if float64(to-from)*bitsPerByte(v[from:]) < fragmentBits {
		return 0, 0, 0
	}
	return from, to, min(fragmentMost, (to-from)/2)
}

// bitsPerByte is what a byte of v says at most: by the smaller of the usual
// alphabets that has all of them; 0 when it repeats itself.
func bitsPerByte(v []byte) float64 {
	var count [256]int
	for _, c := range v {
		count[c]++
	}
	distinct, entropy := 0, 0.0
	for _, n := range count {
		if n > 0 {
			distinct++
			p := float64(n) / float64(len(v))
			entropy -= p * math.Log2(p)
		}
	}
	for period := 1; period <= len(v)/2; period++ {
		if bytes.Equal(v[period:], v[:len(v)-period]) {
			return 0
		}
	}
	alphabet := 6.0
	if len(bytes.Trim(v, "0123456789abcdefABCDEF")) == 0 {
		alphabet = 4
	}
	if entropy < 0.6*math.Log2(float64(min(len(v), 1<<int(alphabet)))) || distinct < 8 {
		return 0
	}
	if alphabet > 4 && named(v) {
		return 0
	}
	return alphabet
}

// named reports whether v reads like a name that people made: words and numbers
// with something between. In a random text, letters, capitals and digits change
// all the time.
func named(v []byte) bool {
	class := func(c byte) int {
		switch {
		case c >= 'a' && c <= 'z':
			return 1
		case c >= 'A' && c <= 'Z':
			return 2
		case c >= '0' && c <= '9':
			return 3
		}
		return 0
	}
	changes := 0
	for i := 1; i < len(v); i++ {
		if a, b := class(v[i-1]), class(v[i]); a != b && a != 0 && b != 0 {
			changes++
		}
	}
	return changes*5 < len(v)
}
