package unknown

import "bytes"

// assigned finds the value that the name text[start:i] is given: name = value,
// "name": "value", <name>value<, name="..." value="...".
func (c *scan) assigned(start, i int) (spot, bool) {
	t := c.text
	quotedName := false
	i = c.afterName(i)
	i, quotedName = skipClosing(t, i)
	i = skip(t, i, blank, 20)
	if k, ok := pairedValue(t, i); ok {
		return c.valueAt(k, sameLine)
	}
	k, comma := operator(t, i)
	switch {
	case k == i:
		return spot{}, false
	case comma && !quotedName, t[i] == '>' && !quotedName && (start == 0 || t[start-1] != '<'):
		return spot{}, false
	}
	where := anyLine
	if t[i] == '>' {
		where = element
	}
	v, ok := c.valueAt(k, where)
	v.comma = comma
	if comma && !v.quoted {
		return spot{}, false
	}
	return v, ok
}

// afterName skips what may stand between a name and its sign: a type before "=",
// plain words before ":".
func (c *scan) afterName(i int) int {
	t := c.text
	k := skip(t, i, blank, 20)
	if k == i || k == len(t) || !name.has(t[k]) {
		return i
	}
	end := skip(t, k, nameOrBlank, 24)
	if end == len(t) || end-i > 24 {
		return i
	}
	if t[end] == '=' || t[end] == ':' && plainWords.all(t[i:end]) {
		return end
	}
	return i
}

// skip goes over at most n bytes of the class.
func skip(t []byte, i int, c class, n int) int {
	for k := 0; k < n && i < len(t) && c.has(t[i]); k++ {
		i++
	}
	return i
}

// entities are quotation marks in HTML.
var entities = [...]string{"&quot;", "&#34;", "&#39;", "&apos;", "&#x27;", "&#x22;"}

// quoteAt is the length of a quotation mark at text[i:], with the backslashes
// before it, and the byte that ends what it opens.
func quoteAt(t []byte, i int) (n int, end byte) {
	k := i
	for k < len(t) && k-i < 8 && t[k] == '\\' {
		k++
	}
	if k < len(t) && (t[k] == '"' || t[k] == '\'' || t[k] == '`') {
		if k > i {
			return k + 1 - i, '\\'
		}
		return 1, t[k]
	}
	if k == i && k < len(t) && t[k] == '&' {
		for _, e := range entities {
			if hasFold(t[i:], e) {
				return len(e), '&'
			}
		}
	}
	return 0, 0
}

// skipClosing goes over what ends a name in quotes: ", \", "], &quot;.
func skipClosing(t []byte, i int) (int, bool) {
	quoted := false
	for range 3 {
		n, _ := quoteAt(t, i)
		if n == 0 {
			break
		}
		i, quoted = i+n, true
	}
	if i < len(t) && (t[i] == ']' || t[i] == ')' && quoted) {
		i++
	}
	return i, quoted
}

// operator gives where an assignment's sign at text[i:] ends, or i when there is
// none, and whether it is a comma.
func operator(t []byte, i int) (int, bool) {
	if i == len(t) {
		return i, false
	}
	k := i
	switch t[k] {
	case ',':
		return i + 1, true
	case '>':
		return i + 1, false
	case '?', '+', '.', '|', '-':
		k++
		if k < len(t) && (t[k] == '=' || t[k] == '|' || t[k] == '>') && (t[k] != '>' || t[k-1] == '-') {
			return k + 1, false
		}
		return i, false
	case '%':
		if hasFold(t[i:], "%3d") || hasFold(t[i:], "%3a") {
			return i + 3, false
		}
		return i, false
	}
	for k < len(t) && k-i < 4 && (t[k] == ':' || t[k] == '=') {
		k++
	}
	if k > i && k < len(t) && t[k] == '>' {
		k++
	}
	return k, false
}

// pairedValue finds the value of a name that is a value itself:
// name: API_KEY, value: ...
func pairedValue(t []byte, i int) (int, bool) {
	k := skip(t, i, space, 30)
	if k < len(t) && t[k] == ',' {
		k = skip(t, k+1, space, 30)
	}
	n, _ := quoteAt(t, k)
	k += n
	if !hasFold(t[k:], "value") || k == i {
		return 0, false
	}
	k += len("value")
	n, _ = quoteAt(t, k)
	k = skip(t, k+n, blank, 10)
	if k < len(t) && (t[k] == '=' || t[k] == ':') {
		return k + 1, true
	}
	return 0, false
}

// place is where a value may stand behind its operator.
type place int8

const (
	sameLine place = iota
	anyLine        // on the next line too, when that is no assignment itself
	element        // between the tags of an element
)

// valueAt reads a value behind its operator.
func (c *scan) valueAt(i int, where place) (spot, bool) {
	t := c.text
	from := i
	if where == sameLine {
		i = skip(t, i, blank, 40)
	} else {
		i = skip(t, i, space, 40)
	}
	if k := i + 1; k < len(t) && bytes.IndexByte([]byte("bfru@$"), t[i]) >= 0 {
		if n, _ := quoteAt(t, k); n > 0 {
			i = k
		}
	}
	n, end := quoteAt(t, i)
	if n == 0 {
		return c.bare(from, i, where)
	}
	i += n
	for k := 0; k < 2 && i < len(t) && n == 1 && t[i] == end; k++ {
		i++ // three of them
	}
	for k := i; k < len(t) && k-i < maxQuoted; k++ {
		if t[k] == end || t[k] == '\n' || t[k] == '\\' {
			return spot{start: i, end: k, quoted: true}, k > i && t[k] != '\n'
		}
	}
	return spot{start: i, end: min(len(t), i+maxQuoted), quoted: true}, i < len(t)
}

// maxQuoted bounds what is read of a value.
const maxQuoted = 2048

// bare reads a value without quotes.
func (c *scan) bare(from, i int, where place) (spot, bool) {
	t := c.text
	end := c.runs.end(value, i)
	if end-i > maxQuoted {
		return spot{}, false // a secret is not that long
	}
	if end < len(t) && (t[end] == '(' || t[end] == '[' || t[end] == '{') {
		return spot{}, false // an expression
	}
	// The line ended, and what stands on the next is a name itself.
	if where == anyLine && bytes.IndexByte(t[from:i], '\n') >= 0 && bytes.ContainsAny(bytes.TrimRight(t[i:end], "="), "=:") {
		return spot{}, false
	}
	if bytes.HasSuffix(t[i:end], []byte("..")) {
		return spot{}, false // somebody cut it short
	}
	for end > i && bytes.IndexByte([]byte(".:!?*"), t[end-1]) >= 0 {
		end--
	}
	return spot{start: i, end: end}, end > i
}
