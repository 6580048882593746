package sqlite

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// SessionByHash finds a session by its token's keyed hash; kind NotFound.
func (s *Store) SessionByHash(ctx context.Context, hash string) (identity.SessionRow, error) {
	var r identity.SessionRow
	var created, seen, expires, ended int64
	err := s.ro.QueryRowContext(ctx, `SELECT tenant, id, account, hash, bind, created_at, seen_at, expires_at, ended_at FROM session WHERE hash = $1`, hash).
		Scan(&r.Tenant, &r.ID, &r.Account, &r.Hash, &r.Bind, &created, &seen, &expires, &ended)
	if err != nil {
		return identity.SessionRow{}, storeErr("reading the session", err)
	}
	r.CreatedAt, r.SeenAt, r.ExpiresAt = fromMS(created), fromMS(seen), fromMS(expires)
	if ended != 0 {
		r.EndedAt = fromMS(ended)
	}
	return r, nil
}

// TouchSession moves a session's last use forward, never back.
func (s *Store) TouchSession(ctx context.Context, tenant ident.Tenant, id string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		_, err := t.Exec(`UPDATE session SET seen_at = $1 WHERE tenant = $2 AND id = $3 AND seen_at < $1`, ms(now), tenant, id)
		return err
	})
}

// EndSession ends a session; one that has ended stays so.
func (s *Store) EndSession(ctx context.Context, tenant ident.Tenant, id string, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		res, err := t.Exec(`UPDATE session SET ended_at = $1 WHERE tenant = $2 AND id = $3 AND ended_at = 0`, ms(ev.At), tenant, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return storeErr("ending the session", err)
		}
		return t.Audit(ev)
	})
}

// InsertRunToken stores a Run's token; kind Conflict when its tokens have ended.
func (s *Store) InsertRunToken(ctx context.Context, r identity.RunRow) error {
	return s.write(ctx, func(t *Tx) error {
		res, err := t.Exec(`INSERT INTO run_token (tenant, id, run, hash, bind, created_at, expires_at)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM run_token_end WHERE tenant = $1 AND run = $3)`,
			r.Tenant, r.ID, r.Run, r.Hash, r.Bind, ms(r.CreatedAt), ms(r.ExpiresAt))
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
	err := s.ro.QueryRowContext(ctx, `SELECT tenant, id, run, hash, bind, created_at, expires_at FROM run_token
		WHERE hash = $1 AND NOT EXISTS (SELECT 1 FROM run_token_end e WHERE e.tenant = run_token.tenant AND e.run = run_token.run)`, hash).
		Scan(&r.Tenant, &r.ID, &r.Run, &r.Hash, &r.Bind, &created, &expires)
	if err != nil {
		return identity.RunRow{}, storeErr("reading the Run's token", err)
	}
	r.CreatedAt, r.ExpiresAt = fromMS(created), fromMS(expires)
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
// identity.Sessions.
func (s *Store) SweepIdentity(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(t *Tx) error {
		for _, text := range []string{
			`DELETE FROM session WHERE expires_at < $1 OR ended_at > 0 AND ended_at < $1`,
			`DELETE FROM run_token WHERE expires_at < $1`,
			`DELETE FROM factor WHERE used_at = 0 AND at < $1`,
			`DELETE FROM attempt_count WHERE last_at < $1 AND closed_until < $1`,
		} {
			if _, err := t.Exec(text, ms(before)); err != nil {
				return err
			}
		}
		return nil
	})
}
