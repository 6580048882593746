package incident

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

// How far a story looks.
const (
	window    = 30 * 24 * time.Hour // for uses of the Secret
	maxLooked = 50_000              // entries of the audit log, the latest
	maxOfRun  = 5_000               // entries of the Run
	pageSize  = 1_000
)

// Facts is what is on record about an incident: all that a story is made of.
type Facts struct {
	Incident Incident
	Secret   *vault.Secret // nil: it is none of ours, or was removed
	Run      *intent.Run   // nil: there was none, or its row is refused
	Goal     string        // of the Mission
	Calls    []Call        // of the Run, before the incident, in order
	Uses     []Use         // of the Secret by all Runs in the last 30 days, in order
	Others   []Incident    // of the same Run
	Glass    []GlassVote   // on the incident's Intent, in order
	// What holds the Secret in the clear now, though it was scrubbed with what was
	// known when it was stored.
	InputHas, GoalHas bool
	ResultsHave       []string // Intents, in order
	// ProposedAt is when the incident's own Intent was, where it was stored.
	ProposedAt time.Time
	// AuditIndex is that of the incident's own entry, or -1.
	AuditIndex int64
	// Cut: the log goes further back than was looked, and the window too.
	Cut bool
}

// Call is one use of a credential by the incident's Run.
type Call struct {
	Claim      int64 // index of its entry in the audit log
	At         time.Time
	Run        string
	Intent     string
	Connection string
	Tool       string
	Effect     string
	Secret     string
	Outcome    int64    // index of the entry of its outcome, or 0
	State      string   // of the outcome
	Redactions int64    // places of the answer where a secret was taken out
	Redacted   []string // of which Secrets, as far as it is on record
}

// Use is one use of the Secret.
type Use struct {
	Claim      int64
	At         time.Time
	Run        string
	Mission    string
	Connection string
}

// facts gathers. What is refused or gone is left out: the story is told without.
func (k *Desk) facts(ctx context.Context, i Incident) (f Facts, err error) {
	f = Facts{Incident: i, AuditIndex: -1}
	if i.Kind.Known() {
		s, err := k.Secrets.Show(ctx, i.Tenant, i.Secret)
		if err == nil {
			f.Secret = &s
		} else if !missing(err) {
			return f, err
		}
		if f.Uses, f.Cut, err = k.uses(ctx, i); err != nil {
			return f, err
		}
	}
	if i.Kind == BreakGlass {
		if f.Glass, err = k.glass(ctx, i); err != nil {
			return f, err
		}
	}
	if i.Mission != "" {
		f.Goal = k.Goal(i.Tenant, i.Mission)
	}
	if f.GoalHas = k.holds(i, []byte(f.Goal)); i.Run == "" {
		return f, nil
	}
	return f, k.ofRun(ctx, &f)
}

func missing(err error) bool { return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) }

// holds says whether a text has the incident's Secret, with the values of now.
func (k *Desk) holds(i Incident, text []byte) bool {
	return i.Secret != "" && len(text) > 0 && slices.Contains(k.Secrets.Scrub(i.Tenant).Contains(text), i.Secret)
}

// ofRun gathers what is on record about the Run.
func (k *Desk) ofRun(ctx context.Context, f *Facts) error {
	i := f.Incident
	r, err := k.Records.Run(ctx, i.Tenant, i.Run)
	switch {
	case err == nil:
		f.Run, f.InputHas = &r, k.holds(i, r.Input)
	case !missing(err):
		return err
	}
	its, err := k.Records.Intents(ctx, i.Tenant, i.Run)
	if err != nil {
		return err
	}
	for _, it := range its {
		if it.ID == i.Intent {
			f.ProposedAt = it.CreatedAt
		}
		if it.Result != nil && it.CreatedAt.Before(i.LastAt) && k.holds(i, it.Result.Body) {
			f.ResultsHave = append(f.ResultsHave, it.ID)
		}
	}
	if f.Others, err = k.Store.Incidents(ctx, i.Tenant, Filter{Run: i.Run, Limit: 50}); err != nil {
		return err
	}
	f.Others = slices.DeleteFunc(f.Others, func(o Incident) bool { return o.ID == i.ID })
	return k.calls(ctx, f)
}

// calls reads the Run's entries up to the incident's own.
func (k *Desk) calls(ctx context.Context, f *Facts) error {
	i, byIntent := f.Incident, map[string]int{}
	for from := int64(0); ; {
		rows, err := k.Audit.List(ctx, i.Tenant, audit.Filter{Run: i.Run}, from, pageSize)
		if err != nil {
			return err
		}
		for _, r := range rows {
			from = r.Index + 1
			e, err := audit.ParseEntry(r.Entry)
			if err != nil {
				continue // verifying the log names it
			}
			if e.Fields["incident"] == i.ID && f.AuditIndex < 0 {
				f.AuditIndex = e.Index
				return nil
			}
			f.call(e, byIntent)
		}
		if len(rows) < pageSize || len(f.Calls) >= maxOfRun {
			return nil
		}
	}
}

// call takes up one entry of the Run.
func (f *Facts) call(e audit.Entry, byIntent map[string]int) {
	text := func(field string) string { s, _ := e.Fields[field].(string); return s }
	switch e.Type {
	case audit.IntentClaimed:
		byIntent[e.Intent] = len(f.Calls)
		f.Calls = append(f.Calls, Call{Claim: e.Index, At: e.At, Run: e.Run, Intent: e.Intent, Connection: e.Connection, Tool: e.Tool, Effect: text("effect"), Secret: text("secret")})
	case audit.IntentOutcome:
		if n, ok := byIntent[e.Intent]; ok {
			c := &f.Calls[n]
			c.Outcome, c.State = e.Index, text("state")
			c.Redactions, _ = e.Fields["redactions"].(int64)
			c.Redacted, _ = e.Fields["redacted"].([]string)
		}
	default:
	}
}

// uses reads who used the Secret in the window before the incident.
func (k *Desk) uses(ctx context.Context, i Incident) (out []Use, cut bool, err error) {
	head, err := k.Audit.Head(ctx, i.Tenant)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return nil, false, err
	}
	since := i.At.Add(-window)
	from, err := k.indexAt(ctx, i, head.Size, since)
	if err != nil {
		return nil, false, err
	}
	if cut = head.Size-from > maxLooked; cut {
		from = head.Size - maxLooked
	}
	named := []byte(`"` + i.Secret + `"`) // a name has no character that JSON escapes
	for {
		rows, err := k.Audit.List(ctx, i.Tenant, audit.Filter{Type: audit.IntentClaimed}, from, pageSize)
		if err != nil {
			return nil, false, err
		}
		for _, r := range rows {
			from = r.Index + 1
			if !bytes.Contains(r.Entry, named) {
				continue
			}
			e, err := audit.ParseEntry(r.Entry)
			if err != nil || e.Fields["secret"] != i.Secret || e.At.Before(since) || e.At.After(i.LastAt) {
				continue
			}
			out = append(out, Use{e.Index, e.At, e.Run, e.Mission, e.Connection})
		}
		if len(rows) < pageSize {
			return out, cut, nil
		}
	}
}

// indexAt is the index of the first entry that is not older than a time.
func (k *Desk) indexAt(ctx context.Context, i Incident, size int64, at time.Time) (int64, error) {
	var failed error
	n := sort.Search(int(size), func(n int) bool {
		rows, err := k.Audit.List(ctx, i.Tenant, audit.Filter{}, int64(n), 1)
		if err != nil {
			failed = err
			return true
		}
		return len(rows) == 0 || rows[0].At >= at.UnixMilli()
	})
	return int64(n), failed
}
