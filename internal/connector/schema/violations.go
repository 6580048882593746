package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"sallyport.dev/internal/fault"
)

const maxViolations = 5

// violations lists the leaves of an error, "/place: rule" each. What a rule
// says comes from the schema alone.
func violations(e *jsonschema.ValidationError, out []string) []string {
	if len(out) >= maxViolations {
		return out
	}
	if len(e.Causes) == 0 {
		s := pointer(e.InstanceLocation) + ": " + rule(e.ErrorKind)
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		return out
	}
	for _, c := range e.Causes {
		out = violations(c, out)
	}
	return out
}

func pointer(tokens []string) string {
	if len(tokens) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return fault.Quote(b.String())
}

func rule(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return "lacks " + names(k.Missing)
	case *kind.DependentRequired:
		return "lacks " + names(k.Missing)
	case *kind.AdditionalProperties:
		return "has no place for " + names(k.Properties)
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.Type:
		return fmt.Sprintf("is %s, has to be %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return "has to be one of " + value(k.Want)
	case *kind.Const:
		return "has to be " + value(k.Want)
	case *kind.Format:
		return "is not in the format " + k.Want
	case *kind.Pattern:
		return "does not match the pattern " + fault.Quote(k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has fewer than %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has more than %d items", k.Want)
	case *kind.Minimum:
		return "is less than " + number(k.Want)
	case *kind.Maximum:
		return "is more than " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "has to be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "has to be less than " + number(k.Want)
	}
	if p := k.KeywordPath(); len(p) > 0 {
		return "breaks the rule " + fault.Quote(p[0])
	}
	return "is not valid"
}

func names(ss []string) string {
	q := make([]string, len(ss))
	for i, s := range ss {
		q[i] = fmt.Sprintf("%q", s)
	}
	slices.Sort(q)
	return fault.Quote(strings.Join(q, ", "))
}

func value(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "a fixed value"
	}
	return fault.Quote(strings.Trim(string(b), "[]"))
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return fmt.Sprint(f)
}
