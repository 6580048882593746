package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/policy"
	"sallyport.dev/internal/resource"
)

// repeatWindow is how long the same write of the same Run gets the earlier
// Intent instead of a second write.
const repeatWindow = 24 * time.Hour

func intentOf(x *row) (it intent.Intent, err error) {
	if err := json.Unmarshal([]byte(x.text("body")), &it); err != nil {
		return it, fault.Wrap(fault.Internal, "reading the intent", err)
	}
	it.State, it.Revision, it.Why, it.UpdatedAt = x.state("state"), int(x.number("revision")), x.text("why"), x.instant("updated_at")
	if !x.null("result") {
		it.Result = new(intent.Result)
		if err := json.Unmarshal([]byte(x.text("result")), it.Result); err != nil {
			return it, fault.Wrap(fault.Internal, "reading the intent's result", err)
		}
	}
	return it, nil
}

// Intent reads one; kind NotFound.
func (s *Store) Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error) {
	return oneRow(ctx, s, intentOf, func(r *reader) (*row, error) { return r.byKey(tbIntent, tenant, id) })
}

// IntentsByID are those of a tenant that are there and not refused.
func (s *Store) IntentsByID(ctx context.Context, tenant ident.Tenant, ids []string) ([]intent.Intent, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "reading intents", err)
	}
	return listRows(ctx, s, tbIntent, intentOf, rowsAt, tenant, string(list))
}

// IntentByKey is a Run's Intent with a key, and the digest of its arguments; kind
// NotFound.
func (s *Store) IntentByKey(ctx context.Context, tenant ident.Tenant, run, key string) (it intent.Intent, args intent.Digest, err error) {
	it, err = oneRow(ctx, s, intentOf, func(r *reader) (*row, error) {
		x, err := r.intentByKey(tenant, run, key)
		if err == nil {
			args = x.digest("args_digest")
		}
		return x, err
	})
	return it, args, err
}

func (r *reader) intentByKey(tenant ident.Tenant, run, key string) (*row, error) {
	return r.one(tbIntent, "WHERE tenant = $1 AND run = $2 AND key = $3", tenant, run, key)
}

// Attempt is how far the attempts at an Intent have come.
func (s *Store) Attempt(ctx context.Context, tenant ident.Tenant, id string) (commit.Attempt, error) {
	return oneRow(ctx, s, func(x *row) (commit.Attempt, error) {
		return commit.Attempt{Fence: x.number("fence"), Sent: x.instant("sent_at"), Resent: int(x.number("resent")), Claimant: x.text("claimant")}, nil
	}, func(r *reader) (*row, error) { return r.byKey(tbIntent, tenant, id) })
}

// Intents lists a Run's, the oldest first, at most 1000.
func (s *Store) Intents(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error) {
	return listRows(ctx, s, tbIntent, intentOf, "WHERE tenant = $1 AND run = $2 ORDER BY created_at, id LIMIT 1000", tenant, run)
}

// LastIntents lists the last ones of a Run, and before them those that wait for a
// person, in the order that they were proposed; all is how many the Run has.
func (s *Store) LastIntents(ctx context.Context, tenant ident.Tenant, run string, last int) (its []intent.Intent, all int, err error) {
	its, err = listRows(ctx, s, tbIntent, intentOf, `WHERE tenant = $1 AND run = $2 AND (state IN ('PARKED', 'NEEDS_HUMAN')
		OR id IN (SELECT id FROM intent WHERE tenant = $1 AND run = $2 ORDER BY created_at DESC, id DESC LIMIT $3)) ORDER BY created_at, id LIMIT 1000`, tenant, run, last)
	if err == nil {
		err = storeErr("counting intents", s.ro.QueryRowContext(ctx, "SELECT count(*) FROM intent WHERE tenant = $1 AND run = $2", tenant, run).Scan(&all))
	}
	return its, all, err
}

// IntentsIn lists a tenant's in one state, the oldest first, at most 1000.
func (s *Store) IntentsIn(ctx context.Context, tenant ident.Tenant, state intent.State) ([]intent.Intent, error) {
	return listRows(ctx, s, tbIntent, intentOf, "WHERE tenant = $1 AND state = $2 ORDER BY created_at, id LIMIT 1000", tenant, state)
}

// Left lists the attempts that no process can be at any more: the store's lock
// is ours, so every other claimant is dead. All tenants.
func (s *Store) Left(ctx context.Context) ([]commit.Left, error) {
	return listRows(ctx, s, tbIntent, func(x *row) (commit.Left, error) {
		it, err := intentOf(x)
		return commit.Left{Intent: it, Fence: x.number("fence"), Claimant: x.text("claimant")}, err
	}, "WHERE state IN ('CLAIMED', 'SENDING')")
}

// Propose stores a new Intent with what belongs to it, or returns the one that
// it repeats: the same key in the Run, or the same write that is open or was
// committed or is unknown within a day, unless the repeat is meant. Denied: the row
// of an Intent that is under way in the Run is refused or gone, so that nobody can
// say whether it is the same.
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
	if i.Key == "" && i.Effect != "write" {
		return intent.Intent{}, errFresh
	}
	live, err := t.reader().live(tbIntent, i.Tenant, i.Run)
	if _, refused := errors.AsType[*refusal](err); refused {
		no := fault.New(fault.Denied, "an action of this Run is under way, and its row can't be used").
			WithHint("look at the row.refused entries of the audit log, find out in the system what became of it, and start another Run")
		no.Err = err
		return intent.Intent{}, no
	}
	if err != nil {
		return intent.Intent{}, err
	}
	if i.Key != "" {
		if it, err := t.sameKey(p, live); !fault.Is(err, fault.NotFound) {
			return it, err
		}
	}
	if i.Repeat || i.Effect != "write" {
		return intent.Intent{}, errFresh
	}
	var last *row
	for _, x := range live {
		if x.state("state") != intent.Proposed && (isSame(x, p) || isNow(x, p)) && x.text("effect") == "write" && (last == nil || x.number("created_at") > last.number("created_at")) {
			last = x
		}
	}
	if last != nil {
		return intentOf(last)
	}
	x, err := t.reader().one(tbIntent, `WHERE tenant = $1 AND run = $2 AND connection = $3 AND tool = $4 AND $5 IN (args_digest, edited_digest) AND effect = 'write'
		AND state = 'COMMITTED' AND updated_at > $6 ORDER BY created_at DESC`,
		i.Tenant, i.Run, i.Connection, i.Tool, p.ArgsDigest, ms(i.CreatedAt.Add(-repeatWindow)))
	if err != nil {
		return intent.Intent{}, err
	}
	return intentOf(x)
}

var errFresh error = fault.New(fault.NotFound, "a read, or meant to be repeated")

// sameKey finds the Run's Intent with the key; NotFound.
func (t *Tx) sameKey(p gate.Proposed, live []*row) (intent.Intent, error) {
	i := p.Intent
	var x *row
	for _, l := range live {
		if l.text("key") == i.Key {
			x = l
		}
	}
	if x == nil {
		var err error
		if x, err = t.reader().intentByKey(i.Tenant, i.Run, i.Key); err != nil {
			return intent.Intent{}, err
		}
	}
	it, err := intentOf(x)
	if err == nil && !isSame(x, p) {
		err = fault.New(fault.Conflict, "the key was used for another proposal of this Run").WithHint("use a new key for each action")
	}
	return it, err
}

// isSame says whether a row is of the same call.
func isSame(x *row, p gate.Proposed) bool {
	return x.text("connection") == p.Intent.Connection && x.text("tool") == p.Intent.Tool && x.digest("args_digest") == p.ArgsDigest
}

// isNow says whether a row is of a call that approvers made the same.
func isNow(x *row, p gate.Proposed) bool {
	return x.text("connection") == p.Intent.Connection && x.text("tool") == p.Intent.Tool && x.digest("edited_digest") == p.ArgsDigest
}

func (t *Tx) propose(p gate.Proposed) error {
	i := p.Intent
	before, err := t.calls(i.Tenant, i.Run)
	if err != nil {
		return err
	}
	if !p.Own {
		if err := t.withinLimits(p, before); err != nil {
			return err
		}
		if err := t.roomFor(i.Tenant, p.Quotas, countParked); err != nil {
			return err
		}
		if err := t.useUp(p); err != nil {
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
		if err := t.stopped(i.Tenant, i.Use()); err != nil {
			return err
		}
	}
	if _, err := t.insert(tbIntent, cols{"tenant": i.Tenant, "id": i.ID, "run": i.Run, "ordinal": before + 1, "state": i.State, "revision": i.Revision, "connection": i.Connection,
		"tool": i.Tool, "effect": i.Effect, "args_digest": p.ArgsDigest, "edited_digest": p.ArgsDigest, "key": nullText(i.Key), "body": body, "why": i.Why, "result": nil, "fence": fence,
		"claimant": p.Claimant, "sent_at": 0, "resent": 0, "created_at": i.CreatedAt, "updated_at": i.CreatedAt}); err != nil {
		return err
	}
	if p.Decision != nil {
		if err := t.insertDecision(*p.Decision); err != nil {
			return err
		}
	}
	return t.follow(i.Tenant, i.Run, commit.Step{Events: p.Events, Observe: p.Observe, Outbox: p.Outbox})
}

// calls is how many Intents a Run has had. What that costs does not grow with them.
func (t *Tx) calls(tenant ident.Tenant, run string) (n int, err error) {
	err = t.QueryRow(`SELECT coalesce(max(ordinal), 0) FROM intent WHERE tenant = $1 AND run = $2`, tenant, run).Scan(&n)
	return n, storeErr("counting intents", err)
}

// withinLimits counts against the Run's limits what is about to be stored.
func (t *Tx) withinLimits(p gate.Proposed, calls int) error {
	i := p.Intent
	if err := t.runOpen(i.Tenant, i.Run); err != nil {
		return err
	}
	if calls >= p.MaxCalls {
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d calls", p.MaxCalls)
	}
	if i.State == intent.Parked {
		var parked int
		if err := t.QueryRow(`SELECT count(*) FROM intent WHERE tenant = $1 AND run = $2 AND state = 'PARKED'`, i.Tenant, i.Run).Scan(&parked); err != nil {
			return storeErr("counting what waits", err)
		}
		if parked >= p.MaxParked {
			return fault.Newf(fault.Limit, "%d actions of this Run wait for a Decision already", parked)
		}
	}
	if !p.Turn {
		return nil
	}
	run, err := t.reader().byKey(tbRun, i.Tenant, i.Run)
	if err != nil {
		return err
	}
	if err := reached(run, p.Limits); err != nil {
		return err
	}
	run.add("turns", 1)
	return t.put(run, nil)
}

// reached says which limit ends the Run.
func reached(run *row, l resource.Limits) error {
	switch {
	case run.number("turns") >= int64(l.Turns):
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d turns", l.Turns)
	case run.number("tokens_in")+run.number("tokens_out") >= l.Tokens:
		return fault.Newf(fault.Limit, "the Run has reached its limit of %d tokens", l.Tokens)
	case l.CostUSD != 0 && run.real("cost_usd") >= l.CostUSD:
		return fault.Newf(fault.Limit, "the Run has reached its limit of %.2f US dollars", l.CostUSD)
	}
	return nil
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
	x, err := t.intentAt(st.Tenant, st.Intent, st.From)
	if err != nil {
		return 0, err
	}
	if x.text("run") != st.Run || x.number("fence") != st.Fence {
		return 0, errIntentChanged
	}
	if st.Uses {
		if err := t.mayUse(x, st); err != nil {
			return 0, err
		}
	}
	next := cols{"state": st.To, "why": st.Why, "updated_at": st.At}
	fence := st.Fence
	if st.To == intent.Claimed || st.From == intent.Unknown && st.To == intent.Sending {
		fence++
	}
	next["fence"] = fence
	if st.To == intent.Sending && x.number("sent_at") == 0 {
		next["sent_at"] = st.At // the first time: a system's window for a key begins then
	}
	if st.To == intent.Sending && st.From == intent.Unknown {
		next["resent"] = x.number("resent") + 1
	}
	if st.Claimant != "" {
		next["claimant"] = st.Claimant
	}
	if st.Result != nil {
		if next["result"], err = encode(st.Result); err != nil {
			return 0, err
		}
	}
	if err := t.put(x, next); err != nil {
		return 0, err
	}
	if err := t.used(st); err != nil {
		return 0, err
	}
	return fence, t.follow(st.Tenant, st.Run, st)
}

var errIntentChanged error = fault.New(fault.Conflict, "the intent has changed in the meantime")

// intentAt reads an Intent that has to be in a state. It is a live one, so it is
// the row that was written last, or it is refused: what was sent once is not sent
// again because somebody has put back what it was before.
func (t *Tx) intentAt(tenant ident.Tenant, id string, state intent.State) (*row, error) {
	x, err := t.reader().byKey(tbIntent, tenant, id)
	if fault.Is(err, fault.NotFound) || err == nil && x.state("state") != state {
		return nil, errIntentChanged
	}
	return x, err
}

// used adds to the usage of the step's Run.
func (t *Tx) used(st commit.Step) error {
	u := st.Used
	if u == nil {
		return nil
	}
	run, err := t.reader().byKey(tbRun, st.Tenant, st.Run)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	run.add("tokens_in", u.InputTokens)
	run.add("tokens_out", u.OutputTokens)
	return t.put(run, cols{"cost_usd": run.real("cost_usd") + u.CostUSD})
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

// Repark puts an Intent back into the Decision Queue with a new Decision, as it is
// bound now: an approved one, or one that a person wants to be tried again.
func (s *Store) Repark(ctx context.Context, st commit.Step, it intent.Intent, d decision.Decision, uses []policy.Use) error {
	return s.write(ctx, func(t *Tx) error {
		if _, err := t.step(st); err != nil {
			return err
		}
		body, err := encode(withoutResult(it))
		if err != nil {
			return err
		}
		x, err := t.intentAt(it.Tenant, it.ID, st.To)
		if err != nil {
			return err
		}
		if x.number("revision") != int64(it.Revision)-1 {
			return errIntentChanged
		}
		if err := t.put(x, cols{"body": body, "revision": it.Revision, "resent": 0}); err != nil {
			return err
		}
		if err := t.useUp(gate.Proposed{Intent: it, Uses: uses}); err != nil {
			return err
		}
		return t.insertDecision(d)
	})
}

// enqueue puts work into the outbox; work that waits there already is due at
// the earlier of the two times, and its generation says that it was asked for
// again: who is carrying out the former does not take it out.
func (t *Tx) enqueue(tenant ident.Tenant, kind, ref string, due time.Time) error {
	return t.enqueueAll([]message{{tenant, kind, ref, ms(due)}})
}

// message is work for the outbox.
type message struct {
	tenant    ident.Tenant
	kind, ref string
	due       int64 // in milliseconds
}

// enqueueAll does so with several; the same work is put in once.
func (t *Tx) enqueueAll(all []message) error {
	done := make(map[message]bool, len(all))
	for _, m := range all {
		if done[m] {
			continue
		}
		done[m], *t.queued = true, true
		if _, err := t.Exec(`INSERT INTO outbox (tenant, kind, ref, due_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant, kind, ref) DO UPDATE SET due_at = min(outbox.due_at, excluded.due_at), generation = outbox.generation + 1`, m.tenant, m.kind, m.ref, m.due); err != nil {
			return err
		}
	}
	return nil
}
