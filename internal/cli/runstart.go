package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/resource"
)

func (p *program) runStart() *cobra.Command {
	var inputs []string
	var file, key string
	var outside, follow, handIn bool
	c := verb("start MISSION [--input K=V]... [--input-file FILE|-] [--outside] [--follow]", "Start a Run",
		`  sallyport run start vendor-onboarding --input name="Danone" --input country=FR --input tax_id=FR27552032534 --follow
  sallyport run start nightly-report --input rows:=500
  sallyport run start vendor-onboarding --input-file supplier.json`,
		takes(1), func(cmd *cobra.Command, args []string) error {
			in, err := p.input(cmd.Context(), inputs, file)
			if err != nil {
				return err
			}
			if handIn {
				return p.handIn(cmd.Context(), args[0], in)
			}
			return p.start(cmd.Context(), args[0], api.StartRun{Input: in, Outside: outside, Key: key}, follow)
		})
	c.Flags().StringArrayVar(&inputs, "input", nil, "a field of the form, as NAME=TEXT, or NAME:=JSON for a number")
	c.Flags().StringVar(&file, "input-file", "", "the whole input as a JSON object; - is stdin")
	c.Flags().BoolVar(&outside, "outside", false, "an agent of your own does the Run; prints its token, once")
	c.Flags().BoolVar(&follow, "follow", false, "print the Explain rail until the verdict")
	c.Flags().BoolVar(&handIn, "hand-in", false, "start nothing: give what looks like a secret in the input to an admin, and print the input without it")
	c.Flags().StringVar(&key, "key", "", "the same key gives the same Run, so that a repeated command starts one")
	return c
}

// input is a Run's input from flags or from a file, not from both.
func (p *program) input(ctx context.Context, inputs []string, file string) (map[string]any, error) {
	if file == "" {
		return fromFlags(inputs)
	}
	if len(inputs) > 0 {
		return nil, &usageError{"--input and --input-file exclude each other", ""}
	}
	b, err := p.file(ctx, file)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if json.Unmarshal(b, &out) != nil || out == nil {
		return nil, fault.New(fault.Invalid, "the input file is not a JSON object")
	}
	return out, nil
}

func fromFlags(inputs []string) (map[string]any, error) {
	if inputs == nil {
		return nil, nil
	}
	out := map[string]any{}
	for _, s := range inputs {
		name, value, ok := strings.Cut(s, "=")
		name, isJSON := strings.CutSuffix(name, ":")
		if !ok || name == "" {
			return nil, &usageError{"--input takes NAME=TEXT or NAME:=JSON", ""}
		}
		out[name] = value
		if isJSON {
			var v any
			if json.Unmarshal([]byte(value), &v) != nil {
				return nil, &usageError{"what follows " + name + ":= is not JSON", ""}
			}
			out[name] = v
		}
	}
	return out, nil
}

// file reads a whole file, or stdin for "-".
func (p *program) file(ctx context.Context, name string) ([]byte, error) {
	if name == "-" {
		return p.patiently(ctx, func() ([]byte, error) { return bounded(p.in) })
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the file %s can't be read", fault.Quote(name))
	}
	b, err := bounded(f)
	return b, errors.Join(err, f.Close())
}

// misstart says what of a start that was refused is not as the Mission has it. The
// server names the first thing that is wrong, which is the field that is missing
// rather than the one that was misspelt.
func (p *program) misstart(ctx context.Context, mission string, in api.StartRun, refused *client.Problem) error {
	var all api.Missions
	if _, err := p.call(ctx, "GET", "/v1/missions", nil, &all); err != nil {
		return refused // which says less, and is right
	}
	i := slices.IndexFunc(all.Missions, func(m resource.Mission) bool { return m.Name == mission })
	if i < 0 {
		return refused
	}
	m := all.Missions[i]
	if m.Model == "" && !in.Outside {
		refused.Hint = "add --outside: a Worker of your own does the Run, with the token that is printed"
		return refused
	}
	var fields []string
	for _, f := range m.Form {
		fields = append(fields, f.Name)
	}
	for _, k := range sorted(in.Input) {
		if !slices.Contains(fields, k) {
			hint := resource.DidYouMean(k, fields)
			return fault.Newf(fault.Invalid, "the form has no field %q", fault.Quote(k)).
				WithHint("%s", cmp.Or(hint, "its fields are: "+strings.Join(fields, " ")))
		}
	}
	return refused
}

// handIn gives what looks like a secret to an admin.
func (p *program) handIn(ctx context.Context, mission string, in map[string]any) error {
	var out gate.HandedIn
	raw, err := p.call(ctx, "POST", route("v1", "missions", mission, "hand-in"), api.HandIn{Input: in}, &out)
	if err != nil {
		return err
	}
	for _, t := range out.Taken {
		what := "an admin finds it among the incidents"
		if !t.Kept {
			what = "it could not be kept: " + t.Why
		}
		p.say("%s has what looks like a secret (%s): %s", t.Place, t.Rule, what)
	}
	p.say("no Run was started: start it with the input that is printed, without what was taken out")
	return p.result(raw, func() { p.line("%s", out.Input) })
}

func (p *program) start(ctx context.Context, mission string, in api.StartRun, follow bool) error {
	var out api.Started
	raw, err := p.call(ctx, "POST", route("v1", "missions", mission, "runs"), in, &out)
	if refused, ok := errors.AsType[*client.Problem](err); ok && refused.Kind == string(fault.Invalid) {
		return p.misstart(ctx, mission, in, refused)
	}
	if err != nil {
		return err
	}
	err = p.result(raw, func() {
		p.line("%s", out.Run.ID)
		if out.Token != "" {
			p.line("%s", out.Token)
		}
	})
	if out.Token != "" {
		p.say("the second line is the Run's token, shown this once: its Worker authenticates with it (SALLYPORT_TOKEN)")
	}
	if err != nil || !follow {
		return err
	}
	return p.follow(ctx, out.Run.ID, 0, p.brief)
}
