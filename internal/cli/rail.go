package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func (p *program) runFollow() *cobra.Command {
	var after int64
	c := verb("follow RUN [--after N]", "Print a Run's Explain rail as it happens, until the verdict", "  sallyport run follow run_abc", takes(1),
		func(cmd *cobra.Command, args []string) error {
			return p.follow(cmd.Context(), args[0], after, p.brief)
		})
	c.Flags().Int64Var(&after, "after", 0, "only what follows this sequence number")
	return c
}

var errRail = fault.New(fault.Internal, "the server's rail can't be read").WithHint("is the server of another version?")

// follow shows a rail until the verdict.
func (p *program) follow(ctx context.Context, run string, after int64, show func(explain.Observation, []byte) error) error {
	c, err := p.signedIn()
	if err != nil {
		return err
	}
	for {
		ended, from := false, after
		err = c.Lines(ctx, query(route("v1", "runs", run, "follow"), "after", strconv.FormatInt(after, 10)), func(line []byte) error {
			var o explain.Observation
			if err := json.Unmarshal(line, &o); err != nil {
				return errRail
			}
			after, ended = o.Seq, ended || o.Kind == explain.Verdict
			return show(o, line)
		})
		if err != nil || ended {
			return err
		}
		// The server ends a stream now and then, to see who follows once more.
		var r intent.Run
		if err := c.Call(ctx, "GET", route("v1", "runs", run), nil, &r); err != nil || r.State == intent.RunEnded && after == from {
			return err
		}
	}
}

// railColours are those of the kinds that a reader looks for.
var railColours = map[explain.Kind]string{
	explain.ToolCall: blue, explain.Decision: yellow, explain.Verdict: green, explain.Problem: red, explain.Check: dim, explain.Use: blue,
}

// brief shows one step as a line, and below it, indented, what was said.
func (p *program) brief(o explain.Observation, raw []byte) error {
	if p.json {
		return p.raw(raw)
	}
	p.observation(o)
	return nil
}

// observation prints one step in brief.
func (p *program) observation(o explain.Observation) {
	kind := fmt.Sprintf("%-10s", o.Kind)
	if c, ok := railColours[o.Kind]; ok {
		kind = paint(p.outColour, c, kind)
	}
	fmt.Fprintf(p.out, "%s  %s  %s\n", o.At.UTC().Format("15:04:05 MST"), kind, visible(o.Title))
	if o.Text != "" {
		fmt.Fprint(p.out, block(o.Text))
	}
}
