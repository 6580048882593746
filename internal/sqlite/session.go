package sqlite

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// SessionByHash finds a session by its token's keyed hash; kind NotFound.
func (s *Store) SessionByHash(ctx context.Context, hash string) (out identity.SessionRow, err error) {
	err = s.read(ctx, func(r *reader) error {
		x, err := r.one(tbSession, "WHERE hash = $1", hash)
		if err != nil {
			out = identity.SessionRow{}
			return err
		}
		out = identity.SessionRow{Tenant: x.tenant(), ID: x.text("id"), Account: x.text("account"), Hash: x.text("hash"), Bind: x.text("bind"),
			CreatedAt: x.instant("created_at"), SeenAt: x.instant("seen_at"), ExpiresAt: x.instant("expires_at"), EndedAt: x.instant("ended_at")}
		return nil
	})
	return out, err
}

// TouchSession moves a session's last use forward, never back.
func (s *Store) TouchSession(ctx context.Context, tenant ident.Tenant, id string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbSession, tenant, id)
		if fault.Is(err, fault.NotFound) || err == nil && !x.instant("seen_at").Before(now) {
			return nil
		}
		if err != nil {
			return err
		}
		return t.put(x, cols{"seen_at": now})
	})
}

// EndSession ends a session; one that has ended stays so.
func (s *Store) EndSession(ctx context.Context, tenant ident.Tenant, id string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbSession, tenant, id)
		if fault.Is(err, fault.NotFound) || err == nil && x.number("ended_at") != 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.put(x, cols{"ended_at": ev.At}); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

// InsertRunToken stores a Run's token; kind Conflict when its tokens have ended.
func (s *Store) InsertRunToken(ctx context.Context, r identity.RunRow) error {
	return s.write(ctx, func(t *Tx) error {
		res, err := t.Exec(`INSERT INTO run_token (tenant, id, run, hash, bind, via, created_at, expires_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT 1 FROM run_token_end WHERE tenant = $1 AND run = $3)`,
			r.Tenant, r.ID, r.Run, r.Hash, r.Bind, r.Via, ms(r.CreatedAt), ms(r.ExpiresAt))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return fault.New(fault.Conflict, "the Run has ended and gets no token")
		}
		return nil
	})
}

// RunByHash finds a Run's token by its keyed hash; kind NotFound, also when the
// Run's tokens have ended.
func (s *Store) RunByHash(ctx context.Context, hash string) (identity.RunRow, error) {
	var r identity.RunRow
	var created, expires int64
	err := s.ro.QueryRowContext(ctx, `SELECT tenant, id, run, hash, bind, via, created_at, expires_at FROM run_token
		WHERE hash = $1 AND NOT EXISTS (SELECT 1 FROM run_token_end e WHERE e.tenant = run_token.tenant AND e.run = run_token.run)`, hash).
		Scan(&r.Tenant, &r.ID, &r.Run, &r.Hash, &r.Bind, &r.Via, &created, &expires)
	if err != nil {
		return identity.RunRow{}, storeErr("reading the Run's token", err)
	}
	r.CreatedAt, r.ExpiresAt = fromMS(created), fromMS(expires)
	run, err := s.Run(ctx, r.Tenant, r.Run) // whose row is guarded: the token's is not, and may be an old one
	if err == nil && run.State == intent.RunEnded {
		err = fault.New(fault.NotFound, "the Run has ended")
	}
	if err != nil {
		return identity.RunRow{}, err
	}
	return r, nil
}

// EndRunTokens ends a Run's tokens for good.
func (s *Store) EndRunTokens(ctx context.Context, tenant ident.Tenant, run string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error { return t.endRunTokens(tenant, run, now) })
}

// endRunTokens ends a Run's tokens within somebody else's transaction.
func (t *Tx) endRunTokens(tenant ident.Tenant, run string, now time.Time) error {
	if _, err := t.Exec(`INSERT INTO run_token_end (tenant, run, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, tenant, run, ms(now)); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM run_token WHERE tenant = $1 AND run = $2`, tenant, run)
	return err
}

// SweepIdentity forgets what has been worthless since before; see
// identity.Sessions. What is refused is left where it is.
func (s *Store) SweepIdentity(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		for _, old := range []struct {
			tb   *table
			cond string
		}{
			{tbSession, "WHERE expires_at < $1 OR ended_at > 0 AND ended_at < $1"},
			{tbFactor, "WHERE used_at = 0 AND at < $1"},
			{tbPending, "WHERE expires_at < $1"},
		} {
			rows, err := t.reader().good(old.tb, old.cond, ms(before))
			if err != nil {
				return err
			}
			if err := t.removeAll(rows); err != nil {
				return err
			}
		}
		for _, text := range []string{
			`DELETE FROM run_token WHERE expires_at < $1`,
			`DELETE FROM attempt_count WHERE last_at < $1 AND closed_until < $1`,
		} {
			if _, err := t.Exec(text, ms(before)); err != nil {
				return err
			}
		}
		return nil
	})
}
