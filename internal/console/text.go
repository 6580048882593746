package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// piece is a part of a foreign text. An odd one stands for what a reader would
// not see, or would see in another order.
type piece struct {
	Text string
	Odd  bool
}

// visible splits a text into what can be shown as it is and code points in
// their place: controls, direction marks, zero-width and other invisible
// characters, spaces other than the plain one, what is private or unassigned.
// Line feeds and tabs stay.
func visible(v any) []piece {
	var out []piece
	add := func(s string, odd bool) {
		if n := len(out); n > 0 && out[n-1].Odd == odd {
			out[n-1].Text += s
			return
		}
		out = append(out, piece{s, odd})
	}
	s := text(v)
	plain := 0
	for i, r := range s {
		if !odd(r) && (r != unicode.ReplacementChar || strings.HasPrefix(s[i:], "\uFFFD")) {
			continue
		}
		if plain < i {
			add(s[plain:i], false)
		}
		n := len(string(r))
		if r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD") {
			add(fmt.Sprintf("<byte %02X>", s[i]), true) // not UTF-8
			n = 1
		} else {
			add(fmt.Sprintf("<U+%04X>", r), true)
		}
		plain = i + n
	}
	if plain < len(s) {
		add(s[plain:], false)
	}
	return out
}

// blank are letters, marks and symbols that look like nothing.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034F, Hi: 0x034F, Stride: 1}, {Lo: 0x115F, Hi: 0x1160, Stride: 1}, {Lo: 0x17B4, Hi: 0x17B5, Stride: 1}, {Lo: 0x180B, Hi: 0x180F, Stride: 1},
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0x3164, Hi: 0x3164, Stride: 1}, {Lo: 0xFE00, Hi: 0xFE0F, Stride: 1}, {Lo: 0xFFA0, Hi: 0xFFA0, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xE0100, Hi: 0xE01EF, Stride: 1}},
}

func odd(r rune) bool {
	return r != '\n' && r != '\t' && (!unicode.IsPrint(r) || unicode.Is(blank, r))
}

// hasOdd reports whether a text has anything that visible replaces.
func hasOdd(texts ...string) bool {
	for _, s := range texts {
		for _, p := range visible(s) {
			if p.Odd {
				return true
			}
		}
	}
	return false
}

// redacted reports whether the scrubber took a known secret out of a text.
func redacted(texts ...string) bool {
	for _, s := range texts {
		if strings.Contains(s, "[secret:") || strings.Contains(s, "[secret]") {
			return true
		}
	}
	return false
}

// text is a string of any string type, or of bytes.
func text(v any) string {
	switch s := v.(type) {
	case string:
		return s
	case json.RawMessage:
		return string(s)
	}
	return fmt.Sprint(v)
}

// pretty indents JSON; what is none stays as it is.
func pretty(v any) string {
	s := text(v)
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

// span is a duration in its largest unit, rounded, for people.
func span(d time.Duration) string {
	n := func(v time.Duration, unit string) string {
		if v == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", v, unit)
	}
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return n(d/time.Minute, "minute")
	case d < 36*time.Hour:
		return n((d+time.Hour/2)/time.Hour, "hour")
	}
	return n((d+12*time.Hour)/(24*time.Hour), "day")
}

// near says that a version's end is near, or has passed; "" where it is far.
func near(end, now time.Time) string {
	switch left := end.Sub(now); {
	case left <= 0:
		return "expired"
	case left < 24*time.Hour:
		return "in less than a day"
	case left < 48*time.Hour:
		return "in a day"
	case left <= 14*24*time.Hour:
		return "in " + strconv.Itoa(int(left/(24*time.Hour))) + " days"
	}
	return ""
}
