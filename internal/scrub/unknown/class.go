package unknown

import "strings"

// class is a set of bytes, by its letter in the tables.
type class byte

const (
	lowers  = "abcdefghijklmnopqrstuvwxyz"
	uppers  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
	letters = lowers + uppers
	alnums  = letters + digits
)

// sets are the classes of the tables, and upper-case ones for the code alone.
var sets = map[class]string{
	'd': digits,
	'x': digits + "abcdef",
	'h': digits + "abcdefABCDEF",
	'g': digits + "abcdefgh",
	'u': digits + uppers,
	'l': digits + lowers,
	'a': alnums,
	'c': letters,
	's': uppers + "234567",
	'w': alnums + "_",
	't': alnums + "_-",
	'e': alnums + "_-=",
	'p': alnums + "_-=.",
	'b': alnums + "+/",
	'k': alnums + "+/=_-",
	'n': alnums + "_-.~",
	'o': alnums + "_-.=+/~@%",

	name:        alnums + "_-.",
	value:       alnums + "_-.=+/~:@!#%^*?$",
	segment:     alnums + "_-",
	host:        alnums + "_-.~!$&*+,;=:%@[]()",
	blank:       " \t",
	space:       " \t\r\n",
	plainWords:  letters + " \t",
	nameOrBlank: alnums + "_-. \t",
	armour:      alnums + "+/=\r\n",
	cookieGap:   "; \t",
	body:        alnums + "+/=\r\n\t :,.\\\"'-_#*>|()@<;",
}

const (
	name        class = 'N' // of what is assigned to
	value       class = 'V' // without quotes around it
	segment     class = 'J' // of a JWT
	host        class = 'H' // of a URL, with what stands before its @
	blank       class = 'B'
	plainWords  class = 'W'
	nameOrBlank class = 'T'
	space       class = 'S'
	opaque      class = 'o' // a credential in a header
	armour      class = 'A' // lines of base64
	cookieGap   class = 'G'
	body        class = 'P' // of a key in PEM, however it is quoted
)

// in has bit c of byte b set when b belongs to class c. Classes are letters, so
// that six bits tell them apart.
var in = func() (t [256]uint64) {
	for c, set := range sets {
		for i := range len(set) {
			t[set[i]] |= 1 << (c & 63)
		}
	}
	return t
}()

// has reports whether b belongs to the class.
func (c class) has(b byte) bool { return in[b]>>(c&63)&1 != 0 }

// all reports whether every byte of p belongs to the class.
func (c class) all(p []byte) bool {
	for _, b := range p {
		if !c.has(b) {
			return false
		}
	}
	return true
}

// runs remembers for each class the last run of it in a text. Candidates come
// in the order of the text, so that a long run is walked once, not once for each
// candidate in it.
type runs struct {
	text []byte
	last [64]struct{ start, end int }
}

// end is where the run of c at text[i:] ends.
func (r *runs) end(c class, i int) int {
	l := &r.last[c&63]
	if i >= l.start && i < l.end {
		return l.end
	}
	j := i
	for j < len(r.text) && c.has(r.text[j]) {
		j++
	}
	l.start, l.end = i, j
	return j
}

// fold is an ASCII letter in lower case, and any other byte as it is.
func fold(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// hasFold reports whether p begins with the lower-case text low, in any case.
func hasFold(p []byte, low string) bool {
	if len(p) < len(low) {
		return false
	}
	for i := range len(low) {
		if fold(p[i]) != low[i] {
			return false
		}
	}
	return true
}

// lower is s in lower case as ASCII has it; other bytes stay.
func lower(s []byte) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, c := range s {
		b.WriteByte(fold(c))
	}
	return b.String()
}
