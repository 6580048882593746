// Package taxid verifies VAT identification numbers of the EU countries, of
// the United Kingdom and of Northern Ireland by their published structure and
// check digits.
//
// A number that passes is well formed; whether it is registered today only the
// country's own register knows. One that fails breaks its country's rule. What has
// no published check digit is verified by structure, and the verdict's rule
// says so. A country that is not in the table gets [Unsupported], never a
// guess.
//
// The rules are those that the member states publish for VIES, and HMRC's
// modulus 97 and 9755. The functions are pure: no network, no clock, no state.
//
// # Security
//
// The input is somebody else's text. It is bounded to 32 bytes before it is
// looked at, and a verdict repeats it only in normalised form: digits, capital
// letters, '+' and '*'.
package taxid

import (
	"regexp"
	"slices"
	"strings"
)

// Status is what the check came to.
type Status string

// The three outcomes. Unsupported means that nothing was verified.
const (
	Valid       Status = "valid"
	Invalid     Status = "invalid"
	Unsupported Status = "unsupported"
)

// Verdict is the outcome of one check.
type Verdict struct {
	Status  Status `json:"status"`
	Country string `json:"country"` // ISO 3166 alpha-2 ("GR" for Greece), "" when unknown
	Number  string `json:"number"`  // normalised with its VIES prefix, "" when it can't be read
	Rule    string `json:"rule"`    // the rule that was applied, in words
	Reason  string `json:"reason"`  // why it is not valid, "" when it is
}

// maxInput bounds the text that is looked at; the longest number has 14 characters.
const maxInput = 32

// form is one structure that a country issues. check gets text that matches
// the pattern and answers "" or the reason why it can't be a number.
type form struct {
	pattern *regexp.Regexp
	rule    string
	check   func(body string) string
}

// scheme is a country: its ISO code, its VIES prefix, and what it issues.
type scheme struct {
	iso, prefix string
	forms       []form
}

func issued(pattern, rule string, check func(string) string) form {
	return form{regexp.MustCompile(`^(?:` + pattern + `)$`), rule, check}
}

// schemes is every country that can be verified.
var schemes = slices.Concat(austriaToCzechia, denmarkToGreece, spainToFrance, croatiaToItaly,
	lithuaniaToNetherlands, polandToSlovakia, britain)

// Countries lists the ISO codes that Verify supports, sorted.
func Countries() []string {
	var out []string
	for _, s := range schemes {
		out = append(out, s.iso)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Verify checks the number id. country is an ISO or VIES country code in any
// case; it may be empty when id begins with its prefix. Spaces, dots, hyphens
// and slashes in id are ignored.
func Verify(id, country string) Verdict {
	body, ok := normalise(id)
	if !ok {
		return Verdict{Status: Invalid, Rule: "characters", Reason: "the number is empty, too long, or has characters that no VAT number has"}
	}
	country = strings.ToUpper(strings.TrimSpace(country))
	own, prefixed := byPrefix(body)
	if country == "" {
		if !prefixed {
			return Verdict{Status: Unsupported, Number: body, Rule: "none", Reason: "the number does not begin with a known country prefix and no country was given; nothing was verified"}
		}
		return own.verify(body[2:])
	}
	s, known := byCode(country)
	if !known {
		return Verdict{Status: Unsupported, Rule: "none", Reason: "no rule for this country is known here; nothing was verified"}
	}
	if prefixed && own.iso == s.iso && (own.fits(body[2:]) || !s.fits(body)) {
		return own.verify(body[2:])
	}
	v := s.verify(body)
	// "DE" and nine digits has a French structure too; only what passes the
	// French check is taken for French.
	if v.Status != Valid && prefixed && own.iso != s.iso && own.fits(body[2:]) {
		return Verdict{Status: Invalid, Country: s.iso, Number: body, Rule: "prefix", Reason: "the number's prefix is that of " + own.iso + ", the country given is " + s.iso}
	}
	return v
}

// fits reports whether body has one of the structures of s.
func (s scheme) fits(body string) bool {
	return slices.ContainsFunc(s.forms, func(f form) bool { return f.pattern.MatchString(body) })
}

// verify tries each structure that body fits. Where several do (Bulgaria's ten
// digits), one passing check is enough; the last failure's reason is told.
func (s scheme) verify(body string) Verdict {
	v := Verdict{Status: Invalid, Country: s.iso, Number: s.prefix + body, Rule: s.prefix + " structure", Reason: "the number does not have the structure of " + s.prefix + " numbers: " + s.structures()}
	if strings.Trim(body, "0") == "" {
		v.Reason = "the number is all zeros"
		return v
	}
	for _, f := range s.forms {
		if !f.pattern.MatchString(body) {
			continue
		}
		v.Rule, v.Reason = f.rule, f.check(body)
		if v.Reason == "" {
			v.Status = Valid
			return v
		}
	}
	return v
}

func (s scheme) structures() string {
	var out []string
	for _, f := range s.forms {
		name, _, _ := strings.Cut(f.rule, ":")
		out = append(out, name)
	}
	return strings.Join(slices.Compact(out), ", or ")
}

// normalise drops separators and makes letters capital. It refuses anything
// that is not a letter, a digit, '+' or '*' (the last two are Irish).
func normalise(id string) (string, bool) {
	if len(id) > maxInput {
		return "", false
	}
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case c == ' ' || c == '.' || c == '-' || c == '/':
		case c >= 'a' && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '*':
			b.WriteByte(c)
		default:
			return "", false
		}
	}
	return b.String(), b.Len() > 0
}

// byPrefix finds the country whose prefix body begins with. "GR" is taken for
// "EL", since people write it.
func byPrefix(body string) (scheme, bool) {
	if len(body) < 2 {
		return scheme{}, false
	}
	return byCode(body[:2])
}

// byCode finds a country by its VIES prefix or its ISO code.
func byCode(code string) (scheme, bool) {
	for _, s := range schemes {
		if s.prefix == code || s.iso == code {
			return s, true
		}
	}
	return scheme{}, false
}
