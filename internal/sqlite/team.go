package sqlite

import (
	"context"
	"slices"
	"strings"
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
	r := t.reader()
	head, err := r.teamHead(tenant, team.Name)
	created := fault.Is(err, fault.NotFound)
	if created {
		head, err = t.insert(tbTeam, cols{"tenant": tenant, "id": ident.New("team"), "name": team.Name, "created_at": now})
	}
	if err != nil {
		return identity.Team{}, err
	}
	was, err := r.team(head)
	if err != nil {
		return identity.Team{}, err
	}
	added, removed, err := t.changeMembers(was, want, now)
	if err != nil {
		return identity.Team{}, err
	}
	if created || len(added)+len(removed) > 0 {
		if err := t.auditTeam(head, audit.Event{Type: audit.TeamChanged, Tenant: tenant, At: now, Actor: actor,
			Fields: map[string]any{"team": was.ID, "name": team.Name, "members": want, "added": added, "removed": removed}}); err != nil {
			return identity.Team{}, err
		}
	}
	return r.team(head)
}

// auditTeam appends the entry of a Team's change, with its fingerprint.
func (t *Tx) auditTeam(head *row, ev audit.Event) error {
	members, err := t.reader().members(head)
	if err != nil {
		return err
	}
	return t.auditWith(ev, cols{"row": t.teamPrint(append(members, head))})
}

func (t *Tx) accountIDs(tenant ident.Tenant, team resource.Team) ([]string, error) {
	ids := make([]string, len(team.Members))
	for i, name := range team.Members {
		r, err := t.reader().one(tbAccount, "WHERE tenant = $1 AND name = $2", tenant, name)
		if fault.Is(err, fault.NotFound) {
			return nil, fault.Newf(fault.Invalid, "the Team %s names %s, who has no account", team.Name, fault.Quote(name)).
				WithHint("create the account first, or correct the name")
		}
		if err != nil {
			return nil, err
		}
		ids[i] = r.text("id")
	}
	return ids, nil
}

// changeMembers leaves who stays alone, so that they keep the time of joining.
func (t *Tx) changeMembers(was identity.Team, want []string, now time.Time) (added, removed []string, err error) {
	for _, m := range was.Members {
		if slices.Contains(want, m.Account) {
			continue
		}
		removed = append(removed, m.Account)
		r, err := t.reader().byKey(tbMember, was.Tenant, was.ID, m.Account)
		if err != nil {
			return nil, nil, err
		}
		if err := t.remove(r); err != nil {
			return nil, nil, err
		}
	}
	for _, account := range want {
		if !slices.ContainsFunc(was.Members, func(m identity.Member) bool { return m.Account == account }) {
			added = append(added, account)
			if _, err := t.insert(tbMember, cols{"tenant": was.Tenant, "team": was.ID, "account": account, "since": now}); err != nil {
				return nil, nil, err
			}
		}
	}
	return added, removed, nil
}

// RemoveTeam forgets a Team; kind NotFound.
func (s *Store) RemoveTeam(ctx context.Context, tenant ident.Tenant, name, actor string, now time.Time) error {
	return s.write(ctx, func(t *Tx) error { return t.removeTeam(tenant, name, actor, now) })
}

// removeTeam does so within somebody else's transaction.
func (t *Tx) removeTeam(tenant ident.Tenant, name, actor string, now time.Time) error {
	head, err := t.reader().teamHead(tenant, name)
	if err != nil {
		return err
	}
	if _, err := t.reader().team(head); err != nil {
		return err
	}
	return t.forgetTeam(head, actor, now)
}

// forgetTeam removes a Team and its members, whatever the rows are.
func (t *Tx) forgetTeam(head *row, actor string, now time.Time) error {
	tenant, id := head.tenant(), head.text("id")
	members, err := t.reader().scan(tbMember, "WHERE tenant = $1 AND team = $2 ORDER BY account", tenant, id)
	if err != nil {
		return err
	}
	var removed []string
	for _, m := range members {
		removed = append(removed, m.text("account"))
	}
	if err := t.forgetTeamRows(head); err != nil {
		return err
	}
	return t.Audit(audit.Event{Type: audit.TeamChanged, Tenant: tenant, At: now, Actor: actor,
		Fields: map[string]any{"team": id, "name": head.text("name"), "removed": removed}})
}

func (t *Tx) forgetTeamRows(head *row) error {
	if err := t.forget(tbMember, "WHERE tenant = $1 AND team = $2", head.tenant(), head.text("id")); err != nil {
		return err
	}
	return t.remove(head)
}

// Team reads one by name; kind NotFound.
func (s *Store) Team(ctx context.Context, tenant ident.Tenant, name string) (out identity.Team, err error) {
	err = s.read(ctx, func(r *reader) error {
		head, err := r.teamHead(tenant, name)
		if err != nil {
			return err
		}
		out, err = r.team(head)
		return err
	})
	return out, err
}

// Teams lists a tenant's by name. One that is refused is left out: nobody is in it.
func (s *Store) Teams(ctx context.Context, tenant ident.Tenant) (out []identity.Team, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		heads, err := r.good(tbTeam, "WHERE tenant = $1 ORDER BY name", tenant)
		if err != nil {
			return err
		}
		for _, h := range heads {
			team, err := r.team(h)
			if err == nil {
				out = append(out, team)
			} else if err = r.leaveOut(err); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (r *reader) teamHead(tenant ident.Tenant, name string) (*row, error) {
	return r.one(tbTeam, "WHERE tenant = $1 AND name = $2", tenant, name)
}

// members are the rows of who is in a Team. One that was removed is missed.
func (r *reader) members(head *row) ([]*row, error) {
	rows, err := r.all(tbMember, "WHERE tenant = $1 AND team = $2", head.tenant(), head.text("id"))
	if err != nil {
		return nil, err
	}
	have := map[rowID]bool{}
	for _, m := range rows {
		have[m.id()] = true
	}
	for _, id := range r.ids(tbMember, head.tenant(), head.text("id")) {
		if !have[id] {
			return nil, r.s.refuse(id, whyRemoved)
		}
	}
	return rows, nil
}

// team is a Team with its members by name.
func (r *reader) team(head *row) (identity.Team, error) {
	if err := r.check(head); err != nil {
		return identity.Team{}, err
	}
	out := identity.Team{Tenant: head.tenant(), ID: head.text("id"), Name: head.text("name")}
	members, err := r.members(head)
	if err != nil {
		return identity.Team{}, err
	}
	for _, m := range members {
		a, err := r.byKey(tbAccount, out.Tenant, m.text("account"))
		if err != nil {
			if err = r.leaveOut(err); err != nil {
				return identity.Team{}, err
			}
			continue // who is refused is nobody, and the others are still a Team
		}
		out.Members = append(out.Members, identity.Member{Account: m.text("account"), Name: a.text("name"), Since: m.instant("since")})
	}
	slices.SortFunc(out.Members, func(x, y identity.Member) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// MemberSince is when an account joined the Team of that name or id; kind
// NotFound when it is not in it, is disabled, or has not the role approver. A name
// has no underscore and an id has one, so neither can pass for the other.
func (s *Store) MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (at time.Time, err error) {
	err = s.read(ctx, func(r *reader) error {
		at = time.Time{}
		head, err := r.one(tbTeam, "WHERE tenant = $1 AND (id = $2 OR name = $2)", tenant, team)
		if err != nil {
			return err
		}
		at, err = r.memberSince(tenant, head.text("id"), account)
		return err
	})
	return at, err
}

// memberSince is MemberSince of a Team's id.
func (r *reader) memberSince(tenant ident.Tenant, team, account string) (time.Time, error) {
	m, err := r.byKey(tbMember, tenant, team, account)
	if err != nil {
		return time.Time{}, err
	}
	a, err := r.byKey(tbAccount, tenant, account)
	if err != nil {
		return time.Time{}, err
	}
	if a.flag("disabled") || !slices.Contains(strings.Fields(a.text("roles")), string(ident.Approver)) {
		return time.Time{}, fault.New(fault.NotFound, "the account is disabled, or not an approver's")
	}
	return m.instant("since"), nil
}
