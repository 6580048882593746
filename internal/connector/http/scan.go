package http

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
)

// scanner walks a document's tokens once. Tokens, not the decoded tree: a
// repeated key would hide its first value from the tree, and is refused.
type scanner struct {
	d    *json.Decoder
	path []string
	hits []string // places that look like a secret
}

const maxHits = 5

// scan refuses, with kind Invalid and the place, what must not be stored: a
// secret in an example, a default or a URL; a repeated key; a reference out of
// the document; nesting over the limit. No value is repeated.
func scan(b []byte) error {
	s := &scanner{d: json.NewDecoder(bytes.NewReader(b))}
	s.d.UseNumber()
	if err := s.value(); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b[s.d.InputOffset():])) > 0 {
		return fault.New(fault.Invalid, "there is data after the OpenAPI document")
	}
	if len(s.hits) == 0 {
		return nil
	}
	return fault.Newf(fault.Invalid, "the OpenAPI document seems to hold a secret at %s", strings.Join(s.hits, " and ")).
		WithHint("take it out, or put a placeholder like <token> there; the document is stored and shown to Workers. If it was a real one, rotate it")
}

func (s *scanner) value() error {
	if len(s.path) > maxDepth {
		return fault.Newf(fault.Invalid, "the OpenAPI document is nested deeper than %d", maxDepth)
	}
	tok, err := s.d.Token()
	if err != nil {
		return fault.Newf(fault.Invalid, "the OpenAPI document is not JSON (near byte %d)", s.d.InputOffset())
	}
	switch t := tok.(type) {
	case string:
		return s.text(t)
	case json.Delim:
		if t == '{' {
			err = s.object()
		} else {
			err = s.array()
		}
	}
	return err
}

func (s *scanner) array() error {
	for i := 0; s.d.More(); i++ {
		s.path = append(s.path, strconv.Itoa(i))
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	return s.end()
}

func (s *scanner) object() error {
	seen := map[string]bool{}
	for s.d.More() {
		tok, err := s.d.Token()
		key, ok := tok.(string)
		if err != nil || !ok {
			return fault.Newf(fault.Invalid, "the OpenAPI document is not JSON (near byte %d)", s.d.InputOffset())
		}
		if token.MatchString(key) || urlSecret(key) {
			s.hit("a key of " + s.place())
		}
		if seen[key] {
			return fault.Newf(fault.Invalid, "the OpenAPI document has a key twice in %s", s.place())
		}
		seen[key] = true
		s.path = append(s.path, key)
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	return s.end()
}

func (s *scanner) end() error {
	if _, err := s.d.Token(); err != nil {
		return fault.Newf(fault.Invalid, "the OpenAPI document is not JSON (near byte %d)", s.d.InputOffset())
	}
	return nil
}

// place is where the scanner is, cut at a length that still says where.
func (s *scanner) place() string {
	p := pointer(s.path...)
	if p == "" {
		return "its top"
	}
	if len(p) > 300 {
		p = p[:300] + "..."
	}
	return strconv.QuoteToASCII(p)
}

func (s *scanner) hit(place string) {
	if len(s.hits) < maxHits && !slices.Contains(s.hits, place) {
		s.hits = append(s.hits, place)
	}
}

func (s *scanner) text(v string) error {
	sample, name := s.sample()
	if n := len(s.path); n > 0 && s.path[n-1] == "$ref" && !strings.HasPrefix(v, "#/") && sample == "" {
		return fault.Newf(fault.Invalid, "the reference at %s leads out of the OpenAPI document", s.place()).
			WithHint("bundle the document into one file first")
	}
	given := sample != "" && sample != "enum" && sample != "const" // a value of somebody's, not a list of words
	if token.MatchString(v) || urlSecret(v) || sample != "" && random(v) || given && secretName(name) && !placeholder(v) {
		s.hit(s.place())
	}
	return nil
}

// sample says under which key for values, not descriptions, the scanner is, if
// any, and the nearest name that the value belongs to.
func (s *scanner) sample() (key, name string) {
	for _, p := range slices.Backward(s.path) {
		switch _, err := strconv.Atoi(p); {
		case slices.Contains([]string{"default", "example", "examples", "enum", "const", "value"}, p), strings.HasPrefix(p, "x-"):
			if key == "" {
				key = p
			}
		case name == "" && err != nil && p != "schema" && p != "items":
			name = p
		}
	}
	return key, name
}

// token finds credentials by the forms that their issuers give them, anywhere
// in a text.
var token = regexp.MustCompile(`(?:` + strings.Join([]string{
	`\bAKIA[0-9A-Z]{16}\b`, `\bAIza[0-9A-Za-z_-]{35}`, `\bgh[pousr]_[0-9A-Za-z]{36}`, `\bgithub_pat_[0-9A-Za-z_]{40}`, `\bglpat-[0-9A-Za-z_-]{20}`,
	`\bxox[abeprs]-[0-9A-Za-z-]{10}`, `\b[sr]k_(?:live|test)_[0-9A-Za-z]{10}`, `\bsk-[0-9A-Za-z_-]{20}`, `\bSG\.[0-9A-Za-z_-]{16,}\.`, `\bnpm_[0-9A-Za-z]{36}`,
	`\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}`, `-----BEGIN [A-Z ]*PRIVATE KEY-----`, `(?i:\bbearer)\s+[0-9A-Za-z._~+/-]*[0-9][0-9A-Za-z._~+/-]{15,}`,
	`(?i:\bbasic)\s+[0-9A-Za-z+/]{16,}={1,2}`,
}, "|") + `)`)

var anyURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>` + "`" + `)\]]+|^/[^\s]*\?[^\s]+`)

// urlSecret finds a password or a key in the URLs of a text.
func urlSecret(v string) bool {
	if !strings.ContainsAny(v, "?@") {
		return false
	}
	for _, m := range anyURL.FindAllString(v, -1) {
		u, err := url.Parse(m)
		if err != nil {
			continue
		}
		if pw, ok := u.User.Password(); ok && !placeholder(pw) {
			return true
		}
		for k, vs := range u.Query() {
			if (secretName(k) || strings.EqualFold(k, "key") || strings.EqualFold(k, "sig")) && slices.ContainsFunc(vs, func(x string) bool { return !placeholder(x) }) {
				return true
			}
		}
	}
	return false
}

var secretWord = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|(api|private|access|signing)[-_]?key|(access|auth|refresh|bearer|id|session)[-_]?token|authorization|credentials?|pwd)$|^token$`)

// secretName reports whether a field of this name usually holds a secret.
func secretName(s string) bool { return secretWord.MatchString(s) }

var placeholderWord = regexp.MustCompile(`(?i)^$|^[<{$\[]|example|sample|placeholder|your|redacted|change|dummy|xxx|\*\*\*|\.\.\.|…|^(string|token|secret|password|value|null|none|bearer|basic|header|true|false|apikey|api_key)$`)

func placeholder(v string) bool { return placeholderWord.MatchString(v) }

var (
	tokenShape = regexp.MustCompile(`^[0-9A-Za-z_+/=.~-]{24,512}$`)
	plainID    = regexp.MustCompile(`^(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-HJKMNP-TV-Z]{26})$`) // UUID, ULID
)

// random reports whether v looks like a token that a machine drew: one word,
// letters and digits, at least 3.5 bits of entropy a character.
func random(v string) bool {
	if !tokenShape.MatchString(v) || plainID.MatchString(v) || !strings.ContainsAny(v, "0123456789") || placeholder(v) {
		return false
	}
	if _, err := url.ParseRequestURI(v); err == nil && strings.HasPrefix(v, "/") {
		return false
	}
	var n [256]float64
	letters := false
	for i := range len(v) {
		n[v[i]]++
		letters = letters || v[i]|0x20 >= 'a' && v[i]|0x20 <= 'z'
	}
	h := 0.0
	for _, c := range n {
		if p := c / float64(len(v)); p > 0 {
			h -= p * math.Log2(p)
		}
	}
	return letters && h >= 3.5
}
