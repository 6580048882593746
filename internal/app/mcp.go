package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
)

// mcpDoor makes the door of the Model Context Protocol.
func (a *App) mcpDoor() http.Handler {
	r := mcpRuns{Gate: a.Gate, app: a}
	return mcpgateway.New(mcpgateway.Config{
		Callers: r, Gate: r, Runs: r, Changed: a.Rail.Changed, Clean: a.cleanBytes, Waits: a.waitsFor,
		PublicURL: a.cfg.PublicURL, Host: mcpgateway.Hosts(a.cfg.PublicURL, a.cfg.tls()), Version: Version, Now: a.now, Log: a.log,
	})
}

// mcpRuns is the Gate as that door needs it.
type mcpRuns struct {
	*gate.Gate
	app *App
}

// Caller takes Runs' tokens. A person's session opens nothing here: who holds it
// could decide.
func (m mcpRuns) Caller(ctx context.Context, bearer string) (ident.Principal, error) {
	if !strings.HasPrefix(bearer, identity.RunPrefix) {
		return ident.Principal{}, fault.New(fault.Unauthenticated, "the token is not a Run's")
	}
	return m.app.Directory.Authenticate(ctx, bearer, m.app.now())
}

// Pending are the Run's open Intents.
func (m mcpRuns) Pending(ctx context.Context, who ident.Principal) ([]intent.Intent, error) {
	its, err := m.app.store.Intents(ctx, who.Tenant, who.ID)
	if err != nil {
		return nil, err
	}
	var out []intent.Intent
	for _, it := range its {
		if it.State.Open() {
			out = append(out, it)
		}
	}
	return out, nil
}

// Withdraw is not to be had.
func (m mcpRuns) Withdraw(context.Context, ident.Principal, string) (intent.Intent, error) {
	return intent.Intent{}, fault.New(fault.Conflict, "it can't be withdrawn here")
}

// WorkerRun is not to be had: only Runs have tokens.
func (m mcpRuns) WorkerRun(context.Context, ident.Principal, string, json.RawMessage, bool) (intent.Run, error) {
	return intent.Run{}, fault.New(fault.Denied, "only a Run has this door")
}

// waitsFor says who has to approve an Intent.
func (a *App) waitsFor(ctx context.Context, it intent.Intent) string {
	d, err := a.store.DecisionOf(ctx, it.Tenant, it.ID)
	if err != nil || len(d.Needs) == 0 {
		return "a person's Decision"
	}
	return "approval by " + strings.Join(d.Teams(), " and ")
}

// cleanBytes takes what is a Secret now out of an answer. Denied: that breaks what
// holds the answer together.
func (a *App) cleanBytes(t ident.Tenant, b []byte) ([]byte, error) {
	out, known := a.Vault.Scrub(t).Bytes(b)
	if known.Found() && !json.Valid(out) {
		return nil, fault.New(fault.Denied, "the answer can't be shown")
	}
	return out, nil
}
