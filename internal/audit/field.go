package audit

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
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

// appendFields checks the fields of an event against what its type allows, and
// appends their member and a comma; nothing where all are empty.
func appendFields(b []byte, t Type, in map[string]any) ([]byte, error) {
	keys := make([]string, 0, len(in))
	for k := range in {
		if !t.may(k) {
			return nil, fault.Newf(fault.Invalid, "an audit entry of type %s has no field %q", t, fault.Quote(k))
		}
		keys = append(keys, k)
	}
	slices.Sort(keys) // all of them are ASCII: that is the order of RFC 8785
	empty, start := true, len(b)
	b = append(b, `"fields":{`...)
	has := make([]bool, len(required[t]))
	for _, k := range keys {
		x, ok := normal(vocabulary[k], in[k])
		if !ok {
			return nil, fault.Newf(fault.Invalid, "the field %q of an audit entry of type %s does not have its form", k, t)
		}
		if x == nil {
			continue
		}
		if i := slices.Index(required[t], k); i >= 0 {
			has[i] = true
		}
		b = append(intent.AppendString(b, k), ':')
		b, empty = append(appendValue(b, x), ','), false
	}
	if i := slices.Index(has, false); i >= 0 {
		return nil, fault.Newf(fault.Invalid, "an audit entry of type %s needs the field %q", t, required[t][i])
	}
	if empty {
		return b[:start], nil
	}
	b[len(b)-1] = '}' // in place of the last comma
	return append(b, ','), nil
}

// appendValue appends what normal gives.
func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case string:
		return intent.AppendString(b, x)
	case int64:
		return strconv.AppendInt(b, x, 10)
	case bool:
		return strconv.AppendBool(b, x)
	case []string:
		b = append(b, '[')
		for i, s := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = intent.AppendString(b, s)
		}
		return append(b, ']')
	}
	panic("audit: a field's value that normal does not give")
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
