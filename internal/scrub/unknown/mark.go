package unknown

import "bytes"

// maskOpen begins what is written in place of a finding.
const maskOpen = "[secret?:"

// markOpen begins any mark: package scrub's [secret:NAME] and [secret], and ours.
const markOpen = "[secret"

// maxMark is the length of the longest mark; a name has at most 120 bytes.
const maxMark = 140

// markAt gives the end of the mark that begins at text[i:], or 0.
func markAt(text []byte, i int) int {
	rest := text[i:min(len(text), i+maxMark)]
	if !bytes.HasPrefix(rest, []byte(markOpen)) {
		return 0
	}
	for k := len(markOpen); k < len(rest); k++ {
		switch c := rest[k]; {
		case c == ']':
			return i + k + 1
		case k == len(markOpen) && c != ':' && c != '?', c <= ' ', c > '~', c == '[':
			return 0
		}
	}
	return 0
}

// markEnds reports whether a mark ends right before text[i:].
func markEnds(text []byte, i int) bool {
	if i == 0 || text[i-1] != ']' {
		return false
	}
	from := max(0, i-maxMark)
	k := bytes.LastIndex(text[from:i], []byte(markOpen))
	return k >= 0 && markAt(text, from+k) == i
}

// touchesMark reports whether a mark is in text[i:j], around it or right beside it.
func touchesMark(text []byte, i, j int) bool {
	if markEnds(text, i) || markAt(text, j) > 0 || bytes.Contains(text[i:j], []byte(markOpen)) {
		return true
	}
	from := max(0, i-maxMark)
	k := bytes.LastIndex(text[from:i], []byte(markOpen))
	return k >= 0 && markAt(text, from+k) > i
}

// marks walks the marks of a text, in its order.
type marks struct {
	text       []byte
	start, end int // of the mark that is not yet passed; start len(text): none
}

func (m *marks) reset(text []byte) {
	*m = marks{text: text}
	m.next(0)
}

func (m *marks) next(from int) {
	for {
		k := bytes.Index(m.text[from:], []byte(markOpen))
		if k < 0 {
			m.start, m.end = len(m.text), len(m.text)
			return
		}
		m.start = from + k
		if m.end = markAt(m.text, m.start); m.end > 0 {
			return
		}
		from = m.start + 1
	}
}

// covers reports whether text[start:end] touches a mark from inside. It is asked
// in the order of the ends.
func (m *marks) covers(start, end int) bool {
	for m.start < len(m.text) && m.end < end {
		if start < m.end {
			return true
		}
		m.next(m.end)
	}
	return start < m.end && end > m.start
}

// leftEdge reports whether a token may begin at text[i:]: not in the middle of a
// word or a file's name, but right behind an escape like \n, %3D or \u003d.
func leftEdge(text []byte, i int) bool {
	if i == 0 {
		return true
	}
	c := text[i-1]
	if c == '.' && i >= 2 && (class('w').has(text[i-2]) || markEnds(text, i-1)) {
		return false // the end of a file's name
	}
	if !class('w').has(c) {
		return !markEnds(text, i)
	}
	switch {
	case i >= 2 && text[i-2] == '\\' && (c == 'n' || c == 'r' || c == 't'):
		return true
	case i >= 3 && text[i-3] == '%' && class('h').all(text[i-2:i]):
		return true
	case i >= 6 && text[i-6] == '\\' && text[i-5] == 'u' && class('h').all(text[i-4:i]):
		return true
	}
	return false
}

// rightEdge reports whether a token may end before text[i:].
func rightEdge(text []byte, i int) bool {
	return i >= len(text) || !class('w').has(text[i]) && markAt(text, i) == 0
}
