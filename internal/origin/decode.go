package origin

import (
	"bytes"
	"strconv"
	"strings"

	"sallyport.dev/internal/scrub"
)

// maxDecoded bounds how many needles are looked for in encoded forms: those that
// were found nowhere else.
const maxDecoded = 64

// maxEncoded is how long one of them can be.
const maxEncoded = 512

// decode looks for what no source has as it is in the encoded forms that package
// scrub knows, in untrusted sources.
func (t *tracer) decode(sources []Source) {
	set, names := t.hidden(sources)
	for src := range sources {
		s := &sources[src]
		if set == nil || s.Kind.Trusted() {
			continue
		}
		met := map[string]*needle{}
		for _, name := range set.Contains(s.Body) {
			n := names[name]
			if n == nil { // what is packed too deep to be read
				t.cut = true
			} else if n.hit.src < 0 || src < n.hit.src {
				n.hit, met[name] = hit{src: src, how: Decoded}, n
			}
		}
		s.encodedAt(set, met)
	}
	for i := range t.values {
		t.settle(&t.values[i], sources)
	}
}

// hidden makes the set of what is looked for, and who is called what in it.
func (t *tracer) hidden(sources []Source) (*scrub.Set, map[string]*needle) {
	var secrets []scrub.Secret
	names := map[string]*needle{}
	add := func(v *value, forms []*needle) {
		h := first(forms)
		if len(forms) == 0 || forms[0] == nil || h.src >= 0 && sources[h.src].Kind != Person || bytes.Contains(t.trusted, []byte(forms[0].full)) {
			return
		}
		if len(names) == maxDecoded || len(forms[0].full) > maxEncoded {
			v.lost = v.lost || len(names) == maxDecoded
			return
		}
		name := strconv.Itoa(len(names))
		n := len(secrets)
		for _, s := range spellings(forms[0]) {
			if scrub.Check([]byte(s)) == nil { // a word that is easy to guess would be met by chance
				secrets = append(secrets, scrub.Secret{Name: name, Value: []byte(s)})
			}
		}
		if len(secrets) > n {
			names[name] = forms[0]
		}
	}
	for i := range t.values {
		v := &t.values[i]
		add(v, v.forms)
		for _, p := range v.parts {
			add(v, p.forms)
		}
	}
	if len(secrets) == 0 {
		return nil, nil
	}
	set, err := scrub.Build(secrets)
	if err != nil { // a value that no pattern can be made of
		t.cut = true
		return nil, nil
	}
	return set, names
}

// spellings are the ways in which a value may have been written before it was
// encoded.
func spellings(n *needle) []string {
	out := []string{strings.TrimSpace(n.raw)}
	if c, ok := grouped([]byte(n.full)); ok && len(c) >= 8 {
		out = append(out, string(c), strings.ToUpper(string(c)), groups(strings.ToUpper(string(c))))
	} else if n.full != out[0] {
		out = append(out, n.full)
	}
	return out
}

// groups writes an identifier in groups of four.
func groups(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// encodedAt fills in the first place of each that stands encoded in one value alone.
func (s *Source) encodedAt(set *scrub.Set, met map[string]*needle) {
	if len(met) == 0 {
		return
	}
	walk(s.Body, func(tok token, place func() string) bool {
		if len(tok.text) < scrub.MinLen {
			return true
		}
		for _, name := range set.Contains([]byte(tok.text)) {
			if n := met[name]; n != nil {
				n.hit.where = s.place(place())
				delete(met, name)
			}
		}
		return len(met) > 0
	})
}
