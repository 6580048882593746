package sqlite

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
)

func workerTokenOf(x *row) (identity.WorkerTokenRow, error) {
	return identity.WorkerTokenRow{Tenant: x.tenant(), Hash: x.text("hash"), Bind: x.text("bind"), WorkerToken: identity.WorkerToken{
		ID: x.text("id"), Worker: x.text("worker"), Fingerprint: x.text("fingerprint"), By: x.text("by"),
		CreatedAt: x.instant("created_at"), ExpiresAt: x.instant("expires_at"), UsedAt: x.instant("used_at")}}, nil
}

// InsertWorkerToken stores a token with its entry; kind Limit when the Worker has
// most of them, Denied when there is no such Worker any more.
func (s *Store) InsertWorkerToken(ctx context.Context, r identity.WorkerTokenRow, most int, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		if _, err := t.reader().byKey(tbResource, r.Tenant, string(resource.KindWorker), r.Worker); err != nil {
			return fault.Wrap(fault.KindOf(err), "looking up the Worker", err)
		}
		if have := t.reader().ids(tbWorkerToken, r.Tenant, r.Worker); len(have) >= most {
			return fault.Newf(fault.Limit, "the Worker has %d tokens", len(have)).WithHint("revoke those that are not used")
		}
		x, err := t.insert(tbWorkerToken, cols{"tenant": r.Tenant, "id": r.ID, "worker": r.Worker, "hash": r.Hash, "bind": r.Bind, "fingerprint": r.Fingerprint,
			"by": r.By, "created_at": r.CreatedAt, "expires_at": r.ExpiresAt, "used_at": r.UsedAt})
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// WorkerTokenByHash finds one by its keyed hash; kind NotFound.
func (s *Store) WorkerTokenByHash(ctx context.Context, hash string) (identity.WorkerTokenRow, error) {
	return oneRow(ctx, s, workerTokenOf, func(r *reader) (*row, error) { return r.one(tbWorkerToken, "WHERE hash = $1", hash) })
}

// WorkerTokens lists a Worker's, or with "" a tenant's, the oldest first.
func (s *Store) WorkerTokens(ctx context.Context, tenant ident.Tenant, worker string) ([]identity.WorkerTokenRow, error) {
	return listRows(ctx, s, tbWorkerToken, workerTokenOf, "WHERE tenant = $1 AND ($2 = '' OR worker = $2) ORDER BY created_at, id", tenant, worker)
}

// TouchWorkerToken moves a token's last use forward, never back.
func (s *Store) TouchWorkerToken(ctx context.Context, tenant ident.Tenant, id string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbWorkerToken, tenant, id)
		if fault.Is(err, fault.NotFound) || err == nil && !x.instant("used_at").Before(now) {
			return nil
		}
		if err != nil {
			return err
		}
		return t.put(x, cols{"used_at": now})
	})
}

// RevokeWorkerToken removes one with its entry, also one whose row is refused; kind
// NotFound.
func (s *Store) RevokeWorkerToken(ctx context.Context, tenant ident.Tenant, worker, id string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		rows, err := t.reader().scan(tbWorkerToken, "WHERE tenant = $1 AND id = $2 AND worker = $3", tenant, id, worker)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fault.Newf(fault.NotFound, "the Worker has no token %q", fault.Quote(id)).WithHint("list them with: sallyport worker token list WORKER")
		}
		if err := t.removeAll(rows); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

// endWorkerTokens removes a Worker's tokens, or with "" a tenant's, whatever the rows
// are, each with its entry: what comes under the Worker's name later is another.
func (t *Tx) endWorkerTokens(tenant ident.Tenant, worker, actor, why string, at time.Time) error {
	rows, err := t.reader().scan(tbWorkerToken, "WHERE tenant = $1 AND ($2 = '' OR worker = $2) ORDER BY id", tenant, worker)
	if err != nil {
		return err
	}
	if err := t.removeAll(rows); err != nil {
		return err
	}
	for _, x := range rows {
		if err := t.Audit(audit.Event{Type: audit.WorkerTokenRevoked, Tenant: tenant, At: at, Actor: actor,
			Fields: map[string]any{"worker": x.text("worker"), "name": x.text("id"), "why": why}}); err != nil {
			return err
		}
	}
	return nil
}

// applyWorker checks that there is somebody who answers for a Worker, and ends the
// tokens of one that is removed.
func (t *Tx) applyWorker(tenant ident.Tenant, c ResourceChange, actor string, at time.Time) error {
	if c.Kind != resource.KindWorker {
		return nil
	}
	w, ok := c.Resource.(*resource.Worker)
	if !ok {
		return t.endWorkerTokens(tenant, c.Name, actor, "the Worker was removed", at)
	}
	if _, err := t.reader().one(tbAccount, "WHERE tenant = $1 AND name = $2", tenant, w.Owner); fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.Invalid, "the Worker %s names the owner %s, who has no account", w.Name, fault.Quote(w.Owner)).
			WithHint("create the account first, or correct the name")
	} else if err != nil {
		return err
	}
	return nil
}
