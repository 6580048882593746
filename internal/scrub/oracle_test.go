package scrub_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// leaks searches text for value with decoders of its own: regular expressions
// and the standard library, undoing up to five layers in any order. It shares
// nothing with the code under test. It returns the way it got there, or "".
func leaks(text, value string) string {
	type step struct{ text, way string }
	seen := map[string]bool{}
	for todo, depth := []step{{text, "plain"}}, 0; len(todo) > 0 && depth < 6; depth++ {
		var next []step
		for _, s := range todo {
			if holds(s.text, value) {
				return s.way
			}
			for _, u := range undoers {
				t := u.undo(s.text)
				if t != s.text && !seen[t] && len(next) < 400 {
					seen[t] = true
					next = append(next, step{t, s.way + "<" + u.name})
				}
			}
		}
		todo = next
	}
	return ""
}

func holds(text, value string) bool {
	t, v := asciiUpper(text), asciiUpper(value)
	b := []byte(v)
	slices.Reverse(b)
	return strings.Contains(t, v) || strings.Contains(t, string(b)) ||
		strings.Contains(strings.ReplaceAll(t, "\x00", ""), v)
}

func perMatch(expr string, f func(m []string) (string, bool)) func(string) string {
	re := regexp.MustCompile(expr)
	return func(t string) string {
		return re.ReplaceAllStringFunc(t, func(m string) string {
			if out, ok := f(re.FindStringSubmatch(m)); ok {
				return out
			}
			return m
		})
	}
}

func number(base int, raw bool) func(m []string) (string, bool) {
	return func(m []string) (string, bool) {
		n, err := strconv.ParseUint(m[1], base, 32)
		if err != nil {
			return "", false
		}
		if raw {
			return string([]byte{byte(n)}), true
		}
		return string(rune(n)), true
	}
}

var undoers = []struct {
	name string
	undo func(string) string
}{
	{"percent", perMatch(`%([0-9A-Fa-f]{2})`, number(16, true))},
	{"u", perMatch(`((?:\\u[0-9A-Fa-f]{4})+)`, func(m []string) (string, bool) {
		var units []uint16
		for _, f := range strings.Split(m[1], `\u`)[1:] {
			n, _ := strconv.ParseUint(f, 16, 32)
			units = append(units, uint16(n))
		}
		return string(utf16.Decode(units)), true
	})},
	{"plus", func(t string) string { return strings.ReplaceAll(t, "+", " ") }},
	{"utf16", func(t string) string {
		if !strings.Contains(t, "\x00") {
			return t
		}
		var all string
		for skip := range 2 {
			var le, be []uint16
			for i := skip; i+1 < len(t); i += 2 {
				le = append(le, uint16(t[i])|uint16(t[i+1])<<8)
				be = append(be, uint16(t[i+1])|uint16(t[i])<<8)
			}
			all += string(utf16.Decode(le)) + "\n" + string(utf16.Decode(be)) + "\n"
		}
		return all
	}},
	{"x", perMatch(`\\x([0-9A-Fa-f]{2})`, number(16, true))},
	{"slash", perMatch(`\\([^0-9A-Za-z])`, func(m []string) (string, bool) { return m[1], true })},
	{"json", perMatch(`\\(?:u([0-9A-Fa-f]{4})|([nrt])|(["/'\\]))`, func(m []string) (string, bool) {
		switch {
		case m[1] != "":
			n, _ := strconv.ParseUint(m[1], 16, 32)
			return string(rune(n)), true
		case m[2] != "":
			return map[string]string{"n": "\n", "r": "\r", "t": "\t"}[m[2]], true
		}
		return m[3], true
	})},
	{"entity", html.UnescapeString},
	{"base64", perMatch(`([A-Za-z0-9+/_-]{8,})`, func(m []string) (string, bool) {
		run := strings.NewReplacer("-", "+", "_", "/").Replace(m[1])
		var all bytes.Buffer
		for skip := range 4 {
			t := run[min(skip, len(run)):]
			d, _ := base64.RawStdEncoding.DecodeString(t[:len(t)-len(t)%4])
			all.Write(d)
			all.WriteByte('\n')
			// what is left of the last group
			d, _ = base64.RawStdEncoding.DecodeString(t)
			all.Write(d)
			all.WriteByte('\n')
		}
		return all.String(), true
	})},
	{"base32", perMatch(`([A-Za-z2-7]{13,})`, func(m []string) (string, bool) {
		run := strings.ToUpper(m[1])
		var all bytes.Buffer
		for skip := range 8 {
			t := run[skip:]
			if len(t)%8 == 1 || len(t)%8 == 3 || len(t)%8 == 6 {
				t = t[:len(t)-1] // no text ends so
			}
			d, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(t)
			all.Write(d)
			all.WriteByte('\n')
		}
		return all.String(), true
	})},
	{"hex", perMatch(`([0-9A-Fa-f]{16,})`, func(m []string) (string, bool) {
		var all []byte
		for skip := range 2 {
			t := m[1][skip:]
			d, _ := hex.DecodeString(t[:len(t)&^1])
			all = append(append(all, d...), '\n')
		}
		return string(all), true
	})},
	{"numbers", perMatch(`((?:[0-9]{1,3}[ ,]){7,}[0-9]{1,3})`, func(m []string) (string, bool) {
		var all []byte
		for _, f := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ' ' || r == ',' }) {
			n, _ := strconv.Atoi(f)
			all = append(all, byte(n))
		}
		return string(all), true
	})},
}

// spaceless is text without white space, for what was wrapped.
func spaceless(t string) string {
	t = regexp.MustCompile(`\\+[nrt]`).ReplaceAllString(t, "")
	return strings.Join(strings.Fields(t), "")
}
