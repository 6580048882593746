package resource

import (
	"encoding/json"
	"maps"
	"net/mail"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/fault"
)

// defaultMaxLen is the most runes in a field that does not say.
const defaultMaxLen = 500

// CheckInput says whether a JSON object fits the Mission's form: no other keys,
// what is required is there and not empty, each value of its field's type (a
// number as a JSON number, all else as a string). The error, of kind Invalid,
// names the field and never repeats the value.
func (m *Mission) CheckInput(in json.RawMessage) error {
	var values map[string]any
	if err := json.Unmarshal(in, &values); err != nil || values == nil {
		return fault.New(fault.Invalid, "the input is not a JSON object")
	}
	var names []string
	for _, f := range m.Form {
		names = append(names, f.Name)
		v, there := values[f.Name]
		if !there || v == nil || v == "" {
			if f.Required {
				return fault.Newf(fault.Invalid, "the field %q is required", f.Name)
			}
			continue
		}
		if err := f.check(v); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, k) {
			return fault.Newf(fault.Invalid, "the form has no field %q", fault.Quote(k)).WithHint("%s", DidYouMean(k, names))
		}
	}
	return nil
}

func (f Field) check(v any) error {
	if f.Type == "number" {
		if _, ok := v.(float64); !ok {
			return fault.Newf(fault.Invalid, "the field %q is not a number", f.Name)
		}
		return nil
	}
	s, ok := v.(string)
	if !ok {
		return fault.Newf(fault.Invalid, "the field %q is not a text", f.Name)
	}
	limit := f.MaxLen
	if limit == 0 {
		limit = defaultMaxLen
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return fault.Newf(fault.Invalid, "the field %q has %d characters, more than %d", f.Name, n, limit)
	}
	switch f.Type {
	case "select":
		ok = slices.Contains(f.Options, s)
	case "email":
		a, err := mail.ParseAddress(s)
		ok = err == nil && a.Address == s
	case "date":
		_, err := time.Parse(time.DateOnly, s)
		ok = err == nil
	}
	if ok && f.Pattern != "" {
		re, err := regexp.Compile(`^(?:` + f.Pattern + `)$`)
		ok = err == nil && re.MatchString(s)
	}
	if !ok {
		return fault.Newf(fault.Invalid, "%q is not as it should be: %s", f.Name, f.wanted())
	}
	return nil
}

// wanted says what a field takes, in the words of its help where it has any.
func (f Field) wanted() string {
	switch {
	case f.Help != "":
		return f.Help
	case f.Type == "select":
		return "choose one of its options"
	case f.Type == "email":
		return "an e-mail address"
	case f.Type == "date":
		return "a date like 2026-01-31"
	}
	return "it has to match " + f.Pattern
}
