package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

func (p *program) policyCmd() *cobra.Command {
	return noun("policy", "Check policies, try them with cases, and see why something is decided", p.policyCheck(), p.policyTest(), p.policyExplain())
}

// from are the flags that say which resources are meant.
type from struct {
	files []string
	sets  []string
}

func (f *from) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "a YAML file, or a directory of them; may be given several times")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "the value of ${NAME} in the files; never a secret")
}

func (p *program) policyCheck() *cobra.Command {
	var f from
	c := verb("check -f DIR|FILE... [--set NAME=VALUE]... [--server URL]", "Check policies against the resources in the files, or those of a server",
		`  sallyport policy check -f ./resources
  sallyport policy check -f limits.yaml --server https://sallyport.example`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			_, w, err := p.world(cmd.Context(), f, false)
			if err != nil {
				return err
			}
			list, warnings := w.Policy.Statements(), []string{}
			for _, f := range app.TooFew(w, func(string) bool { return true }) {
				warnings = append(warnings, fmt.Sprintf("the %s %s: %s", f.By.Kind, f.By.Name, f.Text))
			}
			return p.result(map[string]any{"statements": append([]policy.Statement{}, list...), "policySet": w.Policy.Hash(), "warnings": warnings}, func() {
				var rows [][]string
				for _, s := range list {
					rows = append(rows, []string{s.ID, s.Effect, s.Question, policy.Names(s.Approvers), remarks(s), s.Title})
				}
				p.table("there is no policy besides the built-in one", []string{"STATEMENT", "EFFECT", "QUESTION", "APPROVERS", "NOTE", "TITLE"}, rows)
				for _, w := range warnings {
					p.say("warning: %s", w)
				}
			})
		})
	f.flags(c)
	return c
}

// remarks are what a statement's annotations say besides whom they ask.
func remarks(s policy.Statement) string {
	var out []string
	if s.Part != "" {
		out = append(out, string(s.Part))
	}
	if s.Expires != "" {
		out = append(out, "expires "+s.Expires)
	}
	if s.Passkey {
		out = append(out, "passkey")
	}
	if s.PinSecret {
		out = append(out, "pinned secret")
	}
	return strings.Join(append(out, s.Limits...), ", ")
}

// world loads resources and compiles them: those of the files alone, or with
// --server as they would be after an apply of the files there.
func (p *program) world(ctx context.Context, f from, cases bool) (*config.Bundle, gate.World, error) {
	none := gate.World{}
	if len(f.files) == 0 {
		return nil, none, &usageError{"which files is missing", "name a file or a directory with -f"}
	}
	vars, err := variables(f.sets)
	if err != nil {
		return nil, none, err
	}
	there, err := p.there(ctx)
	if err != nil {
		return nil, none, err
	}
	known := func(k resource.Kind, name string) bool {
		for _, r := range there {
			if h := r.Header(); h.Kind == k && h.Name == name {
				return true
			}
		}
		return false
	}
	opts := config.Options{Vars: vars, Known: known, Cases: cases}
	if p.server == "" {
		opts.Elsewhere = "only the files were looked at: name those that have it too, or what is applied on a server with --server URL"
	}
	b, err := config.Load(opts, f.files...)
	if err != nil {
		return nil, none, err
	}
	all, mine := b.Resources, map[catalog.Key]bool{}
	for _, r := range b.Resources {
		mine[catalog.Key{Kind: r.Header().Kind, Name: r.Header().Name}] = true
	}
	for _, r := range there {
		if !mine[catalog.Key{Kind: r.Header().Kind, Name: r.Header().Name}] {
			all = append(all, r)
		}
	}
	w, err := app.Compile(all)
	return b, w, b.Locate(err)
}

// there is what is applied on the server, where one is named by --server.
func (p *program) there(ctx context.Context) ([]resource.Resource, error) {
	if p.server == "" {
		return nil, nil
	}
	var out struct {
		Resources []json.RawMessage `json:"resources"`
	}
	if _, err := p.call(ctx, "GET", "/v1/resources", nil, &out); err != nil {
		return nil, err
	}
	return api.DecodeResources(out.Resources)
}

func (p *program) policyExplain() *cobra.Command {
	var h gate.Hypothetical
	var tool, args, at string
	c := verb("explain --run RUN|--mission MISSION --tool CONNECTION/TOOL [--args JSON|@FILE] [--worker KIND] [--source IP] [--at TIME]", "Show what policy says about a call, by which rules, and why",
		`  sallyport policy explain --run run_abc --tool erp-write/createVendor --args '{"name":"Acme"}'
  sallyport policy explain --mission vendor-onboarding --tool erp-write/createVendor --args @vendor.json`,
		takes(0), func(cmd *cobra.Command, _ []string) error {
			var ok bool
			if h.Connection, h.Tool, ok = strings.Cut(tool, "/"); !ok || h.Connection == "" || h.Tool == "" {
				return &usageError{"which tool is missing", "name it as CONNECTION/TOOL with --tool"}
			}
			if (h.Run == "") == (h.Mission == "") {
				return &usageError{"a Run or a Mission is needed, one of them", "name it with --run or --mission"}
			}
			var err error
			if at != "" {
				if h.At, err = time.Parse(time.RFC3339, at); err != nil {
					return &usageError{"--at is not a time", "write it like 2026-01-05T22:00:00Z"}
				}
			}
			if h.Args, err = p.arguments(args); err != nil {
				return err
			}
			var out gate.Explained
			raw, err := p.call(cmd.Context(), "POST", "/v1/policy/explain", h, &out)
			if err != nil {
				return err
			}
			return p.result(raw, func() { p.explained(out) })
		})
	c.Flags().StringVar(&h.Run, "run", "", "the Run that would make the call")
	c.Flags().StringVar(&h.Mission, "mission", "", "instead of a Run: as if you had started one of this Mission")
	c.Flags().StringVar(&h.Worker, "worker", "", "with --mission: built-in (the default) or outside")
	c.Flags().StringVar(&h.From, "source", "", "with --mission: the IP address that the call would come from (default: yours)")
	c.Flags().StringVar(&at, "at", "", "when the call would be made, like 2026-01-05T22:00:00Z (default: now)")
	c.Flags().StringVar(&tool, "tool", "", "CONNECTION/TOOL")
	c.Flags().StringVar(&args, "args", "", "the arguments as a JSON object, or @FILE with one; @- is stdin; never a secret")
	return c
}

// maxArguments bounds a file with arguments, in bytes.
const maxArguments = 4 << 20

// arguments reads JSON, or a file with it.
func (p *program) arguments(s string) (json.RawMessage, error) {
	name, isFile := strings.CutPrefix(s, "@")
	b := []byte(s)
	if isFile {
		in := p.in
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, fault.Newf(fault.Invalid, "the file %s can't be read", fault.Quote(name))
			}
			defer func() { _ = f.Close() }() // it was only read
			in = f
		}
		var err error
		if b, err = io.ReadAll(io.LimitReader(in, maxArguments+1)); err != nil || len(b) > maxArguments {
			return nil, fault.Newf(fault.Invalid, "the arguments can't be read, or are larger than %d MiB", maxArguments>>20)
		}
	}
	if len(b) > 0 && !json.Valid(b) {
		return nil, &usageError{"the arguments are not JSON", `write them like --args '{"name":"Acme"}'`}
	}
	return b, nil
}

// explained prints an explanation.
func (p *program) explained(x gate.Explained) {
	pin := ""
	if x.PinSecret {
		pin = "the approval is bound to the Secret's version"
	}
	if x.Passkey {
		pin = strings.TrimPrefix(pin+"; a passkey is needed", "; ")
	}
	p.pairs("verdict", string(x.Effect), "why", x.Why, "approvers", policy.Names(x.Approvers), "expires", x.Expires, "also", pin, "policy set", x.PolicySet)
	for _, l := range x.Limits {
		room := "within"
		if !l.Within {
			room = "used up"
		}
		p.line("%s: %s %s: %s used, %s by this call: %s", l.Statement, l.Kind, l.Limit, l.Used, l.Amount, room)
	}
	for _, o := range x.Observed {
		p.line("%s, in observe mode: %s", o.ID, o.Why)
	}
	for _, s := range x.Statements {
		title := ""
		if s.Title != "" {
			title = ": " + s.Title
		}
		p.line("%s (line %d, %s, %s)%s", s.ID, s.Line, s.Question, s.Part, title)
		fmt.Fprint(p.out, block(s.Text))
	}
}
