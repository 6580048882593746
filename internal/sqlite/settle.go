package sqlite

import (
	"context"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// settling is the steps on open Decisions of one transaction: all are judged by the
// rows as they were read, then all are stored.
type settling struct {
	t       *Tx
	all     []decision.Settlement
	rows    map[ident.Tenant]map[string]*row // of Decisions, by id
	its     map[ident.Tenant]map[string]*row // of their Intents, by id
	changed []*row                           // Decisions, in their order
	ended   []*row                           // those that are open no more
	moved   []*row                           // Intents
}

// Settle takes steps on open Decisions with all that follows, all of them or none;
// see decision.Settlement.
func (s *Store) Settle(ctx context.Context, all ...decision.Settlement) error {
	return s.write(ctx, func(t *Tx) error {
		b := &settling{t: t, all: all}
		if err := b.read(); err != nil {
			return err
		}
		for i, st := range all {
			if err := b.judge(i, st); err != nil {
				return err
			}
		}
		if err := b.store(); err != nil {
			return err
		}
		return b.follow()
	})
}

// read reads the Decisions and then their Intents, each row once.
func (b *settling) read() (err error) {
	ids := map[ident.Tenant][]string{}
	for _, st := range b.all {
		ids[st.Decision.Tenant] = append(ids[st.Decision.Tenant], st.Decision.ID)
	}
	b.rows, b.its = map[ident.Tenant]map[string]*row{}, map[ident.Tenant]map[string]*row{}
	for tenant, list := range ids {
		if b.rows[tenant], err = b.t.reader().byKeys(tbDecision, tenant, list); err != nil {
			return err
		}
		var of []string
		for _, x := range b.rows[tenant] {
			of = append(of, x.text("intent"))
		}
		if b.its[tenant], err = b.t.reader().byKeys(tbIntent, tenant, of); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at one step, and changes its rows in memory.
func (b *settling) judge(i int, st decision.Settlement) error {
	if err := b.step(st); err != nil {
		return err
	}
	first := b.all[0]
	switch {
	case st.Vote == nil:
		return nil
	case i == 0:
		if err := b.t.spendFactor(st); err != nil {
			return err
		}
	case st.Factor == nil || first.Factor == nil || *st.Factor != *first.Factor || first.Vote == nil || st.Vote.Account != first.Vote.Account:
		return decision.Refuse(decision.OtherFactor)
	}
	return b.t.checkVoter(st)
}

// step is the compare-and-swap: of two at the same time, the second finds it closed,
// or with a vote that it was not judged with.
func (b *settling) step(st decision.Settlement) error {
	d := st.Decision
	x := b.rows[d.Tenant][d.ID]
	if x == nil {
		return decision.Refuse(decision.NotOpen)
	}
	was, err := decisionOf(x)
	if err != nil {
		return err
	}
	it := b.its[d.Tenant][was.Intent]
	switch {
	case it == nil, was.State != decision.Open, was.Digest != d.Digest, st.Vote != nil && x.number("expires_at") <= ms(st.At),
		it.number("revision") != x.number("revision"), it.state("state") != intent.Parked:
		return decision.Refuse(decision.NotOpen)
	}
	next := cols{"state": d.State, "reason": d.Reason}
	if d.State != decision.Open {
		next["decided_at"] = st.At
		b.ended = append(b.ended, x)
	}
	if st.Vote != nil {
		if len(was.Votes) != st.Judged {
			return decision.ErrRaced
		}
		was.Votes = append(was.Votes, *st.Vote)
		if next["votes"], err = encodeList(was.Votes); err != nil {
			return err
		}
	}
	was.Passkey, was.BreakGlass = was.Passkey || d.Passkey, d.BreakGlass
	next["passkey"] = was.Passkey
	if d.State == decision.Approved {
		next["break_glass"] = d.BreakGlass
		if !was.Enough() {
			return decision.Refuse(decision.NotApproved)
		}
	}
	x.set(next)
	b.changed = append(b.changed, x)
	return b.move(it, st)
}

// move moves the Intent, where the wait is over.
func (b *settling) move(it *row, st decision.Settlement) error {
	if st.To == "" {
		return nil
	}
	if st.Decision.Intent != it.text("id") {
		return errIntentChanged
	}
	if !intent.Parked.Can(st.To) {
		return fault.Newf(fault.Conflict, "an intent can't go from %s to %s", intent.Parked, st.To)
	}
	it.set(cols{"state": st.To, "why": st.Why, "updated_at": st.At})
	b.moved = append(b.moved, it)
	return nil
}

// store writes the rows.
func (b *settling) store() error {
	if err := b.t.putAll(b.changed); err != nil {
		return err
	}
	if err := b.t.requeueAll(b.ended); err != nil {
		return err
	}
	return b.t.putAll(b.moved)
}

// follow writes what follows from the steps: entries, lines of the rails, messages.
func (b *settling) follow() error {
	lines := make([]line, len(b.all))
	var work []message
	for i, st := range b.all {
		d := st.Decision
		for _, ev := range st.Events {
			if err := b.t.Audit(ev); err != nil {
				return err
			}
		}
		lines[i] = b.t.lineOf(explain.Observation{Tenant: d.Tenant, Run: d.Run, At: st.At, Kind: explain.Decision, Title: st.Title, Text: st.Text, Intent: d.Intent, Detail: decidedBy(st)})
		switch st.To {
		case "":
		case intent.Approved:
			work = append(work, message{d.Tenant, commit.MsgDispatch, d.Intent, ms(st.At)})
		default:
			work = append(work, message{d.Tenant, commit.MsgSegment, d.Run, ms(st.At)})
		}
	}
	if err := b.t.observeAll(lines); err != nil {
		return err
	}
	if err := b.t.announceVerdicts(b.all); err != nil {
		return err
	}
	return b.t.enqueueAll(work)
}

// spendFactor uses the factor up.
func (t *Tx) spendFactor(st decision.Settlement) error {
	d, f := st.Decision, st.Factor
	if f == nil || f.ID != st.Vote.Factor {
		return decision.Refuse(decision.NoFactor)
	}
	x, err := t.reader().byKey(tbFactor, d.Tenant, f.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return decision.Refuse(decision.FactorUsed)
	case err != nil:
		return err
	case x.text("account") != st.Vote.Account, x.digest("act") != f.For, x.text("method") != f.Method, x.number("used_at") != 0,
		x.number("at") < ms(st.At.Add(-decision.FactorLife)), x.number("at") > ms(st.At):
		return decision.Refuse(decision.FactorUsed)
	}
	return t.put(x, cols{"used_at": st.At})
}

// checkVoter looks at the membership once more, or at the role.
func (t *Tx) checkVoter(st decision.Settlement) error {
	d, v, no := st.Decision, st.Vote, decision.NotInTeam
	since, err := t.reader().memberSince(d.Tenant, v.TeamID, v.Account)
	if v.Glass {
		no = decision.NotAdmin
		since, err = t.reader().adminSince(d.Tenant, v.Account)
	}
	if fault.Is(err, fault.NotFound) {
		return decision.Refuse(no)
	}
	if err != nil {
		return err
	}
	it, err := t.reader().byKey(tbIntent, d.Tenant, d.Intent)
	if err != nil {
		return err
	}
	if ms(since) >= it.number("created_at") {
		return decision.Refuse(no)
	}
	return nil
}
