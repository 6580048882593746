package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

func (p *program) policyTest() *cobra.Command {
	var f from
	c := verb("test -f DIR|FILE... [--set NAME=VALUE]... [--server URL]", "Try policies with a table of cases: what they say, and what they should",
		`  sallyport policy test -f ./resources
  sallyport policy test -f ./resources -f more-cases.yaml --json`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			b, w, err := p.world(cmd.Context(), f, true)
			if err != nil {
				return err
			}
			if len(b.Cases()) == 0 {
				return fault.New(fault.Invalid, "there is no case in the files").WithHint("a file with cases begins with: cases:")
			}
			trials, err := p.trials(w, b.Cases())
			if err != nil {
				return err
			}
			return p.tried(trials)
		})
	f.flags(c)
	return c
}

// trial is what came of a case.
type trial struct {
	Name      string        `json:"name"`
	File      string        `json:"file"`
	Line      int           `json:"line"`
	Passed    bool          `json:"passed"`
	Want      string        `json:"want"`
	Got       policy.Effect `json:"got"`
	Why       string        `json:"why"`
	Approvers []string      `json:"approvers"`
	Passkey   bool          `json:"passkey,omitempty"`
	Expires   string        `json:"expires,omitempty"` // how long the Decision may wait, where one is asked for
	Reasons   []string      `json:"reasons"`
	Observed  []string      `json:"observed"`
	Differs   []string      `json:"differs"`
}

// trials runs all cases. An error joins the cases that can't be tried: they speak
// of what is not there.
func (p *program) trials(w gate.World, cases []config.Case) ([]trial, error) {
	shown, done := p.progress("tried", func(n int64) string { return strconv.FormatInt(n, 10) })
	defer done()
	var out []trial
	var errs []error
	for i, c := range cases {
		t, err := try(w, c)
		if err != nil {
			errs = append(errs, err)
		}
		out = append(out, t)
		shown(int64(i+1), int64(len(cases)))
	}
	return out, errors.Join(errs...)
}

// tried prints what came of the cases.
func (p *program) tried(trials []trial) error {
	failed := 0
	var rows [][]string
	for _, t := range trials {
		mark := "ok"
		if !t.Passed {
			failed++
			mark = "FAILED"
		}
		rows = append(rows, []string{mark, t.Name, t.Want, string(t.Got), strings.Join(t.Approvers, ", ")})
	}
	err := p.result(map[string]any{"passed": len(trials) - failed, "failed": failed, "cases": trials}, func() {
		p.table("no case", []string{"RESULT", "CASE", "WANT", "GOT", "APPROVERS"}, rows)
		for _, t := range trials {
			for _, d := range t.Differs {
				p.line("%s:%d: %s: %s", t.File, t.Line, t.Name, d)
			}
		}
	})
	if err == nil && failed > 0 {
		err = fault.Newf(fault.Invalid, "%d of %d cases failed", failed, len(trials))
	}
	return err
}

// try evaluates one case.
func try(w gate.World, c config.Case) (trial, error) {
	m, err := matched(w, c)
	if err != nil {
		return trial{}, err
	}
	used, err := usage(w.Policy, c)
	if err != nil {
		return trial{}, err
	}
	v := policy.Verdict{Effect: policy.Deny, Why: "the Mission does not hold this tool"}
	if m != nil {
		if err := m.Kind.Check(c.Tool, c.Args); err != nil {
			return trial{}, c.Wrong("args", fault.Newf(fault.Invalid, "%s", err))
		}
		v = w.Policy.Evaluate(policy.Question{Tenant: "test", Run: "run_test", Mission: c.Mission, Starter: c.Starter, Worker: c.Worker, Connection: c.Connection,
			Integration: m.Integration.Name, Tool: c.Tool, Effect: m.Tool.Effect, Args: c.Args, Now: c.Time(), Source: c.From(), Used: used,
			Untrusted: func() []string { return c.Untrusted }})
		v = asked(v, m.Decision)
	}
	t := trial{Name: c.Name, Want: c.Want, Got: v.Effect, Why: v.Why, Reasons: append([]string{}, v.Reasons...), Approvers: []string{}, Observed: []string{}, Differs: []string{}}
	t.File, t.Line = c.Place()
	for _, a := range v.Approvers {
		t.Approvers = append(t.Approvers, a.String())
	}
	if t.Passkey = v.Passkey; v.Expires != 0 {
		t.Expires = v.Expires.String()
	}
	for _, o := range v.Observed {
		t.Observed = append(t.Observed, o.ID)
	}
	if string(v.Effect) != c.Want {
		t.Differs = append(t.Differs, fmt.Sprintf("it is %s, and should be %s: %s", v.Effect, c.Want, v.Why))
	}
	t.differ("approvers", t.Approvers, c.Approvers)
	if c.Passkey != nil && *c.Passkey != v.Passkey {
		t.Differs = append(t.Differs, fmt.Sprintf("that a passkey is needed is %t, and should be %t", v.Passkey, *c.Passkey))
	}
	if want, err := time.ParseDuration(c.Expires); err == nil && want != v.Expires {
		t.Differs = append(t.Differs, fmt.Sprintf("the Decision may wait %s, and should %s", cmp.Or(t.Expires, "not at all: nobody is asked"), want))
	}
	t.differ("reasons", t.Reasons, c.Reasons)
	t.differ("observed statements", t.Observed, c.Observed)
	t.Passed = len(t.Differs) == 0
	return t, nil
}

// asked is a verdict with what the Mission's own rule adds to it; of one that asks
// nobody, without what would be asked.
func asked(v policy.Verdict, rule *resource.DecisionRule) policy.Verdict {
	if v.Effect != policy.Ask {
		v.Approvers, v.Expires, v.PinSecret, v.Passkey = nil, 0, false, false
		return v
	}
	if v.Expires == 0 {
		v.Expires = week
	}
	if rule == nil {
		return v
	}
	if len(v.Approvers) == 0 {
		v.Approvers = []policy.Approver{{Team: rule.Team, Count: max(rule.Count, 1)}}
	}
	v.Expires = min(v.Expires, rule.Expires.D(week))
	return v
}

// week is how long a Decision waits where nothing says otherwise.
const week = 7 * 24 * time.Hour

// differ compares two lists without their order, when the case says one.
func (t *trial) differ(what string, got, want []string) {
	if want == nil {
		return
	}
	a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(a, b) {
		t.Differs = append(t.Differs, fmt.Sprintf("the %s are [%s], and should be [%s]", what, strings.Join(a, ", "), strings.Join(b, ", ")))
	}
}

// matched finds the call's match; nil where Mission, Connection and tool are there,
// and the Mission does not hold the tool. A misspelt name is no denial.
func matched(w gate.World, c config.Case) (*catalog.Match, error) {
	names := map[resource.Kind][]string{}
	for _, r := range w.Catalog.Resources() {
		names[r.Header().Kind] = append(names[r.Header().Kind], r.Header().Name)
	}
	for _, n := range []struct {
		field, name string
		kind        resource.Kind
	}{{"mission", c.Mission, resource.KindMission}, {"connection", c.Connection, resource.KindConnection}} {
		if !slices.Contains(names[n.kind], n.name) {
			return nil, c.Wrong(n.field, fault.Newf(fault.Invalid, "there is no %s %q", n.kind, fault.Quote(n.name)).WithHint("%s", resource.DidYouMean(n.name, names[n.kind])))
		}
	}
	conn, _ := w.Catalog.Connection(c.Connection)
	in, _ := w.Catalog.Integration(conn.Integration)
	var tools []string
	for _, t := range in.Kind.Tools() {
		tools = append(tools, t.Name)
	}
	if !slices.Contains(tools, c.Tool) {
		return nil, c.Wrong("tool", fault.Newf(fault.Invalid, "the Integration %s has no tool %q", in.Name, fault.Quote(c.Tool)).WithHint("%s", resource.DidYouMean(c.Tool, tools)))
	}
	m, err := w.Catalog.Match(c.Mission, c.Connection, c.Tool)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // that the Mission does not hold it is an answer: a denial
	}
	return m, nil
}

// usage is what a case says was used of limits.
func usage(set *policy.Set, c config.Case) (func(policy.Use) (int64, error), error) {
	var limited []string
	for _, s := range set.Statements() {
		if len(s.Limits) > 0 {
			limited = append(limited, s.ID)
		}
	}
	budget := map[string]int64{}
	for id, u := range c.Used {
		field := "used." + id
		if !slices.Contains(limited, id) {
			return nil, c.Wrong(field, fault.Newf(fault.Invalid, "there is no statement %q with a limit", fault.Quote(id)).WithHint("%s", resource.DidYouMean(id, limited)))
		}
		var n json.Number
		if u.Budget != nil && json.Unmarshal(u.Budget, &n) != nil {
			return nil, c.Wrong(field+".budget", fault.New(fault.Invalid, "it is not a number"))
		}
		if n != "" {
			parts, ok := policy.Parts(string(n))
			if !ok {
				return nil, c.Wrong(field+".budget", fault.New(fault.Invalid, "it has more than four decimals, or is too large"))
			}
			budget[id] = parts
		}
	}
	return func(u policy.Use) (int64, error) {
		if u.Kind == policy.Budget {
			return budget[u.Statement], nil
		}
		return c.Used[u.Statement].Rate, nil
	}, nil
}
