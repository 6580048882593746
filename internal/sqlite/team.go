package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
)

// ApplyTeam creates or changes a Team; see identity.Teams.
func (s *Store) ApplyTeam(ctx context.Context, tenant ident.Tenant, team resource.Team, actor string, now time.Time) (out identity.Team, err error) {
	err = s.write(ctx, func(t *Tx) error {
		out, err = t.applyTeam(tenant, team, actor, now)
		return err
	})
	return out, err
}

// applyTeam does so within somebody else's transaction.
func (t *Tx) applyTeam(tenant ident.Tenant, team resource.Team, actor string, now time.Time) (identity.Team, error) {
	want, err := t.accountIDs(tenant, team)
	if err != nil {
		return identity.Team{}, err
	}
	id, err := t.teamID(tenant, team.Name)
	created := fault.Is(err, fault.NotFound)
	if created {
		id = ident.New("team")
		_, err = t.Exec(`INSERT INTO team (tenant, id, name, created_at) VALUES ($1, $2, $3, $4)`, tenant, id, team.Name, ms(now))
	}
	if err != nil {
		return identity.Team{}, err
	}
	was, err := readTeam(tenant, id, team.Name, t.Query)
	if err != nil {
		return identity.Team{}, err
	}
	added, removed, err := t.changeMembers(was, want, now)
	if err != nil {
		return identity.Team{}, err
	}
	if created || len(added)+len(removed) > 0 {
		if err := t.Audit(audit.Event{Type: audit.TeamChanged, Tenant: tenant, At: now, Actor: actor,
			Fields: map[string]any{"team": id, "name": team.Name, "members": want, "added": added, "removed": removed}}); err != nil {
			return identity.Team{}, err
		}
	}
	return readTeam(tenant, id, team.Name, t.Query)
}

func (t *Tx) accountIDs(tenant ident.Tenant, team resource.Team) ([]string, error) {
	ids := make([]string, len(team.Members))
	for i, name := range team.Members {
		err := t.QueryRow(`SELECT id FROM account WHERE tenant = $1 AND name = $2`, tenant, name).Scan(&ids[i])
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.Newf(fault.Invalid, "the Team %s names %s, who has no account", team.Name, fault.Quote(name)).
				WithHint("create the account first, or correct the name")
		}
		if err != nil {
			return nil, storeErr("reading the Team's members", err)
		}
	}
	return ids, nil
}

// changeMembers leaves who stays alone, so that they keep the time of joining.
func (t *Tx) changeMembers(was identity.Team, want []string, now time.Time) (added, removed []string, err error) {
	for _, m := range was.Members {
		if !slices.Contains(want, m.Account) {
			removed = append(removed, m.Account)
			if _, err := t.Exec(`DELETE FROM team_member WHERE tenant = $1 AND team = $2 AND account = $3`, was.Tenant, was.ID, m.Account); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, account := range want {
		if !slices.ContainsFunc(was.Members, func(m identity.Member) bool { return m.Account == account }) {
			added = append(added, account)
			if _, err := t.Exec(`INSERT INTO team_member (tenant, team, account, since) VALUES ($1, $2, $3, $4)`, was.Tenant, was.ID, account, ms(now)); err != nil {
				return nil, nil, err
			}
		}
	}
	return added, removed, nil
}

func (t *Tx) teamID(tenant ident.Tenant, name string) (id string, err error) {
	err = t.QueryRow(`SELECT id FROM team WHERE tenant = $1 AND name = $2`, tenant, name).Scan(&id)
	return id, storeErr("reading the Team", err)
}

// RemoveTeam forgets a Team; kind NotFound.
func (s *Store) RemoveTeam(ctx context.Context, tenant ident.Tenant, name, actor string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error { return t.removeTeam(tenant, name, actor, now) })
}

// removeTeam does so within somebody else's transaction.
func (t *Tx) removeTeam(tenant ident.Tenant, name, actor string, now time.Time) error {
	id, err := t.teamID(tenant, name)
	if err != nil {
		return err
	}
	was, err := readTeam(tenant, id, name, t.Query)
	if err != nil {
		return err
	}
	_, removed, err := t.changeMembers(was, nil, now)
	if err != nil {
		return err
	}
	if err := t.ExecOne("the Team", `DELETE FROM team WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
		return err
	}
	return t.Audit(audit.Event{Type: audit.TeamChanged, Tenant: tenant, At: now, Actor: actor,
		Fields: map[string]any{"team": id, "name": name, "removed": removed}})
}

// Team reads one by name; kind NotFound.
func (s *Store) Team(ctx context.Context, tenant ident.Tenant, name string) (identity.Team, error) {
	var id string
	if err := s.ro.QueryRowContext(ctx, `SELECT id FROM team WHERE tenant = $1 AND name = $2`, tenant, name).Scan(&id); err != nil {
		return identity.Team{}, storeErr("reading the Team", err)
	}
	return readTeam(tenant, id, name, s.reader(ctx))
}

// Teams lists a tenant's by name.
func (s *Store) Teams(ctx context.Context, tenant ident.Tenant) ([]identity.Team, error) {
	heads, err := s.teamHeads(ctx, tenant)
	if err != nil {
		return nil, err
	}
	for i, h := range heads {
		if heads[i], err = readTeam(tenant, h.ID, h.Name, s.reader(ctx)); err != nil {
			return nil, err
		}
	}
	return heads, nil
}

func (s *Store) teamHeads(ctx context.Context, tenant ident.Tenant) ([]identity.Team, error) {
	rows, err := s.ro.QueryContext(ctx, `SELECT id, name FROM team WHERE tenant = $1 ORDER BY name`, tenant)
	if err != nil {
		return nil, storeErr("listing Teams", err)
	}
	defer rows.Close()
	var out []identity.Team
	for rows.Next() {
		var h identity.Team
		if err := rows.Scan(&h.ID, &h.Name); err != nil {
			return nil, storeErr("listing Teams", err)
		}
		out = append(out, h)
	}
	return out, storeErr("listing Teams", rows.Err())
}

// query reads rows, in a transaction or outside of one.
type query func(text string, args ...any) (*sql.Rows, error)

func (s *Store) reader(ctx context.Context) query {
	return func(text string, args ...any) (*sql.Rows, error) {
		r, err := s.ro.QueryContext(ctx, text, args...)
		return r, storeErr("reading", err)
	}
}

func readTeam(tenant ident.Tenant, id, name string, q query) (identity.Team, error) {
	rows, err := q(`SELECT m.account, a.name, m.since FROM team_member m JOIN account a ON a.tenant = m.tenant AND a.id = m.account
		WHERE m.tenant = $1 AND m.team = $2 ORDER BY a.name`, tenant, id)
	if err != nil {
		return identity.Team{}, err
	}
	defer rows.Close()
	out := identity.Team{Tenant: tenant, ID: id, Name: name}
	for rows.Next() {
		var m identity.Member
		var since int64
		if err := rows.Scan(&m.Account, &m.Name, &since); err != nil {
			return identity.Team{}, storeErr("reading the Team", err)
		}
		m.Since = fromMS(since)
		out.Members = append(out.Members, m)
	}
	return out, storeErr("reading the Team", rows.Err())
}

// MemberSince is when an account joined the Team of that name or id; kind
// NotFound when it is not in it, or is disabled. A name has no underscore and an
// id has one, so neither can pass for the other.
func (s *Store) MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error) {
	var at int64
	err := s.ro.QueryRowContext(ctx, `SELECT m.since FROM team_member m
		JOIN team t ON t.tenant = m.tenant AND t.id = m.team JOIN account a ON a.tenant = m.tenant AND a.id = m.account
		WHERE m.tenant = $1 AND (t.id = $2 OR t.name = $2) AND m.account = $3 AND a.disabled = 0`, tenant, team, account).Scan(&at)
	return fromMS(at), storeErr("reading a membership", err)
}
