package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// UseKind says what a limit counts.
type UseKind string

// The kinds of limit.
const (
	Rate   UseKind = "rate"   // calls
	Budget UseKind = "budget" // an argument of them, added up in 1/10000
)

// Use is one call's part of a rate or a budget: what would be used of it, and what
// is. Who stores the Intent counts again, in the same transaction, and stores the
// use with it: two calls at once can't both take the last place.
type Use struct {
	Statement string        // "policy/id"
	Kind      UseKind       //
	Limit     string        // as it is written: "20 per 1h per connection"
	Scope     string        // SHA-256, hex, of statement, kind, argument, per and its value: what is counted together
	Most      int64         // that may be used within the window, in the unit of Amount
	Amount    int64         // of this call: 1, or the argument in 1/10000; never negative
	Window    time.Duration // that slides: what was used exactly so long ago is free again
	Used      int64         // by other calls, when it was evaluated
	// Observed: of a statement in observe mode. It is counted, and refuses nothing.
	Observed bool
}

// Within says whether there is room for the call beside what is used.
func (u Use) Within(used int64) bool { return used >= 0 && u.Amount <= u.Most-min(used, u.Most) }

// Figure is an amount as people write it.
func (u Use) Figure(n int64) string {
	if u.Kind != Budget {
		return strconv.FormatInt(n, 10)
	}
	s := big.NewRat(n, 10_000).FloatString(4)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Bounds of a limit.
const (
	maxLimits = 5      // of one annotation
	maxRate   = 10_000 // calls: each is a row, until its window has passed
	minWindow = time.Second
)

// limit is one of a statement's rates and budgets.
type limit struct {
	kind   UseKind
	text   string
	arg    string   // of a budget, as it is written
	path   []string // to it in the arguments
	most   int64
	window time.Duration
	per    string // run, mission or connection
}

// parseLimits reads "20 per 1h per connection", or for a budget "amount 50000 per
// 24h per mission"; several are joined by commas, and all hold.
func parseLimits(k UseKind, v string) ([]limit, error) {
	var out []limit
	for part := range strings.SplitSeq(v, ",") {
		l, err := parseLimit(k, strings.Fields(part))
		if err != nil {
			return nil, err
		}
		for _, was := range out {
			if was.arg == l.arg && was.per == l.per && was.window == l.window {
				return nil, fault.Newf(fault.Invalid, "@%s: there are two limits %q", k, fault.Quote(was.text))
			}
		}
		if out = append(out, l); len(out) > maxLimits {
			return nil, fault.Newf(fault.Invalid, "@%s: there are more than %d limits", k, maxLimits)
		}
	}
	return out, nil
}

func parseLimit(k UseKind, w []string) (l limit, err error) {
	l.kind, l.text = k, strings.Join(w, " ")
	form := `write it like "20 per 1h per connection"`
	if k == Budget {
		form = `write it like "amount 50000 per 24h per mission"`
		if len(w) > 0 {
			if l.arg, l.path, err = parsePath(w[0]); err != nil {
				return l, err
			}
			w = w[1:]
		}
	}
	if len(w) != 5 || w[1] != "per" || w[3] != "per" {
		return l, fault.Newf(fault.Invalid, "@%s: %q is not a limit", k, fault.Quote(l.text)).WithHint("%s", form)
	}
	if l.most, err = parseMost(k, w[0]); err != nil {
		return l, err
	}
	l.window, err = time.ParseDuration(w[2])
	if err != nil || l.window < minWindow || l.window > resource.MaxDecision || l.window%time.Millisecond != 0 {
		return l, fault.Newf(fault.Invalid, "@%s: %q is not a time between 1s and 720h", k, fault.Quote(w[2])).WithHint("%s", form)
	}
	if l.per = w[4]; l.per != "run" && l.per != "mission" && l.per != "connection" {
		return l, fault.Newf(fault.Invalid, "@%s: it counts per run, per mission or per connection, not per %q", k, fault.Quote(l.per)).
			WithHint("%s", resource.DidYouMean(l.per, []string{"run", "mission", "connection"}))
	}
	return l, nil
}

func parseMost(k UseKind, s string) (int64, error) {
	if k == Rate {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 || n > maxRate || s[0] == '+' {
			return 0, fault.Newf(fault.Invalid, "@rate: %q is not a number of calls from 1 to %d", fault.Quote(s), maxRate)
		}
		return n, nil
	}
	if n, ok := Parts(s); ok && n > 0 && json.Valid([]byte(s)) {
		return n, nil
	}
	return 0, fault.Newf(fault.Invalid, "@budget: %q is not an amount above 0 with at most four decimals", fault.Quote(s))
}

// Parts reads a JSON number in 1/10000, as budgets count; not ok when it is none
// exactly.
func Parts(s string) (int64, bool) {
	r, ok := rational(s)
	if !ok {
		return 0, false
	}
	return inParts(r)
}

// parsePath reads the name of an argument, or a JSON pointer (RFC 6901) to one in
// objects.
func parsePath(s string) (arg string, path []string, err error) {
	rest, pointer := strings.CutPrefix(s, "/")
	if !pointer {
		return s, []string{s}, nil
	}
	for name := range strings.SplitSeq(rest, "/") {
		plain := strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		if plain == "" || len(path) == maxShape || strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(name), "~") {
			return s, nil, fault.Newf(fault.Invalid, "@budget: %q is not a pointer to an argument", fault.Quote(s)).WithHint("write it like /order/amount")
		}
		path = append(path, plain)
	}
	return s, path, nil
}

// use is what a call uses of the limit; false when it has no amount that can be
// added up: none, a negative one, or one that is no plain number.
func (l limit) use(s *statement, q Question, args map[string]any) (Use, bool) {
	u := Use{Statement: string(s.id), Kind: l.kind, Limit: l.text, Most: l.most, Amount: 1, Window: l.window, Observed: s.notes.observe, Scope: l.scope(s, q)}
	if l.kind != Budget {
		return u, true
	}
	var at any = args
	for _, name := range l.path {
		m, _ := at.(map[string]any)
		at = m[name]
	}
	n, ok := at.(json.Number)
	if !ok {
		return u, false
	}
	u.Amount, ok = Parts(string(n))
	return u, ok && u.Amount >= 0
}

// scope frames every part with its length, so that no two limits share one.
func (l limit) scope(s *statement, q Question) string {
	value := q.Connection
	switch l.per {
	case "run":
		value = q.Run
	case "mission":
		value = q.Mission
	}
	h := sha256.New()
	for _, part := range []string{"sallyport policy use v1", string(q.Tenant), string(s.id), string(l.kind), l.arg, l.per, value} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
