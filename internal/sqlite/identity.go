package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

const accountColumns = `tenant, id, name, display_name, roles, disabled, must_change, password, totp_salt, totp_algorithm, totp_counter, revision, created_at`

func scanAccount(row scanner) (identity.Record, error) {
	var r identity.Record
	var roles string
	var created int64
	err := row.Scan(&r.Tenant, &r.ID, &r.Name, &r.DisplayName, &roles, &r.Disabled, &r.MustChange, &r.Password, &r.TOTPSalt, &r.Algorithm, &r.Counter, &r.Revision, &created)
	if err != nil {
		return identity.Record{}, storeErr("reading the account", err)
	}
	for _, role := range strings.Fields(roles) {
		r.Roles = append(r.Roles, ident.Role(role))
	}
	r.CreatedAt = fromMS(created)
	return r, nil
}

func roleText(roles []ident.Role) string {
	text := make([]string, len(roles))
	for i, r := range roles {
		text[i] = string(r)
	}
	return strings.Join(text, " ")
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// InsertAccount stores a new account; kind Conflict when the name is taken.
func (s *Store) InsertAccount(ctx context.Context, r identity.Record, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		res, err := t.Exec(`INSERT INTO account (`+accountColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12) ON CONFLICT DO NOTHING`,
			r.Tenant, r.ID, r.Name, r.DisplayName, roleText(r.Roles), flag(r.Disabled), flag(r.MustChange), r.Password, r.TOTPSalt, r.Algorithm, r.Counter, ms(r.CreatedAt))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return fault.Newf(fault.Conflict, "there is an account named %s already", r.Name)
		}
		return t.Audit(ev)
	})
}

// AccountByName reads one; kind NotFound.
func (s *Store) AccountByName(ctx context.Context, tenant ident.Tenant, name string) (identity.Record, error) {
	return scanAccount(s.ro.QueryRowContext(ctx, `SELECT `+accountColumns+` FROM account WHERE tenant = $1 AND name = $2`, tenant, name))
}

// AccountByID reads one; kind NotFound.
func (s *Store) AccountByID(ctx context.Context, tenant ident.Tenant, id string) (identity.Record, error) {
	return scanAccount(s.ro.QueryRowContext(ctx, `SELECT `+accountColumns+` FROM account WHERE tenant = $1 AND id = $2`, tenant, id))
}

// Accounts lists a tenant's by name.
func (s *Store) Accounts(ctx context.Context, tenant ident.Tenant) ([]identity.Record, error) {
	return list(ctx, s, "accounts", scanAccount, `SELECT `+accountColumns+` FROM account WHERE tenant = $1 ORDER BY name`, tenant)
}

// UpdateAccount stores a change over the revision it was read with.
func (s *Store) UpdateAccount(ctx context.Context, r identity.Record, endSessions bool, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.rejoin(r, ev); err != nil {
			return err
		}
		if err := t.updateAccount(r); err != nil {
			return err
		}
		if endSessions {
			if err := t.endSessionsOf(r.Tenant, r.ID, ev.At); err != nil {
				return err
			}
		}
		return t.Audit(ev)
	})
}

// rejoin lets the memberships of an account begin anew when a person gives it
// other one-time codes: an admin who resets an approver's account could sign in
// as them, so nothing that waits now can be decided with it.
func (t *Tx) rejoin(r identity.Record, ev audit.Event) error {
	if !strings.HasPrefix(ev.Actor, string(ident.Person)+":") {
		return nil
	}
	_, err := t.Exec(`UPDATE team_member SET since = $1 WHERE tenant = $2 AND account = $3
		AND EXISTS (SELECT 1 FROM account WHERE tenant = $2 AND id = $3 AND totp_salt <> $4)`, ms(ev.At), r.Tenant, r.ID, r.TOTPSalt)
	return err
}

// updateAccount leaves the one-time codes' counter alone, which only a proof
// moves, unless the codes are new ones: none of those was used.
func (t *Tx) updateAccount(r identity.Record) error {
	return t.ExecOne("the account", `UPDATE account SET display_name = $1, roles = $2, disabled = $3, must_change = $4, password = $5,
		totp_counter = CASE WHEN totp_salt = $6 THEN totp_counter ELSE 0 END, totp_salt = $6, totp_algorithm = $7, revision = revision + 1 WHERE tenant = $8 AND id = $9 AND revision = $10`,
		r.DisplayName, roleText(r.Roles), flag(r.Disabled), flag(r.MustChange), r.Password, r.TOTPSalt, r.Algorithm, r.Tenant, r.ID, r.Revision)
}

func (t *Tx) endSessionsOf(tenant ident.Tenant, account string, now time.Time) error {
	if _, err := t.Exec(`UPDATE session SET ended_at = $1 WHERE tenant = $2 AND account = $3 AND ended_at = 0`, ms(now), tenant, account); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM factor WHERE tenant = $1 AND account = $2 AND used_at = 0`, tenant, account)
	return err
}

// attemptMemory is how long after the last attempt failures are remembered.
const attemptMemory = time.Hour

// TakeAttempt counts an attempt before it is judged; see identity.Proofs.
func (s *Store) TakeAttempt(ctx context.Context, tenant ident.Tenant, key string, now time.Time, backoff func(int) time.Duration) (wait time.Duration, err error) {
	// A look without a write first: a flood on a closed key costs no fsync.
	if wait, err = closedFor(s.ro.QueryRowContext(ctx, attemptQuery, tenant, key), now, nil); wait > 0 || err != nil {
		return wait, err
	}
	err = s.write(ctx, func(t *Tx) error {
		var failures int
		if wait, err = closedFor(t.QueryRow(attemptQuery, tenant, key), now, &failures); wait > 0 || err != nil {
			return err
		}
		failures++
		_, err := t.Exec(`INSERT INTO attempt_count (tenant, key, failures, last_at, closed_until) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, key) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, closed_until = excluded.closed_until`,
			tenant, key, failures, ms(now), ms(now.Add(backoff(failures))))
		return err
	})
	return wait, err
}

const attemptQuery = `SELECT failures, last_at, closed_until FROM attempt_count WHERE tenant = $1 AND key = $2`

func closedFor(row *sql.Row, now time.Time, failures *int) (time.Duration, error) {
	var n int
	var last, until int64
	err := row.Scan(&n, &last, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, storeErr("counting attempts", err)
	}
	if failures != nil && now.Sub(fromMS(last)) < attemptMemory {
		*failures = n
	}
	return max(fromMS(until).Sub(now), 0), nil
}

// AcceptProof uses a one-time code up and stores what it was for; see
// identity.Proofs.
func (s *Store) AcceptProof(ctx context.Context, p identity.Proof) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.ExecOne("the account", `UPDATE account SET totp_counter = $1 WHERE tenant = $2 AND id = $3 AND revision = $4 AND totp_counter < $1 AND disabled = 0`,
			p.Counter, p.Tenant, p.Account, p.Revision); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM attempt_count WHERE tenant = $1 AND key = $2`, p.Tenant, p.Attempts); err != nil {
			return err
		}
		return t.proofEffects(p)
	})
}

func (t *Tx) proofEffects(p identity.Proof) error {
	if c := p.Change; c != nil {
		if err := t.updateAccount(*c); err != nil {
			return err
		}
		if err := t.endSessionsOf(c.Tenant, c.ID, p.Event.At); err != nil {
			return err
		}
	}
	if r := p.Session; r != nil {
		if _, err := t.Exec(`INSERT INTO session (tenant, id, account, hash, bind, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			r.Tenant, r.ID, r.Account, r.Hash, r.Bind, ms(r.CreatedAt), ms(r.SeenAt), ms(r.ExpiresAt)); err != nil {
			return err
		}
	}
	if f := p.Factor; f != nil {
		var used int64
		if p.Used {
			used = ms(f.At)
		}
		if _, err := t.Exec(`INSERT INTO factor (tenant, id, account, method, act, at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			f.Tenant, f.ID, f.Account, f.Method, f.For, ms(f.At), used); err != nil {
			return err
		}
	}
	if p.Event != nil {
		return t.Audit(*p.Event)
	}
	return nil
}

// Peopled reports whether a tenant has any account.
func (s *Store) Peopled(ctx context.Context, tenant ident.Tenant) (bool, error) {
	var yes bool
	err := s.ro.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM account WHERE tenant = $1)`, tenant).Scan(&yes)
	return yes, storeErr("looking for accounts", err)
}

// RefuseProof records a refused attempt.
func (s *Store) RefuseProof(ctx context.Context, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error { return t.Audit(ev) })
}
