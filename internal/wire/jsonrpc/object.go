package jsonrpc

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// Object is the members of a JSON object in their order. No key stands twice.
type Object []Member

// Member is one of them; Value is its JSON text without white space around it.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Get finds a member by its exact key.
func (o Object) Get(key string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.Key == key {
			return m.Value, true
		}
	}
	return nil, false
}

// Text is a member that is a string; false when there is none.
func (o Object) Text(key string) (string, bool) {
	v, ok := o.Get(key)
	if !ok {
		return "", false
	}
	s, err := text(v)
	return s, err == nil
}

// Object is a member that is an object; nil and false when there is none.
func (o Object) Object(key string) (Object, bool) {
	v, ok := o.Get(key)
	if !ok || v[0] != '{' {
		return nil, false
	}
	return members(v), true
}

// Bool is a member that is true or false; ok says that it is there as such.
func (o Object) Bool(key string) (v, ok bool) {
	b, _ := o.Get(key)
	return string(b) == "true", string(b) == "true" || string(b) == "false"
}

// ReadObject reads one JSON object as strictly as Decode does a message.
func ReadObject(b []byte) (Object, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errParse
	}
	if b = bytes.TrimSpace(b); b[0] != '{' {
		return nil, errNoObj
	}
	if err := unambiguous(b); err != nil {
		return nil, err
	}
	return members(b), nil
}

// members splits an object that unambiguous has passed.
func members(b []byte) Object {
	o := make(Object, 0, 8)
	s := scan{b: b, at: 1}
	for s.space() != '}' {
		if s.b[s.at] == ',' {
			s.at++
			s.space()
		}
		key, _ := text(s.str()) // it was read before
		s.space()
		s.at++ // the colon
		s.space()
		from := s.at
		s.skip()
		o = append(o, Member{key, s.b[from:s.at:s.at]})
	}
	return o
}

// text decodes a JSON string.
func text(b []byte) (string, error) {
	if len(b) < 2 || b[0] != '"' {
		return "", fault.New(fault.Invalid, "it is not a JSON string")
	}
	if in := b[1 : len(b)-1]; bytes.IndexByte(in, '\\') < 0 {
		return string(in), nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fault.New(fault.Invalid, "it is not a JSON string")
	}
	return s, nil
}

// scan walks over JSON that is known to be valid.
type scan struct {
	b     []byte
	at    int
	depth int
}

// space skips white space and gives the byte that follows.
func (s *scan) space() byte {
	for {
		switch c := s.b[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
}

// str skips a string and gives its JSON text.
func (s *scan) str() []byte {
	from := s.at
	for s.at++; s.b[s.at] != '"'; s.at++ {
		if s.b[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.b[from:s.at]
}

// skip goes over one value.
func (s *scan) skip() {
	switch s.b[s.at] {
	case '"':
		s.str()
	case '{', '[':
		for depth := 0; ; {
			switch s.b[s.at] {
			case '"':
				s.str()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			s.at++
			if depth == 0 {
				return
			}
		}
	default:
		for s.at < len(s.b) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(s.b[s.at])) {
			s.at++
		}
	}
}

// unambiguous refuses what two parsers could read in two ways.
func unambiguous(b []byte) error {
	s := scan{b: b}
	return s.check()
}

// check goes over one value, all the way down.
func (s *scan) check() error {
	switch s.space() {
	case '"':
		return whole(s.str())
	case '[':
		return s.array()
	case '{':
		return s.object()
	}
	s.skip()
	return nil
}

func (s *scan) array() error {
	if s.depth++; s.depth > MaxDepth {
		return errDeep
	}
	for s.at++; s.space() != ']'; {
		if s.b[s.at] == ',' {
			s.at++
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	s.at++
	s.depth--
	return nil
}

func (s *scan) object() error {
	if s.depth++; s.depth > MaxDepth {
		return errDeep
	}
	var k keys
	for s.at++; s.space() != '}'; {
		if s.b[s.at] == ',' {
			s.at++
			s.space()
		}
		raw := s.str()
		if err := whole(raw); err != nil {
			return err
		}
		key, err := text(raw)
		if err != nil {
			return errParse
		}
		if k.seen(key) {
			return errTwice
		}
		s.space()
		s.at++ // the colon
		if err := s.check(); err != nil {
			return err
		}
	}
	s.at++
	s.depth--
	return nil
}

// few is up to how many keys a list is quicker than a map.
const few = 12

// keys are those of one object so far.
type keys struct {
	list []string
	all  map[string]bool
}

func (k *keys) seen(key string) bool {
	if k.all != nil {
		was := k.all[key]
		k.all[key] = true
		return was
	}
	for _, l := range k.list {
		if l == key {
			return true
		}
	}
	if k.list = append(k.list, key); len(k.list) > few {
		k.all = make(map[string]bool, 4*few)
		for _, l := range k.list {
			k.all[l] = true
		}
	}
	return false
}

// whole refuses a string with half of a surrogate pair, which encoding/json would
// silently replace.
func whole(b []byte) error {
	for i := bytes.IndexByte(b, '\\'); i >= 0 && i+1 < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if b[i+1] != 'u' {
			i++
			continue
		}
		switch r := unit(b, i+2); {
		case r < 0xd800 || r > 0xdfff:
			i += 5
		case r < 0xdc00 && i+7 < len(b) && b[i+6] == '\\' && b[i+7] == 'u' && unit(b, i+8) >= 0xdc00 && unit(b, i+8) <= 0xdfff:
			i += 11
		default:
			return errHalf
		}
	}
	return nil
}

// unit is the number of a \u escape.
func unit(b []byte, at int) uint64 {
	if at+4 > len(b) {
		return 0
	}
	n, err := strconv.ParseUint(string(b[at:at+4]), 16, 32)
	if err != nil {
		return 0
	}
	return n
}
