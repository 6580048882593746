package identity

import (
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// maxMembers bounds a Team: an audit entry names them all.
const maxMembers = 256

// CheckTeam says what is wrong with a Team's members by themselves. Kind Invalid.
func CheckTeam(t resource.Team) error {
	if err := ident.CheckName(t.Name); err != nil {
		return fault.Wrap(fault.Invalid, "checking the Team's name", err)
	}
	if len(t.Members) > maxMembers {
		return fault.Newf(fault.Invalid, "the Team %s has more than %d members", t.Name, maxMembers)
	}
	seen := map[string]bool{}
	for _, m := range t.Members {
		if err := ident.CheckName(m); err != nil {
			return fault.Wrap(fault.Invalid, "checking a member of the Team "+t.Name, err)
		}
		if seen[m] {
			return fault.Newf(fault.Invalid, "the Team %s names %s twice", t.Name, m)
		}
		seen[m] = true
	}
	return nil
}

// governs says whether actor may change the tenant's Teams: who applies
// resources, or the product itself.
func governs(actor ident.Principal, tenant ident.Tenant) error {
	if !actor.Valid() || actor.Tenant != tenant ||
		(actor.Kind != ident.System && !actor.Has(ident.Builder) && !actor.Has(ident.Admin)) {
		return fault.New(fault.Denied, "only a builder or an admin of the tenant may change Teams")
	}
	return nil
}

// ApplyTeam creates or changes a Team. Its id is given once; who stays in it
// keeps the time of joining, who comes back joins anew. Errors: Denied, Invalid
// (also for a member without an account).
func (d *Directory) ApplyTeam(ctx context.Context, actor ident.Principal, tenant ident.Tenant, t resource.Team, now time.Time) (Team, error) {
	if err := governs(actor, tenant); err != nil {
		return Team{}, err
	}
	if err := CheckTeam(t); err != nil {
		return Team{}, err
	}
	return d.store.ApplyTeam(ctx, tenant, t, actor.String(), now)
}

// RemoveTeam forgets a Team. One of the same name that is applied later is
// another Team: what waits for the old one waits for nobody. Errors: Denied,
// NotFound.
func (d *Directory) RemoveTeam(ctx context.Context, actor ident.Principal, tenant ident.Tenant, name string, now time.Time) error {
	if err := governs(actor, tenant); err != nil {
		return err
	}
	return d.store.RemoveTeam(ctx, tenant, name, actor.String(), now)
}

// Team is one Team by name. NotFound when the tenant has none.
func (d *Directory) Team(ctx context.Context, tenant ident.Tenant, name string) (Team, error) {
	return d.store.Team(ctx, tenant, name)
}

// Teams lists the tenant's Teams by name.
func (d *Directory) Teams(ctx context.Context, tenant ident.Tenant) ([]Team, error) {
	return d.store.Teams(ctx, tenant)
}

// MemberSince is when an account joined a Team, by the Team's name or id. It is
// NotFound when the account is not in it, or is disabled.
func (d *Directory) MemberSince(ctx context.Context, tenant ident.Tenant, team, account string) (time.Time, error) {
	return d.store.MemberSince(ctx, tenant, team, account)
}
