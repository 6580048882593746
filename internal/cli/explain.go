package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
)

// readAtOnce is how many records one call reads.
const readAtOnce = 100

func (p *program) explainCmd() *cobra.Command {
	var from int64
	var kinds []string
	var follow bool
	c := verb("explain RUN [--from SEQ] [--kind KIND,...] [--follow]", "Print what a Run did and why: its Explain rail, with rules, Decisions and credentials",
		`  sallyport explain run_abc
  sallyport explain run_abc --kind decision,verdict
  sallyport explain run_abc --from 40 --follow
  sallyport explain run_abc --json`,
		takes(1), func(cmd *cobra.Command, args []string) error {
			want, err := kindsOf(kinds)
			if err != nil {
				return err
			}
			if from < 0 {
				return &usageError{"the sequence number is negative", "records are counted from 1"}
			}
			t := p.railText()
			show := func(o explain.Observation, raw []byte) error {
				if len(want) > 0 && !slices.Contains(want, o.Kind) {
					return nil
				}
				if p.json {
					return p.raw(raw)
				}
				t.record(o)
				return nil
			}
			if follow {
				return p.follow(cmd.Context(), args[0], max(from-1, 0), show)
			}
			return p.readRail(cmd.Context(), args[0], max(from-1, 0), show)
		})
	c.Flags().Int64Var(&from, "from", 0, "begin with this sequence number")
	c.Flags().StringSliceVar(&kinds, "kind", nil, "only these kinds of records, by commas")
	c.Flags().BoolVar(&follow, "follow", false, "go on with what happens, until the verdict")
	return c
}

// kindsOf reads what --kind names.
func kindsOf(names []string) (out []explain.Kind, err error) {
	for _, n := range names {
		k := explain.Kind(strings.TrimSpace(n))
		if !slices.Contains(explain.Kinds, k) {
			return nil, &usageError{"there is no such kind of record", "the kinds are: " + kindNames()}
		}
		out = append(out, k)
	}
	return out, nil
}

func kindNames() string {
	names := make([]string, len(explain.Kinds))
	for i, k := range explain.Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// readRail shows what is on a Run's rail after a sequence number, page by page.
func (p *program) readRail(ctx context.Context, run string, after int64, show func(explain.Observation, []byte) error) error {
	for {
		var page struct {
			Observations []json.RawMessage `json:"observations"`
		}
		if _, err := p.call(ctx, "GET", query(route("v1", "runs", run, "observations"), "after", strconv.FormatInt(after, 10), "limit", strconv.Itoa(readAtOnce)), nil, &page); err != nil {
			return err
		}
		for _, raw := range page.Observations {
			var o explain.Observation
			if err := json.Unmarshal(raw, &o); err != nil {
				return errRail
			}
			after = o.Seq
			if err := show(o, raw); err != nil {
				return err
			}
		}
		if len(page.Observations) < readAtOnce {
			return nil
		}
	}
}

func (p *program) runReplay() *cobra.Command {
	var from int64
	c := verb("replay RUN [--from SEQ]", "Show again what a Run's Worker saw and did, and what policy says of it today; nothing is sent",
		`  sallyport run replay run_abc
  sallyport run replay run_abc --json`,
		takes(1), func(cmd *cobra.Command, args []string) error {
			t := p.railText()
			after, judged, other := max(from-1, 0), 0, 0
			for first := true; ; first = false {
				var page gate.Replay
				var lines struct {
					Steps []json.RawMessage `json:"steps"`
				}
				raw, err := p.call(cmd.Context(), "GET", query(route("v1", "runs", args[0], "replay"), "after", strconv.FormatInt(after, 10), "limit", strconv.Itoa(readAtOnce)), nil, &page)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(raw, &lines); err != nil {
					return errRail
				}
				if first && !p.json {
					t.replayHead(page)
				}
				for i, s := range page.Steps {
					if s.Today != nil {
						judged++
						if !s.Today.Same {
							other++
						}
					}
					if p.json {
						if err := p.raw(lines.Steps[i]); err != nil {
							return err
						}
						continue
					}
					t.step(s)
				}
				if after = page.Next; after == 0 {
					break
				}
			}
			if !p.json {
				p.line("%d actions were judged again; of %d policy would say something else today, or can't be asked", judged, other)
			}
			return nil
		})
	c.Flags().Int64Var(&from, "from", 0, "begin with this sequence number")
	return c
}
