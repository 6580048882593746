package origin

import (
	"bytes"
	"math/big"
	"strings"
)

// amount gives a number's value in one form for all ways of writing it: "12500" for
// 12500, 12500.00 and 1.25e4. It says no to what is none, and to exponents that no
// business has.
func amount(s string) (string, bool) {
	if len(s) > 40 {
		return "", false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 4 {
		return "", false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || strings.ContainsAny(s, "/xXpPoObB_") {
		return "", false
	}
	out := strings.TrimLeft(r.FloatString(12), "-")
	return strings.TrimRight(strings.TrimRight(out, "0"), "."), true
}

// figures visits the numbers in a folded text that are written with signs between
// their digits: each with what it can mean, since 12.500 is two numbers.
// Only those with digits that are wanted are read; see [significant].
func figures(text []byte, wanted func(digits []byte) bool, visit func(from, to int, amounts []string)) {
	var key []byte
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		from, signs := i, false
		for i < len(text) && isDigit(text[i]) {
			i++
			if i+1 < len(text) && isDigit(text[i+1]) && separates(text, i) {
				signs = true
				i++
			}
		}
		if !signs || i-from > 40 {
			continue
		}
		key = appendSignificant(key[:0], text[from:i])
		if wanted(key) && bounded(text, from, i) {
			if a := readings(string(text[from:i])); len(a) > 0 {
				visit(from, i, a)
			}
		}
	}
}

// significant is a number's digits without zeros at the ends: the same for all
// ways of writing it.
func significant(s string) string {
	return string(appendSignificant(nil, []byte(s)))
}

func appendSignificant(key, s []byte) []byte {
	for _, c := range s {
		if isDigit(c) && (c != '0' || len(key) > 0) {
			key = append(key, c)
		}
	}
	return bytes.TrimRight(key, "0")
}

// separates says whether the sign at i can stand in a number: a point or comma, or
// what only ever stands before three digits.
func separates(text []byte, i int) bool {
	switch text[i] {
	case '.', ',':
		return true
	case ' ', '\'', '_':
		return i+3 < len(text) && isDigit(text[i+1]) && isDigit(text[i+2]) && isDigit(text[i+3]) && (i+4 == len(text) || !isDigit(text[i+4]))
	}
	return false
}

// signs are those that only ever group.
var signs = strings.NewReplacer(" ", "", "'", "", "_", "")

// readings are the values that a written number can have.
func readings(s string) (out []string) {
	s = signs.Replace(s)
	for _, p := range [...][2]string{{",", "."}, {".", ","}, {"", "."}, {"", ","}, {",", ""}, {".", ""}, {"", ""}} {
		if a, ok := reading(s, p[0], p[1]); ok {
			out = append(out, a)
		}
	}
	return out
}

// reading is a number's value with these signs for groups of three and for the
// point; "" where it has none.
func reading(s, grouping, point string) (string, bool) {
	whole, rest := s, ""
	if point != "" {
		if strings.Count(s, point) != 1 {
			return "", false
		}
		whole, rest, _ = strings.Cut(s, point)
	}
	if grouping != "" {
		for i, g := range strings.Split(whole, grouping) {
			if len(g) != 3 && (i > 0 || len(g) > 3) {
				return "", false
			}
		}
		whole = strings.ReplaceAll(whole, grouping, "")
	}
	whole, rest = strings.TrimLeft(whole, "0"), strings.TrimRight(rest, "0")
	if digits(whole) != len(whole) || digits(rest) != len(rest) {
		return "", false
	}
	if whole == "" {
		whole = "0"
	}
	if rest == "" {
		return whole, true
	}
	return whole + "." + rest, true
}
