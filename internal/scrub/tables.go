package scrub

import "strings"

// notHex marks a byte that is no hexadecimal digit; it is more than any digit.
const notHex = 16

// lower folds the case of ASCII letters and of nothing else: a coarser fold
// would take a line end for an asterisk and hold back what has to leave.
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c | 0x20
	}
	return t
}()

var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = byte(10 + i)
	}
	return t
}()

var leadKind = [256]kind{'%': escPercent, '\\': escBackslash, '&': escEntity}

// afterBackslash is what a character after a backslash stands for: a control
// character by its letter, a sign for itself; 0 for none.
var afterBackslash = func() (t [256]byte) {
	for c := byte(' '); c < 0x7f; c++ {
		if !alnum(c) {
			t[c] = c
		}
	}
	t[0x7f] = 0x7f
	t['n'], t['r'], t['t'], t['b'], t['f'], t['v'] = '\n', '\r', '\t', '\b', '\f', '\v'
	return t
}()

func alnum(c byte) bool {
	l := lower[c]
	return l >= 'a' && l <= 'z' || l >= '0' && l <= '9'
}

// maxEntity is the length of the longest name below.
const maxEntity = len("DiacriticalGrave")

// entities are HTML's names of ASCII characters (WHATWG, 13.5).
var entities = map[string]rune{
	"Tab": '\t', "NewLine": '\n', "excl": '!', "quot": '"', "QUOT": '"', "num": '#',
	"dollar": '$', "percnt": '%', "amp": '&', "AMP": '&', "apos": '\'', "lpar": '(',
	"rpar": ')', "ast": '*', "midast": '*', "plus": '+', "comma": ',', "period": '.',
	"sol": '/', "colon": ':', "semi": ';', "lt": '<', "LT": '<', "equals": '=',
	"gt": '>', "GT": '>', "quest": '?', "commat": '@', "lsqb": '[', "lbrack": '[',
	"bsol": '\\', "rsqb": ']', "rbrack": ']', "Hat": '^', "lowbar": '_', "UnderBar": '_',
	"grave": '`', "DiacriticalGrave": '`', "lcub": '{', "lbrace": '{', "verbar": '|',
	"vert": '|', "VerticalLine": '|', "rcub": '}', "rbrace": '}',
}

// entityStart has the first two characters of every name.
var entityStart = func() (in [1 << 14]bool) {
	for name := range entities {
		in[int(name[0])<<7|int(name[1])] = true
	}
	return in
}()

// entityPrefix reports whether s may grow into an entity's name or its end.
func entityPrefix(s []byte) bool {
	for name := range entities {
		if strings.HasPrefix(name, string(s)) {
			return true
		}
	}
	return false
}
