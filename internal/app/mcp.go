package app

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/resource"
)

// mcpDoor makes the door of the Model Context Protocol.
func (a *App) mcpDoor() http.Handler {
	c := mcpgateway.Config{
		Callers: identity.Callers{Directory: a.Directory, Now: a.now}, Gate: a.Gate, Runs: mcpRuns{Gate: a.Gate, app: a},
		Changed: a.Rail.Changed, Clean: a.cleanBytes, Waits: a.waitsFor, Issuers: a.issuers,
		PublicURL: a.cfg.PublicURL, Host: mcpgateway.Hosts(a.cfg.PublicURL, a.cfg.tls()), Version: Version, Now: a.now, Log: a.log,
	}
	if a.tuneMCP != nil {
		a.tuneMCP(&c)
	}
	return mcpgateway.New(c)
}

// mcpRuns is the Gate for Workers that name no Mission: theirs is clear where just one
// lists them.
type mcpRuns struct {
	*gate.Gate
	app *App
}

// WorkerRun is the Worker's Run of a Mission, or of its only one.
func (m mcpRuns) WorkerRun(ctx context.Context, who ident.Principal, mission string, input json.RawMessage, start bool) (intent.Run, error) {
	mission, err := m.clear(who, mission)
	if err != nil {
		return intent.Run{}, err
	}
	return m.Gate.WorkerRun(ctx, who, mission, input, start)
}

// Offer is what a Mission offers the Worker, or its only one.
func (m mcpRuns) Offer(ctx context.Context, who ident.Principal, mission string) (intent.Brief, error) {
	mission, err := m.clear(who, mission)
	if err != nil {
		return intent.Brief{}, err
	}
	return m.Gate.Offer(ctx, who, mission)
}

// clear is the Mission that was named, or the one that lists the Worker.
func (m mcpRuns) clear(who ident.Principal, mission string) (string, error) {
	if mission != "" {
		return mission, nil
	}
	w, err := m.app.World(who.Tenant)
	if err != nil {
		return "", err
	}
	for _, r := range w.Catalog.Resources() {
		if x, ok := r.(*resource.Mission); ok && slices.Contains(x.Workers, who.ID) {
			if mission != "" {
				return "", fault.New(fault.Invalid, "several Missions list this Worker").WithHint("name one in the URL: /mcp/MISSION")
			}
			mission = x.Name
		}
	}
	return mission, nil
}

// issuers are whose tokens are taken.
func (a *App) issuers() (out []string) {
	all, err := a.outsiders(a.cfg.Tenant)
	if err != nil {
		return nil
	}
	for _, w := range all {
		if w.JWT != nil && !slices.Contains(out, w.JWT.Issuer) {
			out = append(out, w.JWT.Issuer)
		}
	}
	slices.Sort(out)
	return out
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
