package policy

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"sallyport.dev/internal/fault"
)

// maxDepth bounds the nesting of arguments.
const maxDepth = 64

// record converts a Tool's arguments to a Cedar record: integers to Long,
// fractions to Decimal (where the schema says "number", integers too), null
// left out, arrays to Set, objects to Record. Refused: an integer beyond 64
// bits, a fraction with more than four decimals, nesting over 64. Rounding
// would let a policy judge another value than the one that is sent.
func record(m map[string]any, s *shape) (cedar.Record, error) { return object(m, s, 0) }

// decode reads the arguments, numbers as they are written.
func decode(args json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(args))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fault.New(fault.Invalid, "the arguments are not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fault.New(fault.Invalid, "there is data after the arguments")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault.New(fault.Invalid, "the arguments are not a JSON object")
	}
	return m, nil
}

func object(m map[string]any, s *shape, depth int) (cedar.Record, error) {
	out := make(cedar.RecordMap, len(m))
	for k, e := range m {
		if e == nil {
			continue
		}
		var sub *shape
		if s != nil && s.kind == isRecord {
			sub = s.fields[k].shape
		}
		v, err := value(e, sub, depth+1)
		if err != nil {
			return cedar.Record{}, err
		}
		out[cedar.String(k)] = v
	}
	return cedar.NewRecord(out), nil
}

func value(v any, s *shape, depth int) (cedar.Value, error) {
	if depth > maxDepth {
		return nil, fault.Newf(fault.Invalid, "the arguments are nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case bool:
		return cedar.Boolean(v), nil
	case string:
		return cedar.String(v), nil
	case json.Number:
		return number(string(v), s != nil && s.kind == isDecimal)
	case []any:
		return set(v, s, depth)
	case map[string]any:
		return object(v, s, depth)
	}
	return nil, fault.New(fault.Invalid, "the arguments hold a value that policy has no form for")
}

func set(list []any, s *shape, depth int) (cedar.Value, error) {
	var elem *shape
	if s != nil && s.kind == isSet {
		elem = s.elem
	}
	out := make([]cedar.Value, 0, len(list))
	for _, e := range list {
		if e == nil {
			continue
		}
		v, err := value(e, elem, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return cedar.NewSet(out...), nil
}

// number is exact or an error.
func number(s string, decimal bool) (cedar.Value, error) {
	if !decimal && !strings.ContainsAny(s, ".eE") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fault.New(fault.Invalid, "an integer in the arguments is beyond 64 bits")
		}
		return cedar.Long(n), nil
	}
	r, ok := rational(s)
	if !ok {
		return nil, errDecimal()
	}
	if !decimal && r.IsInt() {
		if !r.Num().IsInt64() {
			return nil, fault.New(fault.Invalid, "an integer in the arguments is beyond 64 bits")
		}
		return cedar.Long(r.Num().Int64()), nil
	}
	n, ok := inParts(r)
	if !ok {
		return nil, errDecimal()
	}
	d, err := cedar.NewDecimal(n, -4)
	if err != nil {
		return nil, errDecimal()
	}
	return d, nil
}

// rational reads a JSON number exactly. big.Rat takes its time over a huge
// exponent; no such number is a Decimal.
func rational(s string) (*big.Rat, bool) {
	if _, exp, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exp); err != nil || n < -30 || n > 30 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}

// inParts is a number in 1/10000, as Cedar's Decimal and budgets count.
func inParts(r *big.Rat) (int64, bool) {
	r.Mul(r, big.NewRat(10_000, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

func errDecimal() error {
	return fault.New(fault.Invalid, "a number in the arguments has more than four decimals, or is too large, for policy to judge")
}
