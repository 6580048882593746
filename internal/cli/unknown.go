package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func (p *program) unknownCmd() *cobra.Command {
	return noun("unknown", "See writes whose outcome nothing could find out; settle one with: sallyport intent resolve", p.unknownList(), p.unknownShow())
}

func (p *program) unknownList() *cobra.Command {
	return verb("list", "List the writes whose outcome a person has to find out", "  sallyport unknown list", takes(0), func(cmd *cobra.Command, _ []string) error {
		var out api.Intents
		raw, err := p.call(cmd.Context(), "GET", "/v1/unknown", nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, it := range out.Intents {
				rows = append(rows, []string{it.ID, it.Run, it.Connection + "/" + it.Tool, when(it.UpdatedAt), short(string(it.Args), 60), it.Why})
			}
			p.table("every write's outcome is known", []string{"INTENT", "RUN", "ACTION", "SINCE", "ARGUMENTS", "WHY"}, rows)
			if len(rows) > 0 {
				p.say("the exact request of one: sallyport unknown show INTENT")
			}
		})
	})
}

func (p *program) unknownShow() *cobra.Command {
	return verb("show INTENT", "Show the exact request whose outcome a person has to find out", "  sallyport unknown show int_xyz", takes(1), func(cmd *cobra.Command, args []string) error {
		list, err := p.unknowns(cmd.Context())
		if err != nil {
			return err
		}
		it, ok := list[args[0]]
		if !ok {
			return fault.New(fault.NotFound, "no Intent of that id waits for a person's word").WithHint("sallyport unknown list has those that do; their ids begin with int_")
		}
		return p.result(it, func() { p.sent(it) })
	})
}

// unknowns are the Intents that somebody is asked about, by id.
func (p *program) unknowns(ctx context.Context) (map[string]intent.Intent, error) {
	var out api.Intents
	if _, err := p.call(ctx, "GET", "/v1/unknown", nil, &out); err != nil {
		return nil, err
	}
	list := map[string]intent.Intent{}
	for _, it := range out.Intents {
		list[it.ID] = it
	}
	return list, nil
}

// sent prints what may have happened: the request as it left, or may have.
func (p *program) sent(it intent.Intent) {
	b := it.Bound
	p.pairs("intent", it.ID, "revision", fmt.Sprint(it.Revision), "unknown since", when(it.UpdatedAt), "run", it.Run, "mission", it.Mission,
		"connection", it.Connection, "tool", it.Tool, "proposed", when(it.CreatedAt), "why", it.Why, "again", b.Again)
	fmt.Fprint(p.out, "reason\n", block(b.Reason))
	fmt.Fprint(p.out, "arguments\n", block(indented(b.Args)))
	fmt.Fprint(p.out, "request, without its credential\n", block(b.Request.Method+" "+b.Request.URL))
	for _, name := range sorted(b.Request.Headers) {
		fmt.Fprint(p.out, block(name+": "+b.Request.Headers[name]))
	}
	if b.Request.Body != "" {
		fmt.Fprint(p.out, block(b.Request.Body))
	}
}

// looked shows what a word is about to be given on, and completes it with the
// revision of now where none was named: what was looked for before that is not an
// answer. Of what is not asked about, the server says why, before a proof is asked
// for.
func (p *program) looked(ctx context.Context, id string, r api.Resolution) (api.Resolution, error) {
	list, err := p.unknowns(ctx)
	if err != nil {
		return r, err
	}
	it, ok := list[id]
	if !ok {
		_, err := p.call(ctx, "POST", route("v1", "intents", id, "resolution"), r, nil)
		return r, err // without a proof nothing is taken, so this is a refusal
	}
	if r.Revision == 0 {
		r.Revision = it.Revision
	}
	if !p.json {
		p.sent(it)
	}
	p.say("its outcome is unknown since %s (revision %d); the word is on that", when(it.UpdatedAt), it.Revision)
	return r, nil
}
