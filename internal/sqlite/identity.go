package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

func accountOf(x *row) identity.Record {
	r := identity.Record{
		Account: identity.Account{Tenant: x.tenant(), ID: x.text("id"), Name: x.text("name"), DisplayName: x.text("display_name"),
			Disabled: x.flag("disabled"), MustChange: x.flag("must_change"), CreatedAt: x.instant("created_at")},
		Revision: x.number("revision"), Password: x.text("password"), TOTPSalt: x.blob("totp_salt"),
		Algorithm: identity.Algorithm(x.text("totp_algorithm")), Counter: x.number("totp_counter"),
	}
	for _, role := range strings.Fields(x.text("roles")) {
		r.Roles = append(r.Roles, ident.Role(role))
	}
	return r
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
		since := time.Time{}
		if slices.Contains(r.Roles, ident.Admin) {
			since = r.CreatedAt
		}
		x, err := t.insert(tbAccount, cols{"admin_since": since,
			"tenant": r.Tenant, "id": r.ID, "name": r.Name, "display_name": r.DisplayName, "roles": roleText(r.Roles),
			"disabled": r.Disabled, "must_change": r.MustChange, "password": r.Password, "totp_salt": r.TOTPSalt, "totp_algorithm": r.Algorithm,
			"totp_counter": r.Counter, "revision": 1, "created_at": r.CreatedAt})
		if fault.Is(err, fault.Conflict) {
			return fault.Newf(fault.Conflict, "there is an account named %s already", r.Name)
		}
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, cols{"account": r.ID})
	})
}

// AccountByName reads one; kind NotFound.
func (s *Store) AccountByName(ctx context.Context, tenant ident.Tenant, name string) (identity.Record, error) {
	return s.account(ctx, func(r *reader) (*row, error) {
		return r.one(tbAccount, "WHERE tenant = $1 AND name = $2", tenant, name)
	})
}

// AccountByID reads one; kind NotFound.
func (s *Store) AccountByID(ctx context.Context, tenant ident.Tenant, id string) (identity.Record, error) {
	return s.account(ctx, func(r *reader) (*row, error) { return r.byKey(tbAccount, tenant, id) })
}

func (s *Store) account(ctx context.Context, read func(*reader) (*row, error)) (identity.Record, error) {
	return oneRow(ctx, s, func(x *row) (identity.Record, error) { return accountOf(x), nil }, read)
}

// Accounts lists a tenant's by name. One that is refused is left out.
func (s *Store) Accounts(ctx context.Context, tenant ident.Tenant) ([]identity.Record, error) {
	return listRows(ctx, s, tbAccount, func(x *row) (identity.Record, error) { return accountOf(x), nil }, "WHERE tenant = $1 ORDER BY name", tenant)
}

// UpdateAccount stores a change over the revision it was read with.
func (s *Store) UpdateAccount(ctx context.Context, r identity.Record, endSessions bool, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		if err := t.rejoin(r, ev); err != nil {
			return err
		}
		renewed, err := t.renewed(r)
		if err != nil {
			return err
		}
		if err := t.updateAccount(r, ev); err != nil {
			return err
		}
		if renewed {
			if err := t.forgetPasskeys(r.Tenant, r.ID, ev.Actor, ev.At); err != nil {
				return err
			}
		}
		if endSessions {
			return t.endSessionsOf(r.Tenant, r.ID, ev.At)
		}
		return nil
	})
}

// renewed says whether a change gives the account other one-time codes.
func (t *Tx) renewed(r identity.Record) (bool, error) {
	x, err := t.accountAt(r.Tenant, r.ID, r.Revision)
	return err == nil && !bytes.Equal(x.blob("totp_salt"), r.TOTPSalt), err
}

// rejoin lets the memberships of an account begin anew when a person gives it
// other one-time codes: an admin who resets an approver's account could sign in
// as them, so nothing that waits now can be decided with it.
func (t *Tx) rejoin(r identity.Record, ev audit.Event) error {
	if !strings.HasPrefix(ev.Actor, string(ident.Person)+":") {
		return nil
	}
	x, err := t.reader().byKey(tbAccount, r.Tenant, r.ID)
	if err != nil || bytes.Equal(x.blob("totp_salt"), r.TOTPSalt) {
		return err
	}
	in, err := t.reader().good(tbMember, "WHERE tenant = $1 AND account = $2 ORDER BY team", r.Tenant, r.ID)
	if err != nil {
		return err
	}
	for _, id := range t.reader().ids(tbMember, r.Tenant, "") {
		if strings.HasSuffix(id.key, "/"+r.ID) && !slices.ContainsFunc(in, func(m *row) bool { return m.id() == id }) {
			return t.s.refuse(id, whyRemoved) // put back later, it would be as old as it was
		}
	}
	for _, m := range in {
		if err := t.put(m, cols{"since": ev.At}); err != nil {
			return err
		}
		head, err := t.reader().byKey(tbTeam, r.Tenant, m.text("team"))
		if err != nil {
			return err
		}
		if err := t.auditTeam(head, audit.Event{Type: audit.TeamChanged, Tenant: r.Tenant, At: ev.At, Actor: ev.Actor,
			Fields: map[string]any{"team": head.text("id"), "name": head.text("name"), "why": "the account of " + r.Name + " was reset: it joins anew"}}); err != nil {
			return err
		}
	}
	return nil
}

// updateAccount leaves the one-time codes' counter alone, which only a proof
// moves, unless the codes are new ones: none of those was used.
func (t *Tx) updateAccount(r identity.Record, ev audit.Event) error {
	x, err := t.accountAt(r.Tenant, r.ID, r.Revision)
	if err != nil {
		return err
	}
	if !bytes.Equal(x.blob("totp_salt"), r.TOTPSalt) {
		x.set(cols{"totp_counter": 0})
	}
	x.set(cols{"admin_since": adminSince(x, r, ev)})
	x.add("revision", 1)
	if err := t.put(x, cols{"display_name": r.DisplayName, "roles": roleText(r.Roles), "disabled": r.Disabled, "must_change": r.MustChange,
		"password": r.Password, "totp_salt": r.TOTPSalt, "totp_algorithm": r.Algorithm}); err != nil {
		return err
	}
	return t.auditRow(ev, x, cols{"account": r.ID})
}

// adminSince is since when an account that becomes r has the role admin: anew for
// who gets it again, and, as with memberships, with one-time codes that a person
// gave it.
func adminSince(x *row, r identity.Record, ev audit.Event) time.Time {
	switch {
	case !slices.Contains(r.Roles, ident.Admin):
		return time.Time{}
	case !slices.Contains(strings.Fields(x.text("roles")), string(ident.Admin)),
		!bytes.Equal(x.blob("totp_salt"), r.TOTPSalt) && strings.HasPrefix(ev.Actor, string(ident.Person)+":"):
		return ev.At
	}
	return x.instant("admin_since")
}

// AdminSince is since when an account has the role admin; kind NotFound when it
// has it not, or is disabled.
func (s *Store) AdminSince(ctx context.Context, tenant ident.Tenant, account string) (at time.Time, err error) {
	err = s.read(ctx, func(r *reader) error {
		at, err = r.adminSince(tenant, account)
		return err
	})
	return at, err
}

func (r *reader) adminSince(tenant ident.Tenant, account string) (time.Time, error) {
	a, err := r.byKey(tbAccount, tenant, account)
	if err != nil {
		return time.Time{}, err
	}
	if a.flag("disabled") || a.number("admin_since") == 0 || !slices.Contains(strings.Fields(a.text("roles")), string(ident.Admin)) {
		return time.Time{}, fault.New(fault.NotFound, "the account is not an admin's")
	}
	return a.instant("admin_since"), nil
}

// accountAt reads an account that has to be at a revision.
func (t *Tx) accountAt(tenant ident.Tenant, id string, revision int64) (*row, error) {
	x, err := t.reader().byKey(tbAccount, tenant, id)
	if fault.Is(err, fault.NotFound) || err == nil && x.number("revision") != revision {
		return nil, fault.New(fault.Conflict, "the account has changed in the meantime")
	}
	return x, err
}

func (t *Tx) endSessionsOf(tenant ident.Tenant, account string, now time.Time) error {
	open, err := t.reader().good(tbSession, "WHERE tenant = $1 AND account = $2 AND ended_at = 0", tenant, account)
	if err != nil {
		return err
	}
	for _, x := range open {
		if err := t.put(x, cols{"ended_at": now}); err != nil {
			return err
		}
	}
	unused, err := t.reader().good(tbFactor, "WHERE tenant = $1 AND account = $2 AND used_at = 0", tenant, account)
	if err != nil {
		return err
	}
	if err := t.removeAll(unused); err != nil {
		return err
	}
	pending, err := t.reader().good(tbPending, "WHERE tenant = $1 AND account = $2", tenant, account)
	if err != nil {
		return err
	}
	if err := t.removeAll(pending); err != nil {
		return err
	}
	// What is left was hidden, or is refused: put back as it was, it is worth nothing.
	for _, tb := range []*table{tbSession, tbFactor, tbPending} {
		for _, id := range t.reader().ids(tb, tenant, account) {
			t.rows.change(id, nil)
		}
	}
	return nil
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
		x, err := t.accountAt(p.Tenant, p.Account, p.Revision)
		if err != nil {
			return err
		}
		if x.number("totp_counter") >= p.Counter || x.flag("disabled") {
			return fault.New(fault.Conflict, "the account has changed in the meantime")
		}
		if err := t.put(x, cols{"totp_counter": p.Counter}); err != nil {
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
		if err := t.updateAccount(*c, *p.Event); err != nil {
			return err
		}
		if err := t.endSessionsOf(c.Tenant, c.ID, p.Event.At); err != nil {
			return err
		}
	}
	if r := p.Session; r != nil {
		if _, err := t.insert(tbSession, cols{"tenant": r.Tenant, "id": r.ID, "account": r.Account, "hash": r.Hash, "bind": r.Bind,
			"created_at": r.CreatedAt, "seen_at": r.SeenAt, "expires_at": r.ExpiresAt, "ended_at": r.EndedAt}); err != nil {
			return err
		}
	}
	if f := p.Factor; f != nil {
		var used any = 0
		if p.Used {
			used = f.At
		}
		if _, err := t.insert(tbFactor, cols{"tenant": f.Tenant, "id": f.ID, "account": f.Account, "method": f.Method, "act": f.For, "at": f.At, "used_at": used}); err != nil {
			return err
		}
	}
	if p.Event != nil && p.Change == nil {
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
