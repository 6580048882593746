package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// A stop is written, and every claim is made, by the one writer: a claim is either
// before the stop, or finds it. That is what the kill switch promises.

func stopOf(x *row) (intent.Stop, error) {
	return intent.Stop{Tenant: x.tenant(), Kind: intent.StopKind(x.text("kind")), Name: x.text("name"), Since: x.instant("since"),
		By: x.text("by"), ByName: x.text("by_name"), Reason: x.text("reason")}, nil
}

// stops lists a tenant's. They are found by what is known, not by a query that
// could be hidden from: where there are none, nothing is read. A row that is
// refused or gone is an error, and no leave to go on.
func (r *reader) stops(tenant ident.Tenant) (out []intent.Stop, err error) {
	if r.t == nil && !r.s.ledger.has(tenant) {
		return nil, &notLoaded{tenant}
	}
	rows, err := r.live(tbStop, tenant, "")
	for _, x := range rows {
		s, err := stopOf(x)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, err
}

// has says whether the tenant's rows are known.
func (l *ledger) has(tenant ident.Tenant) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tenants[tenant] != nil
}

// Stops lists what is stopped, the oldest first.
func (s *Store) Stops(ctx context.Context, tenant ident.Tenant) (out []intent.Stop, err error) {
	err = s.read(ctx, func(r *reader) (err error) {
		out, err = r.stops(tenant)
		return err
	})
	slices.SortFunc(out, func(a, b intent.Stop) int { return a.Since.Compare(b.Since) })
	return out, err
}

// SetStop stores a stop with its entry and Observations. Of one that is there
// already it gives that one, and records nothing.
func (s *Store) SetStop(ctx context.Context, st intent.Stop, ev audit.Event, observe []explain.Observation) (out intent.Stop, err error) {
	err = s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbStop, st.Tenant, st.Kind, st.Name)
		if err == nil {
			out, err = stopOf(x)
			return err
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		out = st
		if x, err = t.insertStop(st); err != nil {
			return err
		}
		if err := t.auditRow(ev, x, nil); err != nil {
			return err
		}
		return t.follow(st.Tenant, "", commit.Step{Observe: observe})
	})
	return out, err
}

func (t *Tx) insertStop(st intent.Stop) (*row, error) {
	return t.insert(tbStop, cols{"tenant": st.Tenant, "kind": st.Kind, "name": st.Name, "since": st.Since, "by": st.By, "by_name": st.ByName, "reason": st.Reason})
}

// LiftStop takes a stop away, and makes due what it held up; kind NotFound.
func (s *Store) LiftStop(ctx context.Context, tenant ident.Tenant, kind intent.StopKind, name string, ev audit.Event, observe []explain.Observation, at time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbStop, tenant, kind, name)
		if err != nil {
			return err
		}
		if err := t.remove(x); err != nil {
			return err
		}
		if err := t.follow(tenant, "", commit.Step{Events: []audit.Event{ev}, Observe: observe}); err != nil {
			return err
		}
		*t.queued = true
		_, err = t.Exec(`UPDATE outbox SET due_at = min(due_at, $1) WHERE tenant = $2`, ms(at), tenant)
		return err
	})
}

// stopped refuses the use of a credential that is held up.
func (t *Tx) stopped(tenant ident.Tenant, u intent.Use) error {
	list, err := t.reader().stops(tenant)
	if err != nil {
		return stopUnread(err)
	}
	for _, s := range list {
		if s.Holds(u) {
			return &intent.Stopped{Stop: s}
		}
	}
	return nil
}

// stopUnread makes an error of the kill switch one that waits: what was approved
// must not be closed because nobody knows whether it is stopped.
func stopUnread(err error) error {
	if _, unknown := errors.AsType[*notLoaded](err); unknown {
		return err // they are taken up first
	}
	return fault.Wrap(fault.Unavailable, "reading what is stopped", err)
}

// mayUse refuses a step of a stored Intent that is held up, and a claim in a Run
// that has ended: whoever looked before may have looked too early.
func (t *Tx) mayUse(x *row, st commit.Step) error {
	r, err := t.reader().byKey(tbRun, x.tenant(), x.text("run"))
	if err != nil {
		return err
	}
	if claims := st.To == intent.Claimed || st.From == intent.Unknown; claims && r.text("state") == string(intent.RunEnded) {
		return fault.New(fault.Denied, "the Run has ended")
	}
	return t.stopped(x.tenant(), intent.Use{Run: x.text("run"), Starter: r.text("starter"), Mission: r.text("mission"), Connection: x.text("connection")})
}

// stopLost makes up for a stop that was removed, or changed, while no server ran:
// everything is stopped, until an admin says otherwise.
func (l *loading) stopLost() error {
	if !l.found(tbStop) {
		return nil
	}
	all := intent.Stop{Tenant: l.tenant, Kind: intent.StopAll, Since: l.t.s.guard.Now(), By: "system:store", ByName: "the store",
		Reason: "a stop was removed or changed by somebody without the key"}
	for bad := range l.bad { // what they said nobody knows; this one stands for all
		if r := l.stored[bad]; bad.table == tbStop && r != nil {
			delete(l.a.rows, bad)
			if _, err := l.t.Exec(tbStop.deleteSQL, r.vals[:tbStop.keys]...); err != nil {
				return err
			}
		}
	}
	if _, ok := l.a.rows[rowID{l.tenant, tbStop, string(intent.StopAll) + "/"}]; ok {
		return nil
	}
	x, err := l.t.insertStop(all)
	if err != nil {
		return err
	}
	return l.t.auditRow(audit.Event{Type: audit.StopSet, Tenant: l.tenant, At: all.Since, Actor: all.By,
		Fields: map[string]any{"kind": string(all.Kind), "why": all.Reason}}, x, nil)
}
