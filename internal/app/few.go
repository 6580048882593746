package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
)

// Few is a Team with fewer members who may decide than it is asked for: what
// asks for them waits until it expires.
type Few struct {
	By   catalog.Key // the Policy or the Mission that asks
	Team string
	Text string
}

// TooFew lists what asks a Team for more people than it has. may says whether a
// member may decide. It is no error: people may join before anything waits.
func TooFew(w gate.World, may func(member string) bool) []Few {
	var out []Few
	look := func(by catalog.Key, what, team string, count int) {
		t, ok := w.Catalog.Team(team)
		if !ok {
			return
		}
		have := len(slices.DeleteFunc(slices.Clone(t.Members), func(m string) bool { return !may(m) }))
		if count = max(count, 1); have < count {
			out = append(out, Few{by, team, fmt.Sprintf("%s asks for %d of the Team %s, which has %d who may decide", what, count, team, have)})
		}
	}
	for _, s := range w.Policy.Statements() {
		for _, a := range s.Approvers {
			look(catalog.Key{Kind: resource.KindPolicy, Name: s.Policy}, "the statement "+s.ID, a.Team, a.Count)
		}
	}
	for _, r := range w.Catalog.Resources() {
		if m, ok := r.(*resource.Mission); ok {
			for _, d := range m.Decisions {
				look(keyOf(m), "its rule for "+d.Connection, d.Team, d.Count)
			}
		}
	}
	return out
}

// warnFew says of each resource that is applied, the asking one or the Team, that
// the Team has too few people.
func (a *App) warnFew(ctx context.Context, t ident.Tenant, w gate.World, report []resource.Change) {
	may := func(name string) bool {
		acc, err := a.Directory.AccountNamed(ctx, t, name)
		if err != nil {
			return !fault.Is(err, fault.NotFound) // what can't be read is no reason to warn
		}
		return !acc.Disabled && slices.Contains(acc.Roles, ident.Approver)
	}
	for _, f := range TooFew(w, may) {
		at := func(k catalog.Key) int {
			return slices.IndexFunc(report, func(c resource.Change) bool { return c.Kind == k.Kind && c.Name == k.Name && c.Change != "removed" })
		}
		i, text := at(f.By), f.Text
		if i < 0 {
			i, text = at(catalog.Key{Kind: resource.KindTeam, Name: f.Team}), fmt.Sprintf("%s %s: %s", f.By.Kind, f.By.Name, f.Text)
		}
		if i < 0 {
			continue // neither is being applied
		}
		if report[i].Warning != "" {
			text = report[i].Warning + "; " + text
		}
		report[i].Warning = text
	}
}

// checkTeams refuses, before anything is stored, Teams that could not be stored:
// a dry run says what the apply would. Kind Invalid.
func (a *App) checkTeams(ctx context.Context, t ident.Tenant, in []resource.Resource) error {
	for _, r := range in {
		team, ok := r.(*resource.Team)
		if !ok {
			continue
		}
		if err := identity.CheckTeam(*team); err != nil {
			return err
		}
		for _, m := range team.Members {
			if _, err := a.Directory.AccountNamed(ctx, t, m); fault.Is(err, fault.NotFound) {
				return fault.Newf(fault.Invalid, "the Team %s names %s, who has no account", team.Name, fault.Quote(m)).
					WithHint("create the account first, or correct the name")
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// warnPasskeys says at the start that verdicts take passkeys and nobody who may
// decide has one: then nothing can be decided, the glass included.
func (a *App) warnPasskeys(ctx context.Context) {
	if !a.cfg.OnlyPasskeys {
		return
	}
	accounts, err := a.store.Accounts(ctx, a.cfg.Tenant)
	for _, acc := range accounts {
		if err != nil || acc.Disabled || !slices.Contains(acc.Roles, ident.Approver) {
			continue
		}
		var keys []identity.PasskeyRow
		if keys, err = a.store.Passkeys(ctx, a.cfg.Tenant, acc.ID); len(keys) > 0 {
			return
		}
	}
	if err != nil {
		a.log.WarnContext(ctx, "who has a passkey can't be read", slog.Any("kind", fault.KindOf(err)))
		return
	}
	a.log.WarnContext(ctx, "verdicts take passkeys alone, and no approver has one: nothing can be decided until somebody enrols one (sallyport account passkey-link NAME)")
}
