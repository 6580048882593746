package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// Colours, as SGR parameters.
const (
	red    = "1;31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	bold   = "1"
	dim    = "2"
)

// paint colours a text that is visible already.
func paint(on bool, colour, s string) string {
	if !on {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// visible spells out what would not be seen: control characters, which can drive
// a terminal, and invisible ones, which can turn or hide what stands beside them.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u{%04X}`, r)
		}
	}
	return b.String()
}

// block indents a text of several lines, so that none of it can be taken for a
// line of ours.
func block(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		b.WriteString("  | " + visible(strings.TrimSuffix(line, "\r")) + "\n")
	}
	return b.String()
}

// say is talk: one line on stderr.
func (p *program) say(format string, args ...any) {
	fmt.Fprintln(p.err, visible(fmt.Sprintf(format, args...)))
}

// line is one line of a result.
func (p *program) line(format string, args ...any) {
	fmt.Fprintln(p.out, visible(fmt.Sprintf(format, args...)))
}

// result prints an answer: as JSON when that was asked for, else by text.
func (p *program) result(v any, text func()) error {
	if !p.json {
		text()
		return nil
	}
	return p.object(v)
}

// object prints one JSON value on one line.
func (p *program) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, "encoding the result", err)
	}
	return p.raw(b)
}

// raw prints JSON that somebody else encoded, on one line.
func (p *program) raw(b []byte) error {
	var line bytes.Buffer
	if err := json.Compact(&line, b); err != nil {
		return fault.New(fault.Internal, "the server's answer is not JSON")
	}
	_, err := io.WriteString(p.out, escaped(plain(line.String()))+"\n")
	return fault.Wrap(fault.Unavailable, "writing the result", err)
}

// plain takes back the escapes of &, < and > that encoding/json makes for pages,
// and a terminal does not need: people copy what is here.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch {
		case strings.HasPrefix(s[i:], `\u0026`):
			b.WriteByte('&')
			i += 5
		case strings.HasPrefix(s[i:], `\u003c`):
			b.WriteByte('<')
			i += 5
		case strings.HasPrefix(s[i:], `\u003e`):
			b.WriteByte('>')
			i += 5
		default: // an escape is two bytes at least: the second never begins another
			b.WriteString(s[i : i+2])
			i++
		}
	}
	return b.String()
}

// escaped replaces invisible characters in JSON by its own escapes; outside
// strings there are none.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		}
	}
	return b.String()
}

// table prints rows under a header, or nothing but a remark when there is none.
func (p *program) table(none string, header []string, rows [][]string) {
	if len(rows) == 0 {
		p.say("%s", none)
		return
	}
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			row[i] = short(visible(cell), 100)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a person's terminal that is gone is nobody's error
}

// short cuts a text to n characters.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pairs prints names and values, one pair a line; empty values are left out.
func (p *program) pairs(kv ...string) {
	w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", kv[i], visible(kv[i+1]))
		}
	}
	_ = w.Flush() // a person's terminal that is gone is nobody's error
}
