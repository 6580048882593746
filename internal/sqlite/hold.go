package sqlite

import (
	"context"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

func holdOf(x *row) intent.Hold {
	return intent.Hold{Tenant: x.tenant(), Kind: intent.HoldKind(x.text("kind")), Name: x.text("name"), Since: x.instant("since"), By: x.text("by"), Reason: x.text("reason")}
}

// holds lists a tenant's. They are found by what is known: one that was removed or
// put back by somebody else is an error, and no leave to erase.
func (r *reader) holds(tenant ident.Tenant) (out []intent.Hold, err error) {
	if r.t == nil && !r.s.ledger.has(tenant) {
		return nil, &notLoaded{tenant}
	}
	rows, err := r.live(tbHold, tenant, "")
	for _, x := range rows {
		out = append(out, holdOf(x))
	}
	slices.SortFunc(out, func(a, b intent.Hold) int { return a.Since.Compare(b.Since) })
	return out, err
}

// Holds lists a tenant's legal holds, the oldest first.
func (s *Store) Holds(ctx context.Context, tenant ident.Tenant) (out []intent.Hold, err error) {
	err = s.read(ctx, func(r *reader) (err error) {
		out, err = r.holds(tenant)
		return err
	})
	return out, err
}

// SetHold stores a hold with its entry; kind Conflict when there is one.
func (s *Store) SetHold(ctx context.Context, h intent.Hold, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.insert(tbHold, cols{"tenant": h.Tenant, "kind": h.Kind, "name": h.Name, "since": h.Since, "by": h.By, "reason": h.Reason})
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// LiftHold takes a hold away; kind NotFound.
func (s *Store) LiftHold(ctx context.Context, tenant ident.Tenant, kind intent.HoldKind, name string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbHold, tenant, kind, name)
		if err != nil {
			return err
		}
		if err := t.remove(x); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

// held names the hold that a Run is under, or "".
func (t *Tx) held(tenant ident.Tenant, run, mission string) (string, error) {
	holds, err := t.reader().holds(tenant)
	if err != nil {
		return "", err
	}
	for _, h := range holds {
		if h.Kind == intent.HoldRun && h.Name == run || h.Kind == intent.HoldMission && h.Name == mission {
			return string(h.Kind) + " " + h.Name, nil
		}
		if h.Kind != intent.HoldRecord {
			continue
		}
		var n int
		// Of a private record a hold has the form that the log has.
		if err := t.QueryRow(`SELECT count(*) FROM audit_ref r JOIN audit_entry e ON e.tenant = r.tenant AND e.idx = r.idx
			WHERE r.tenant = $1 AND r.kind = $2 AND r.value = $3 AND e.run = $4`, tenant, string(audit.RefRecord), h.Name, run).Scan(&n); err != nil {
			return "", storeErr("looking for a hold", err)
		}
		if n > 0 {
			return string(h.Kind) + " " + h.Name, nil
		}
	}
	return "", nil
}
