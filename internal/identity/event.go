package identity

import (
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/ident"
)

func accountCreated(actor ident.Principal, a Account, now time.Time) audit.Event {
	return audit.Event{Type: audit.AccountCreated, Tenant: a.Tenant, At: now, Actor: actor.String(),
		Fields: map[string]any{"account": a.ID, "name": a.Name, "roles": roleNames(a.Roles)}}
}

// accountChanged says what was changed ("roles", "reset", "password", "disabled",
// "enabled") and the roles as they are then.
func accountChanged(actor ident.Principal, a Account, what string, now time.Time) audit.Event {
	return audit.Event{Type: audit.AccountChanged, Tenant: a.Tenant, At: now, Actor: actor.String(),
		Fields: map[string]any{"account": a.ID, "name": a.Name, "roles": roleNames(a.Roles), "state": what}}
}

func sessionStarted(a Account, s SessionRow, now time.Time) audit.Event {
	return audit.Event{Type: audit.SessionStarted, Tenant: a.Tenant, At: now, Actor: a.Principal().String(),
		Fields: map[string]any{"account": a.ID, "session": s.ID, "method": MethodTOTP, "expires": s.ExpiresAt}}
}

func sessionEnded(s SessionRow, now time.Time) audit.Event {
	return audit.Event{Type: audit.SessionEnded, Tenant: s.Tenant, At: now, Actor: "person:" + s.Account,
		Fields: map[string]any{"account": s.Account, "session": s.ID, "why": "signed out"}}
}

// sessionFailed names the account where there is one, and never the name that
// was typed: people type passwords into that field. Nobody acted, as far as is
// known, so the actor is the product.
func sessionFailed(r Record, a attempt, now time.Time) audit.Event {
	account, why := r.ID, a.purpose
	if !a.known {
		account = ""
	} else if r.outdated() != nil {
		why += ", of an account that was made outside FIPS 140 mode" // for the admin, who resets it
	}
	return audit.Event{Type: audit.SessionFailed, Tenant: r.Tenant, At: now, Actor: "system:identity",
		Fields: map[string]any{"account": account, "method": MethodTOTP, "why": why}}
}

func roleNames(roles []ident.Role) []string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = string(r)
	}
	return out
}
