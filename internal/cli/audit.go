package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

func (p *program) auditCmd() *cobra.Command {
	return noun("audit", "Read the audit log, prove what it says, and verify it", p.auditTail(), p.auditQuery(), p.auditVerify(),
		p.auditProve(), p.auditVerifyReceipt(), p.auditSave(), p.auditStatus(), p.auditRotateKey(), p.auditReindex(), p.auditPrune(), p.auditForget())
}

// tail is what of the log is wanted.
type tail struct {
	typ, run, connection string
	last                 int
	follow               bool
}

func (p *program) auditTail() *cobra.Command {
	var t tail
	c := verb("tail [-n N] [--follow] [--run RUN] [--type TYPE] [--connection NAME]", "Print the end of the audit log",
		"  sallyport audit tail --follow\n  sallyport audit tail --run run_abc -n 500 --json", takes(0), func(cmd *cobra.Command, _ []string) error {
			if t.last < 1 {
				return &usageError{"-n takes a number from 1", ""}
			}
			if err := knownType(t.typ); err != nil {
				return err
			}
			return p.tail(cmd.Context(), t)
		})
	c.Flags().IntVarP(&t.last, "lines", "n", 50, "how many entries")
	c.Flags().BoolVar(&t.follow, "follow", false, "go on with new entries, until Ctrl-C")
	c.Flags().StringVar(&t.run, "run", "", "of one Run")
	c.Flags().StringVar(&t.typ, "type", "", "of one type, like intent.claimed")
	c.Flags().StringVar(&t.connection, "connection", "", "of one Connection")
	return c
}

// knownType refuses a type that no entry has: nothing would ever be printed.
func knownType(typ string) error {
	if typ == "" {
		return nil
	}
	var names []string
	for _, t := range audit.Types() {
		if names = append(names, string(t)); names[len(names)-1] == typ {
			return nil
		}
	}
	return &usageError{"no entry of the audit log has the type that --type names", cmp.Or(resource.DidYouMean(typ, names), "the types are in docs/audit.md, like intent.decided")}
}

// followEvery is how often a followed log is looked at.
const followEvery = time.Second

func (p *program) tail(ctx context.Context, t tail) error {
	from, err := p.beginning(ctx, t)
	if err != nil {
		return err
	}
	var kept []json.RawMessage
	for {
		page, next, err := p.entries(ctx, t, from)
		if err != nil {
			return err
		}
		kept = append(kept, page...)
		kept = kept[max(0, len(kept)-t.last):]
		if from = next; len(page) == 0 {
			break
		}
	}
	if err := p.printEntries(kept); err != nil || !t.follow {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how following ends
		case <-tick.C:
		}
		page, next, err := p.entries(ctx, t, from)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		from = next
		if err := p.printEntries(page); err != nil {
			return err
		}
	}
}

// beginning is the index to read from: near the end, unless a filter could leave
// out what is there.
func (p *program) beginning(ctx context.Context, t tail) (int64, error) {
	if t.run != "" || t.typ != "" || t.connection != "" {
		return 0, nil
	}
	c, err := p.signedIn()
	if err != nil {
		return 0, err
	}
	l, err := audit.OpenTiles(ctx, remoteLog(c))
	if err != nil {
		return 0, err
	}
	return max(0, l.Size()-int64(t.last)), nil
}

func (p *program) entries(ctx context.Context, t tail, from int64) ([]json.RawMessage, int64, error) {
	var out api.AuditEntries
	_, err := p.call(ctx, "GET", query("/v1/audit/entries", "from", strconv.FormatInt(from, 10), "limit", "500",
		"type", t.typ, "run", t.run, "connection", t.connection), nil, &out)
	return out.Entries, out.Next, err
}

func (p *program) printEntries(entries []json.RawMessage) error {
	for _, b := range entries {
		if p.json {
			if err := p.raw(b); err != nil {
				return err
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(b, &e); err != nil {
			return fault.New(fault.Internal, "an entry of the audit log can't be read").WithHint("verify the log: sallyport audit verify")
		}
		p.line("%s", e)
	}
	return nil
}

// entry is an entry of the log as one line for people.
type entry struct {
	Index                                int64
	At                                   time.Time
	Type                                 audit.Type
	Actor, Run, Intent, Connection, Tool string
	Fields                               map[string]json.RawMessage
}

func (e entry) String() string {
	parts := []string{strconv.FormatInt(e.Index, 10), when(e.At), string(e.Type), e.Actor}
	for _, s := range []string{e.Run, e.Intent, strings.Trim(e.Connection+"/"+e.Tool, "/")} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, name := range sorted(e.Fields) {
		parts = append(parts, name+"="+string(e.Fields[name]))
	}
	return strings.Join(parts, "  ")
}
