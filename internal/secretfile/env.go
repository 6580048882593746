package secretfile

import (
	"bytes"
	"strings"
)

const inQuotes = "put the value in single quotes; in double quotes write \\$, \\`, \\\" and \\\\"

// env reads a .env file from its beginning to its end.
type env struct {
	rest []byte
	line int // of the first byte of rest
	out  []Entry
	bad  []Problem
}

// parseEnv reads lines of the form NAME=VALUE, with "export" before them or not.
func parseEnv(b []byte) ([]Entry, []Problem) {
	p := &env{rest: bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), line: 1}
	for len(p.rest) > 0 {
		p.assignment()
	}
	return p.out, p.bad
}

// assignment reads one line, or more where a quoted value goes on.
func (p *env) assignment() {
	at := p.line
	text := bytes.TrimLeft(p.take(), " \t") // what ends it may be in quotes
	if len(text) == 0 || text[0] == '#' {
		return
	}
	if after, ok := bytes.CutPrefix(text, []byte("export")); ok && len(after) > 0 && (after[0] == ' ' || after[0] == '\t') {
		text = bytes.TrimLeft(after, " \t")
	}
	name, value, ok := bytes.Cut(text, []byte("="))
	name, value = bytes.TrimRight(name, " \t"), bytes.TrimLeft(value, " \t")
	if !ok || !isName(name) {
		p.problem(at, "it is not of the form NAME=VALUE", "a value of several lines stands in double quotes")
		return
	}
	v, what, hint := p.value(value)
	if what != "" {
		p.problem(at, what, hint)
		return
	}
	if len(v) == 0 {
		p.problem(at, "the value is empty", "remove the line")
		return
	}
	p.out = append(p.out, Entry{Key: string(name), Line: at, Fields: map[string][]byte{tokenField: v}})
}

// take gives the next line without its end.
func (p *env) take() []byte {
	line, rest, _ := bytes.Cut(p.rest, []byte("\n"))
	p.rest = rest
	p.line++
	return line
}

func (p *env) problem(line int, what, hint string) {
	p.bad = append(p.bad, Problem{line, what, hint})
}

// value reads what follows the equals sign, with the lines after it where double
// quotes are still open; what is not empty where it is refused.
func (p *env) value(text []byte) (v []byte, what, hint string) {
	if len(text) == 0 {
		return nil, "", ""
	}
	switch text[0] {
	case '\'':
		return singleQuoted(text[1:])
	case '"':
		return p.doubleQuoted(text[1:])
	case '#':
		return nil, "it is not clear whether a # begins the value or a comment", inQuotes
	}
	if i := bytes.IndexAny(text, "#"); i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') {
		text = text[:i]
	}
	text = bytes.TrimRight(text, " \t")
	if bytes.ContainsAny(text, "#$`\"'\\\r") {
		return nil, "the value has a character that not every reader of such files takes as it is (# $ ` \" ' or a backslash)", inQuotes
	}
	return bytes.Clone(text), "", ""
}

// singleQuoted takes everything as it is.
func singleQuoted(text []byte) (v []byte, what, hint string) {
	v, after, ok := bytes.Cut(text, []byte("'"))
	switch {
	case !ok:
		return nil, "a single quote is not closed on its line", "a value of several lines stands in double quotes"
	case bytes.HasSuffix(v, []byte(`\`)), bytes.Contains(v, []byte(`\\`)):
		return nil, "some readers take a backslash in single quotes as it is, and some do not", inQuotes
	case !isComment(after):
		return nil, "something follows the closing quote", ""
	}
	return bytes.Clone(v), "", ""
}

// escapes are those that every reader of double quotes knows, or that a shell has.
var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '"': '"', '$': '$', '`': '`', '\'': '\''}

// unclosed is said of a quote that has no end, or that of the next one.
const unclosed = "a double quote is not closed"

// doubleQuoted goes on over line ends. What is wrong is told after the closing
// quote was found, so that the lines of the value are not taken for others.
func (p *env) doubleQuoted(text []byte) (v []byte, what, hint string) {
	var out []byte
	several := false
	for {
		for i := 0; i < len(text); i++ {
			c := text[i]
			switch {
			case c == '"':
				if what == "" && !isComment(text[i+1:]) {
					what = "something follows the closing quote"
					if several {
						what, hint = unclosed, "it goes on to the next one, with something after that: close it on the line where the value ends"
					}
				}
				return out, what, hint
			case c == '$' || c == '`':
				what, hint = "in double quotes other readers would replace what begins with this $ or `", inQuotes
			case c == '\\' && i+1 < len(text):
				i++
				plain, known := escapes[text[i]]
				if !known {
					what, hint = "there is an escape that is not known", inQuotes
				}
				out = append(out, plain)
			case c == '\\':
				what, hint = "a backslash stands before the end of a line", inQuotes
			default:
				out = append(out, c)
			}
		}
		if len(p.rest) == 0 {
			return nil, unclosed, "close it on the line where the value ends"
		}
		out, text, several = append(out, '\n'), p.take(), true
	}
}

// isComment reports whether nothing of meaning follows.
func isComment(after []byte) bool {
	t := bytes.TrimLeft(after, " \t")
	return len(t) == 0 || t[0] == '#' && len(t) < len(after)
}

// isName: a letter or underscore, then also digits and dots.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > 200 || strings.ContainsRune("0123456789.", rune(b[0])) {
		return false
	}
	return !bytes.ContainsFunc(b, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
}
