package unknown

import (
	"bytes"
	"math"
	"strings"
)

// maxJudged bounds how much of a value is looked at to judge it.
const maxJudged = 256

// weights are n*log2(n), for [entropy].
var weights = func() (t [maxJudged + 1]float64) {
	for n := 1; n <= maxJudged; n++ {
		t[n] = float64(n) * math.Log2(float64(n))
	}
	return t
}()

// entropy is Shannon's, in bits a byte, of at most maxJudged bytes.
func entropy(p []byte) float64 {
	if len(p) == 0 {
		return 0
	}
	var count [256]uint16
	for _, b := range p {
		count[b]++
	}
	sum := 0.0
	for _, b := range p {
		sum += weights[count[b]]
		count[b] = 0
	}
	return (weights[len(p)] - sum) / float64(len(p))
}

// lowEntropy reports whether a value is too uniform to have been drawn at
// random. A floor of 0 stands for one that only repetitions stay under.
func lowEntropy(p []byte, floor float64) bool {
	if floor == 0 {
		floor = 2
	}
	// A short text can't have more than log2 of its length, and a random one has
	// somewhat less.
	p = p[:min(len(p), maxJudged)]
	return entropy(p) < min(floor, 0.85*math.Log2(float64(len(p))))
}

// placeholders are texts that no secret drawn at random has, but by an accident
// of less than one in a thousand.
var placeholders = newAutomaton([]string{
	"example", "xxxx", "****", "...", "\u2026", "placeholder", "redacted", "changeme", "deadbeefdead", "00000000",
	"abcdefghij", "1234567890", "0123456789", "yourtoken", "your_", "your-", "yourkey", "yourapi", "insert_", "notasecret",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
})

// worded are placeholders where a person chose the text.
var worded = newAutomaton([]string{
	"your", "change", "dummy", "sample", "replace", "todo", "fixme", "foobar", "secret", "passw", "token",
	"apikey", "api_key", "api-key", "${", "{{", "$(", "%s", "%v", "%d", "<", "test", "fake", "mock", "invalid", "undefined", "null",
	"12345", "insert", "none", "hidden", "masked", "string", "default", "localhost", "demo", "value", "public",
})

// madeUp reports whether a token was written to look like one.
func madeUp(p []byte) bool { return hasAny(p, placeholders) }

// chosen reports whether a value stands for one that is to be filled in.
func chosen(p []byte) bool { return hasAny(p, placeholders) || hasAny(p, worded) }

// hasAny looks for words in what is read of a value.
func hasAny(p []byte, words *automaton) bool { return words.in(p[:min(len(p), maxJudged)]) }

// texts makes a list of them.
func texts(s ...string) [][]byte {
	out := make([][]byte, len(s))
	for i := range s {
		out[i] = []byte(s[i])
	}
	return out
}

// uuid reports whether p is 8-4-4-4-12 hex digits.
func uuid(p []byte) bool {
	if len(p) != 36 {
		return false
	}
	for i, b := range p {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if b != '-' {
				return false
			}
		} else if !class('h').has(b) {
			return false
		}
	}
	return true
}

// digestLen are the hex digits of MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
var digestLen = [...]int{32, 40, 56, 64, 96, 128}

// digest reports whether p could be a hash: so many hex digits, or with its
// algorithm's name before it (sha256:..., sha512-..., h1:...).
func digest(p []byte) bool {
	if named(p) {
		return true
	}
	if !class('h').all(p) {
		return false
	}
	for _, n := range digestLen {
		if len(p) == n {
			return true
		}
	}
	return false
}

// named reports whether p is a hash with the name of its algorithm, or holds one
// behind an image's name.
func named(p []byte) bool {
	p = p[:min(len(p), maxJudged)]
	if hasFold(p, "h1:") {
		return true
	}
	if !hashes.in(p) {
		return false
	}
	low := lower(p)
	for _, w := range hashNames {
		if k := strings.Index(low, w); k >= 0 && k+len(w) < len(low) && strings.IndexByte(":-=$", low[k+len(w)]) >= 0 {
			return true
		}
	}
	return false
}

var (
	hashNames = []string{"sha1", "sha256", "sha384", "sha512", "md5", "blake2b", "blake3"}
	hashes    = newAutomaton(hashNames)
)

// dated reports whether p begins with a date: 2026-11-23, 2026/11/23.
func dated(p []byte) bool {
	return len(p) >= 10 && class('d').all(p[:4]) && class('d').all(p[5:7]) && class('d').all(p[8:10]) &&
		p[4] == p[7] && (p[4] == '-' || p[4] == '/')
}

// resource reports whether p names a thing by its place, like arn:aws:..., or is
// a public key: what those of RSA, ECDSA and Ed25519 begin with, in base64 of
// SubjectPublicKeyInfo and of OpenSSH.
func resource(p []byte) bool {
	for _, w := range []string{"arn:", "urn:", "file:", "projects/", "did:"} {
		if hasFold(p, w) {
			return true
		}
	}
	for _, w := range []string{"MFkwEwYH", "MHYwEAYH", "MIIBIjAN", "MIICIjAN", "MCowBQYDK2Vw", "AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh"} {
		if bytes.HasPrefix(p, []byte(w)) {
			return true
		}
	}
	return false
}

// dotted reports whether p is a path of names with dots, or a version: many dots
// and few digits.
func dotted(p []byte) bool {
	_, _, dig, _ := kinds(p)
	return bytes.Count(p, []byte(".")) > 2 && dig < 6
}

// located reports whether p is a path below a host: github.com/a/b.
func located(p []byte) bool {
	of, _, ok := bytes.Cut(p, []byte("/"))
	_, up, _, _ := kinds(of)
	return ok && up == 0 && bytes.IndexByte(of, '.') > 0
}

// ownID reports whether p is an id of ours: letters, "_", 26 of base32.
func ownID(p []byte) bool {
	head, tail, ok := bytes.Cut(p, []byte("_"))
	if !ok || len(head) < 2 || len(head) > 8 || len(tail) != 26 {
		return false
	}
	for _, b := range head {
		if b < 'a' || b > 'z' {
			return false
		}
	}
	for _, b := range tail {
		if (b < 'a' || b > 'z') && (b < '2' || b > '7') {
			return false
		}
	}
	return true
}

// kinds counts which of lower case, upper case, digits and other signs p has.
func kinds(p []byte) (low, up, dig, sign int) {
	p = p[:min(len(p), maxJudged)]
	for _, b := range p {
		switch {
		case b >= 'a' && b <= 'z':
			low++
		case b >= 'A' && b <= 'Z':
			up++
		case b >= '0' && b <= '9':
			dig++
		default:
			sign++
		}
	}
	return low, up, dig, sign
}

// common are the pairs of letters that most of English and of names in programs
// is made of, a row for each first letter.
var common = func() (t [26][26]bool) {
	rows := strings.Fields(`acdgilmnprstuvb abelioruas aceorhtiklus adeioursvd acdeflmnprstvxyawqgiob aefiortul aegehilnrsau aeiortu acdefglmnorstvbkz aeou
		aeinsy adefilopstuyvm aebimopsu acdefgiknostuy bcdefgiklmnoprstuvwxy aehiloprstu u acdegikmnorstuypvl acehikmopqstuwl aehiorstuwyclz abcdegilmnprstf aeio aehinors aceptiou eosmlpt aeioz`)
	for i, row := range rows {
		for _, c := range row {
			t[i][c-'a'] = true
		}
	}
	return t
}()

// wordy reports whether p reads like words: most of it is runs of letters, and
// most pairs in them are common. Of pairs of random letters about a third are.
// Hex digits are no words, whatever they spell.
func wordy(p []byte) bool {
	p = p[:min(len(p), maxJudged)]
	pairs, usual, inWords, run := 0, 0, 0, 0
	hex := true
	for i := 0; i <= len(p); i++ {
		if i < len(p) && class('c').has(p[i]) {
			run++
			hex = hex && class('h').has(p[i])
			continue
		}
		if run >= minWord {
			inWords += run
			for k := i - run + 1; k < i; k++ {
				pairs++
				if common[fold(p[k-1])-'a'][fold(p[k])-'a'] {
					usual++
				}
			}
		}
		run = 0
	}
	return !hex && 2*inWords >= len(p) && float64(usual) >= 0.72*float64(pairs)
}

// minWord is the length from which a run of letters may be a word.
const minWord = 4

// random reports whether p, of token characters, was drawn rather than written:
// enough of it, of several kinds, not made of words.
func random(p []byte, least int, floor float64) bool {
	if len(p) < least || lowEntropy(p, floor) || chosen(p) {
		return false
	}
	low, up, dig, _ := kinds(p)
	if dig == 0 && (low < 4 || up < 4 || len(p) < 20) || low+up == 0 {
		return false
	}
	return !wordy(p)
}
