package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// repeatWindow is how long the same write of the same Run gets the earlier
// Intent instead of a second write.
const repeatWindow = 24 * time.Hour

const intentColumns = `body, state, revision, why, result, updated_at`

func scanIntent(row scanner) (intent.Intent, error) {
	var body, state, why string
	var result sql.NullString
	var revision int
	var updated int64
	var it intent.Intent
	if err := row.Scan(&body, &state, &revision, &why, &result, &updated); err != nil {
		return it, storeErr("reading the intent", err)
	}
	if err := json.Unmarshal([]byte(body), &it); err != nil {
		return it, fault.Wrap(fault.Internal, "reading the intent", err)
	}
	it.State, it.Revision, it.Why, it.UpdatedAt = intent.State(state), revision, why, fromMS(updated)
	if result.Valid {
		it.Result = new(intent.Result)
		if err := json.Unmarshal([]byte(result.String), it.Result); err != nil {
			return it, fault.Wrap(fault.Internal, "reading the intent's result", err)
		}
	}
	return it, nil
}

// Intent reads one; kind NotFound.
func (s *Store) Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error) {
	return scanIntent(s.ro.QueryRowContext(ctx, `SELECT `+intentColumns+` FROM intent WHERE tenant = $1 AND id = $2`, tenant, id))
}

// IntentByKey is a Run's Intent with a key, and the digest of its arguments; kind
// NotFound.
func (s *Store) IntentByKey(ctx context.Context, tenant ident.Tenant, run, key string) (intent.Intent, intent.Digest, error) {
	return intentByKey(s.ro.QueryRowContext(ctx, intentByKeyQuery, tenant, run, key))
}

const intentByKeyQuery = `SELECT ` + intentColumns + `, args_digest FROM intent WHERE tenant = $1 AND run = $2 AND key = $3`

func intentByKey(row scanner) (it intent.Intent, args intent.Digest, err error) {
	it, err = scanIntent(scanMore{row, []any{&args}})
	return it, args, err
}

// Fence is the fence of an Intent's last attempt, and when its bytes could leave.
func (s *Store) Fence(ctx context.Context, tenant ident.Tenant, id string) (fence int64, sent time.Time, err error) {
	var ms int64
	err = s.ro.QueryRowContext(ctx, `SELECT fence, sent_at FROM intent WHERE tenant = $1 AND id = $2`, tenant, id).Scan(&fence, &ms)
	return fence, fromMS(ms), storeErr("reading the attempt", err)
}

// Intents lists a Run's, the oldest first, at most 1000.
func (s *Store) Intents(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error) {
	return s.intents(ctx, `SELECT `+intentColumns+` FROM intent WHERE tenant = $1 AND run = $2 ORDER BY created_at, id LIMIT 1000`, tenant, run)
}

// IntentsIn lists a tenant's in one state, the oldest first, at most 1000.
func (s *Store) IntentsIn(ctx context.Context, tenant ident.Tenant, state intent.State) ([]intent.Intent, error) {
	return s.intents(ctx, `SELECT `+intentColumns+` FROM intent WHERE tenant = $1 AND state = $2 ORDER BY created_at, id LIMIT 1000`, tenant, state)
}

func (s *Store) intents(ctx context.Context, query string, args ...any) ([]intent.Intent, error) {
	return list(ctx, s, "intents", scanIntent, query, args...)
}

// Left lists the attempts that no process can be at any more: the store's lock
// is ours, so every other claimant is dead. All tenants.
func (s *Store) Left(ctx context.Context) ([]commit.Left, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT `+intentColumns+`, fence, claimant FROM intent WHERE state IN ('CLAIMED', 'SENDING')`)
	if err != nil {
		return nil, storeErr("listing attempts", err)
	}
	defer rows.Close()
	var out []commit.Left
	for rows.Next() {
		var l commit.Left
		it, err := scanIntent(scanMore{rows, []any{&l.Fence, &l.Claimant}})
		if err != nil {
			return nil, err
		}
		l.Intent = it
		out = append(out, l)
	}
	return out, storeErr("listing attempts", rows.Err())
}

// scanMore scans columns that follow those of the common reader.
type scanMore struct {
	row  scanner
	more []any
}

func (s scanMore) Scan(dst ...any) error { return s.row.Scan(append(dst, s.more...)...) }

// Propose stores a new Intent with what belongs to it, or returns the one that
// it repeats: the same key in the Run, or the same write that is open or was
// committed or is unknown within a day, unless the repeat is meant.
func (s *Store) Propose(ctx context.Context, p gate.Proposed) (it intent.Intent, fresh bool, err error) {
	err = s.write(ctx, func(t *Tx) error {
		if it, err = t.same(p); err == nil {
			return nil
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
		it, fresh = p.Intent, true
		return t.propose(p)
	})
	return it, fresh, err
}

func (t *Tx) same(p gate.Proposed) (intent.Intent, error) {
	i := p.Intent
	if i.Key != "" {
		it, args, err := intentByKey(t.QueryRow(intentByKeyQuery, i.Tenant, i.Run, i.Key))
		switch {
		case err == nil && (it.Connection != i.Connection || it.Tool != i.Tool || args != p.ArgsDigest):
			return it, fault.New(fault.Conflict, "the key was used for another proposal of this Run").WithHint("use a new key for each action")
		case !fault.Is(err, fault.NotFound):
			return it, err
		}
	}
	if i.Repeat || i.Effect != "write" {
		return intent.Intent{}, fault.New(fault.NotFound, "a read, or meant to be repeated")
	}
	return scanIntent(t.QueryRow(`SELECT `+intentColumns+` FROM intent
		WHERE tenant = $1 AND run = $2 AND connection = $3 AND tool = $4 AND args_digest = $5 AND effect = 'write'
		AND (state IN ('PARKED', 'APPROVED', 'CLAIMED', 'SENDING', 'UNKNOWN', 'NEEDS_HUMAN') OR state = 'COMMITTED' AND updated_at > $6)
		ORDER BY created_at DESC LIMIT 1`,
		i.Tenant, i.Run, i.Connection, i.Tool, p.ArgsDigest, ms(i.CreatedAt.Add(-repeatWindow))))
}

func (t *Tx) propose(p gate.Proposed) error {
	i := p.Intent
	if !p.Own {
		if err := t.withinLimits(p); err != nil {
			return err
		}
	}
	body, err := encode(withoutResult(i))
	if err != nil {
		return err
	}
	fence := int64(0)
	if i.State == intent.Claimed {
		fence = 1
	}
	if _, err := t.Exec(`INSERT INTO intent (tenant, id, run, state, revision, connection, tool, effect, args_digest, key, body, why, fence, claimant, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)`,
		i.Tenant, i.ID, i.Run, i.State, i.Revision, i.Connection, i.Tool, i.Effect, p.ArgsDigest, nullText(i.Key), body, i.Why, fence, p.Claimant, ms(i.CreatedAt)); err != nil {
		return err
	}
	if p.Decision != nil {
		if err := t.insertDecision(*p.Decision); err != nil {
			return err
		}
	}
	return t.follow(i.Tenant, i.Run, commit.Step{Events: p.Events, Observe: p.Observe, Outbox: p.Outbox})
}

// withinLimits counts against the Run's limits what is about to be stored.
func (t *Tx) withinLimits(p gate.Proposed) error {
	i := p.Intent
	if err := t.runOpen(i.Tenant, i.Run); err != nil {
		return err
	}
	var calls, parked int
	if err := t.QueryRow(`SELECT count(*), count(*) FILTER (WHERE state = 'PARKED') FROM intent WHERE tenant = $1 AND run = $2`, i.Tenant, i.Run).Scan(&calls, &parked); err != nil {
		return storeErr("counting intents", err)
	}
	switch {
	case calls >= p.MaxCalls:
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d calls", p.MaxCalls)
	case i.State == intent.Parked && parked >= p.MaxParked:
		return fault.Newf(fault.Limit, "%d actions of this Run wait for a Decision already", parked)
	case !p.Turn:
		return nil
	}
	r, err := t.Exec(`UPDATE run SET turns = turns + 1 WHERE tenant = $1 AND id = $2 AND turns < $3 AND tokens_in + tokens_out < $4 AND ($5 = 0 OR cost_usd < $5)`,
		i.Tenant, i.Run, p.Limits.Turns, p.Limits.Tokens, p.Limits.CostUSD)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return t.reached(p)
	}
	return nil
}

// reached says which limit ends the Run.
func (t *Tx) reached(p gate.Proposed) error {
	var turns int
	var tokens int64
	if err := t.QueryRow(`SELECT turns, tokens_in + tokens_out FROM run WHERE tenant = $1 AND id = $2`, p.Intent.Tenant, p.Intent.Run).Scan(&turns, &tokens); err != nil {
		return storeErr("reading the run's usage", err)
	}
	switch {
	case turns >= p.Limits.Turns:
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d turns", p.Limits.Turns)
	case tokens >= p.Limits.Tokens:
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d tokens", p.Limits.Tokens)
	}
	return fault.Newf(fault.Limit, "the Run has reached its limit of %.2f US dollars", p.Limits.CostUSD)
}

// encode keeps JSON as it is: encoding/json would rewrite &, < and > in what was
// canonical.
func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fault.Wrap(fault.Internal, "encoding for the store", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// withoutResult leaves out what has columns of its own.
func withoutResult(i intent.Intent) intent.Intent {
	i.Result, i.State, i.Why = nil, "", ""
	return i
}

func nullText(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// Step makes one step of an Intent durable; see commit.Store.
func (s *Store) Step(ctx context.Context, st commit.Step) (fence int64, err error) {
	err = s.write(ctx, func(t *Tx) error {
		fence, err = t.step(st)
		return err
	})
	return fence, err
}

func (t *Tx) step(st commit.Step) (int64, error) {
	if !st.From.Can(st.To) {
		return 0, fault.Newf(fault.Conflict, "an intent can't go from %s to %s", st.From, st.To)
	}
	fence, sent := st.Fence, int64(0)
	if st.To == intent.Claimed {
		fence++
	}
	if st.To == intent.Sending {
		sent = ms(st.At)
	}
	var result sql.NullString
	if st.Result != nil {
		b, err := encode(st.Result)
		if err != nil {
			return 0, err
		}
		result = sql.NullString{String: b, Valid: true}
	}
	err := t.ExecOne("the intent", `UPDATE intent SET state = $1, why = $2, result = COALESCE($3, result), fence = $4,
		claimant = CASE WHEN $5 = '' THEN claimant ELSE $5 END, sent_at = CASE WHEN $6 = 0 THEN sent_at ELSE $6 END, updated_at = $7
		WHERE tenant = $8 AND id = $9 AND run = $10 AND state = $11 AND fence = $12`,
		st.To, st.Why, result, fence, st.Claimant, sent, ms(st.At), st.Tenant, st.Intent, st.Run, st.From, st.Fence)
	if err != nil {
		return 0, err
	}
	if u := st.Used; u != nil {
		if _, err := t.Exec(`UPDATE run SET tokens_in = tokens_in + $1, tokens_out = tokens_out + $2, cost_usd = cost_usd + $3 WHERE tenant = $4 AND id = $5`,
			u.InputTokens, u.OutputTokens, u.CostUSD, st.Tenant, st.Run); err != nil {
			return 0, err
		}
	}
	return fence, t.follow(st.Tenant, st.Run, st)
}

// follow writes what belongs to a step besides the Intent itself.
func (t *Tx) follow(tenant ident.Tenant, run string, st commit.Step) error {
	for _, ev := range st.Events {
		if err := t.Audit(ev); err != nil {
			return err
		}
	}
	for _, o := range st.Observe {
		if err := t.observe(o); err != nil {
			return err
		}
	}
	for _, m := range st.Outbox {
		if err := t.enqueue(tenant, m.Kind, m.Ref, m.Due); err != nil {
			return err
		}
	}
	return nil
}

// Repark puts an approved Intent back into the Decision Queue with a new
// Decision, as it is bound now.
func (s *Store) Repark(ctx context.Context, st commit.Step, it intent.Intent, d decision.Decision) error {
	return s.write(ctx, func(t *Tx) error {
		if _, err := t.step(st); err != nil {
			return err
		}
		body, err := encode(withoutResult(it))
		if err != nil {
			return err
		}
		if err := t.ExecOne("the intent", `UPDATE intent SET body = $1, revision = $2 WHERE tenant = $3 AND id = $4 AND revision = $2 - 1`,
			body, it.Revision, it.Tenant, it.ID); err != nil {
			return err
		}
		return t.insertDecision(d)
	})
}

// moveIntent changes the state within somebody else's transaction.
func (t *Tx) moveIntent(tenant ident.Tenant, id string, from, to intent.State, why string, now time.Time) error {
	if !from.Can(to) {
		return fault.Newf(fault.Conflict, "an intent can't go from %s to %s", from, to)
	}
	return t.ExecOne("the intent", `UPDATE intent SET state = $1, why = $2, updated_at = $3 WHERE tenant = $4 AND id = $5 AND state = $6`,
		to, why, ms(now), tenant, id, from)
}

// enqueue puts work into the outbox; work that waits there already is due at
// the earlier of the two times, and its generation says that it was asked for
// again: who is carrying out the former does not take it out.
func (t *Tx) enqueue(tenant ident.Tenant, kind, ref string, due time.Time) error {
	*t.queued = true
	_, err := t.Exec(`INSERT INTO outbox (tenant, kind, ref, due_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant, kind, ref) DO UPDATE SET due_at = min(outbox.due_at, excluded.due_at), generation = outbox.generation + 1`, tenant, kind, ref, ms(due))
	return err
}

// observe appends to a Run's rail.
func (t *Tx) observe(o explain.Observation) error {
	_, err := t.Exec(`INSERT INTO observation (tenant, run, seq, at, kind, title, text, intent, data)
		VALUES ($1, $2, (SELECT COALESCE(max(seq), 0) + 1 FROM observation WHERE tenant = $1 AND run = $2), $3, $4, $5, $6, $7, $8)`,
		o.Tenant, o.Run, ms(o.At), o.Kind, o.Title, o.Text, o.Intent, string(o.Data))
	return err
}
