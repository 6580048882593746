package audit

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// Bounds of a field's value.
const (
	maxShort  = 1000     // bytes that Short leaves
	maxName   = maxShort // bytes of an id or a name
	maxNames  = 1000     // names in a list
	maxText   = 4 << 10  // bytes of a reason
	maxOctets = 6 << 10  // bytes of base64url
	maxNumber = 1 << 53  // what JSON's numbers keep exactly
)

// Short makes somebody else's words, which are scrubbed already, fit an event, as
// a reason or as a name: one printable line of at most 1,000 bytes, cut between
// characters. A refusal to record what a Worker sent would keep the Worker's
// attempt off the record.
func Short(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)), " ")
	if len(s) <= maxShort {
		return s
	}
	cut := maxShort - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// encodeFields checks the fields of an event against what its type allows and
// gives their JSON.
func encodeFields(t Type, in map[string]any) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(in))
	for k, v := range in {
		if !t.may(k) {
			return nil, fault.Newf(fault.Invalid, "an audit entry of type %s has no field %q", t, fault.Quote(k))
		}
		x, ok := normal(vocabulary[k], v)
		if !ok {
			return nil, fault.Newf(fault.Invalid, "the field %q of an audit entry of type %s does not have its form", k, t)
		}
		if x == nil {
			continue
		}
		b, err := json.Marshal(x)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "encoding an audit entry's field", err)
		}
		out[k] = b
	}
	for _, k := range required[t] {
		if out[k] == nil {
			return nil, fault.Newf(fault.Invalid, "an audit entry of type %s needs the field %q", t, k)
		}
	}
	return out, nil
}

// normal gives v as the JSON value of a field of form f: string, int64, bool or
// []string; nil where it is empty and left out; false where it has not its form.
func normal(f form, v any) (any, bool) {
	if t, ok := v.(time.Time); ok {
		return formatTime(t), f == instant && !t.IsZero() && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999
	}
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid():
		return nil, true
	case r.Kind() == reflect.String:
		return normalString(f, r.String())
	case r.CanInt():
		return r.Int(), f == number && r.Int() <= maxNumber && r.Int() >= -maxNumber
	case r.Kind() == reflect.Bool:
		return r.Bool(), f == flag
	case r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.String:
		return normalList(f, r)
	}
	return nil, false
}

func normalString(f form, s string) (any, bool) {
	if s == "" {
		return nil, f == name || f == text || f == digest || f == octets
	}
	switch f {
	case name:
		return s, isName(s)
	case text:
		return s, len(s) <= maxText && utf8.ValidString(s)
	case digest:
		return s, len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
	case octets:
		_, err := base64.RawURLEncoding.Strict().DecodeString(s)
		return s, len(s) <= maxOctets && err == nil && !strings.ContainsAny(s, "\r\n")
	case names, number, flag, instant: // no strings
	}
	return nil, false
}

func normalList(f form, r reflect.Value) (any, bool) {
	if f != names || r.Len() > maxNames {
		return nil, false
	}
	if r.Len() == 0 {
		return nil, true
	}
	out := make([]string, r.Len())
	for i := range out {
		if out[i] = r.Index(i).String(); out[i] == "" || !isName(out[i]) {
			return nil, false
		}
	}
	return out, true
}

// Octets is bytes in the form that a field has them.
func Octets(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// isName says whether s can be a name in an entry: short, and printable, so
// that it can't disguise itself on a terminal.
func isName(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// parseFields gives an entry's fields by the forms of its type.
func parseFields(t Type, in map[string]json.RawMessage) (map[string]any, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make(map[string]any, len(in))
	for k, raw := range in {
		v, err := parseField(vocabulary[k], raw)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "the entry's field %q does not have its form", fault.Quote(k))
		}
		out[k] = v
	}
	return out, nil
}

func parseField(f form, raw json.RawMessage) (any, error) {
	switch f {
	case number:
		return decode[int64](raw)
	case flag:
		return decode[bool](raw)
	case names:
		return decode[[]string](raw)
	case instant:
		s, err := decode[string](raw)
		if err != nil {
			return nil, err
		}
		return time.Parse(timeForm, s)
	default:
		return decode[string](raw)
	}
}

func decode[T any](raw json.RawMessage) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}
