package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Observe appends one Observation.
func (s *Store) Observe(ctx context.Context, o explain.Observation) error {
	return s.write(ctx, func(t *Tx) error { return t.observe(o) })
}

// observe appends to a Run's rail. What is written after an entry of the audit log,
// in the same step, is linked to it.
func (t *Tx) observe(o explain.Observation) error { return t.observeAll([]line{t.lineOf(o)}) }

// line is what is appended to a Run's rail.
type line struct {
	explain.Observation
	entry sql.NullInt64
}

// lineOf links an Observation to the last entry that the step has appended.
func (t *Tx) lineOf(o explain.Observation) (l line) {
	l.Observation = o
	l.entry.Int64, l.entry.Valid = t.entries[o.Tenant]
	return l
}

// observeAll appends to Runs' rails, in this order.
func (t *Tx) observeAll(lines []line) error {
	type rail struct {
		tenant ident.Tenant
		run    string
	}
	last := map[rail]int64{}
	rows := make([][]any, len(lines))
	for i, l := range lines {
		detail, r := "", rail{l.Tenant, l.Run}
		if l.Detail != nil {
			b, err := json.Marshal(l.Detail)
			if err != nil {
				return fault.Wrap(fault.Internal, "encoding an observation", err)
			}
			detail = string(b)
		}
		if _, has := last[r]; !has {
			seq := int64(0)
			if err := t.QueryRow("SELECT COALESCE(max(seq), 0) FROM observation WHERE tenant = $1 AND run = $2", l.Tenant, l.Run).Scan(&seq); err != nil {
				return storeErr("writing the rail", err)
			}
			last[r] = seq
		}
		last[r]++
		rows[i] = []any{string(l.Tenant), l.Run, last[r], ms(l.At), string(l.Kind), l.Title, l.Text, l.Intent, string(l.Data), detail, l.entry}
	}
	return storeErr("writing the rail", insertMany(t.ctx, t.once, "INSERT INTO observation (tenant, run, seq, at, kind, title, text, intent, data, detail, entry)", rows))
}

const railColumns = "SELECT seq, at, kind, title, text, intent, data, detail, entry FROM observation WHERE tenant = $1 AND run = $2 "

// Observations lists a page of a Run's rail; see explain.Store.
func (s *Store) Observations(ctx context.Context, tenant ident.Tenant, run string, after int64, limit int) ([]explain.Observation, error) {
	return s.observations(ctx, tenant, run, "AND seq > $3 ORDER BY seq LIMIT $4", after, limit)
}

// Latest lists the end of a Run's rail, or of what is before an Observation; see
// explain.Store.
func (s *Store) Latest(ctx context.Context, tenant ident.Tenant, run string, before int64, limit int) ([]explain.Observation, error) {
	l, err := s.observations(ctx, tenant, run, "AND ($3 <= 0 OR seq < $3) ORDER BY seq DESC LIMIT $4", before, limit)
	slices.Reverse(l)
	return l, err
}

func (s *Store) observations(ctx context.Context, tenant ident.Tenant, run, cond string, args ...any) ([]explain.Observation, error) {
	return list(ctx, s, "the rail", func(r scanner) (explain.Observation, error) {
		o := explain.Observation{Tenant: tenant, Run: run}
		var at int64
		var data, detail string
		var entry sql.NullInt64
		if err := r.Scan(&o.Seq, &at, &o.Kind, &o.Title, &o.Text, &o.Intent, &data, &detail, &entry); err != nil {
			return o, storeErr("reading the rail", err)
		}
		o.At = fromMS(at)
		if data != "" {
			o.Data = json.RawMessage(data)
		}
		if entry.Valid {
			o.Entry = &entry.Int64
		}
		if detail != "" {
			o.Detail = &explain.Detail{}
			if json.Unmarshal([]byte(detail), o.Detail) != nil { // somebody has changed it; the rest is shown
				o.Detail = &explain.Detail{Withheld: "it can't be read"}
			}
		}
		return o, nil
	}, railColumns+cond, append([]any{tenant, run}, args...)...)
}

// decidedBy is the typed part of what a vote, an expiry or the like has made of a
// Decision.
func decidedBy(st decision.Settlement) *explain.Detail {
	d := st.Decision
	out := &explain.Decided{ID: d.ID, State: string(d.State), Digest: d.Digest, Revision: d.Revision, AskedAt: d.CreatedAt, Expires: d.ExpiresAt,
		Waited: int64(st.At.Sub(d.CreatedAt).Seconds()), Needs: needsOf(d.Needs), Missing: needsOf(d.Missing())}
	if v := st.Vote; v != nil {
		out.By, out.Account, out.Verdict, out.Method = v.Name, v.Account, string(v.Verdict), v.Method
	}
	if d.State != decision.Open {
		out.Missing = nil
	}
	for _, v := range d.Votes {
		out.Votes = append(out.Votes, explain.Vote{By: v.Name, Account: v.Account, Team: d.TeamName(v.TeamID), Verdict: string(v.Verdict), Method: v.Method, At: v.At, Self: v.Self, Glass: v.Glass})
	}
	return &explain.Detail{Decision: out}
}

func needsOf(needs []decision.Need) (out []string) {
	for _, n := range needs {
		out = append(out, strconv.Itoa(n.Count)+" of "+n.Team)
	}
	return out
}
