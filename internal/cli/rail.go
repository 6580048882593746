package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
)

func (p *program) runFollow() *cobra.Command {
	var after int64
	c := verb("follow RUN [--after N]", "Print a Run's Explain rail as it happens, until the verdict", "  sallyport run follow run_abc", takes(1),
		func(cmd *cobra.Command, args []string) error { return p.follow(cmd.Context(), args[0], after) })
	c.Flags().Int64Var(&after, "after", 0, "only what follows this sequence number")
	return c
}

// follow prints a rail until the verdict.
func (p *program) follow(ctx context.Context, run string, after int64) error {
	c, err := p.signedIn()
	if err != nil {
		return err
	}
	ended := false
	err = c.Lines(ctx, query(route("v1", "runs", run, "follow"), "after", strconv.FormatInt(after, 10)), func(line []byte) error {
		var o explain.Observation
		if err := json.Unmarshal(line, &o); err != nil {
			return fault.New(fault.Internal, "the server's stream can't be read")
		}
		after, ended = o.Seq, ended || o.Kind == explain.Verdict
		if p.json {
			return p.raw(line)
		}
		p.observation(o)
		return nil
	})
	if err == nil && !ended {
		err = fault.New(fault.Unavailable, "the server ended the stream before the verdict").
			WithHint("go on with: sallyport run follow %s --after %d", run, after)
	}
	return err
}

// railColours are those of the kinds that a reader looks for.
var railColours = map[explain.Kind]string{
	explain.ToolCall: blue, explain.Decision: yellow, explain.Verdict: green, explain.Problem: red, explain.Check: dim,
}

// observation prints one step: a line, and below it, indented, what was said.
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
