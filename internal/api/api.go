// Package api is the JSON interface: what the CLI, outside Workers and other
// programs use. Every route is one line in a table, from which the OpenAPI
// document is made, and one small function.
//
// It refuses a caller that it can't name, a body with fields that it does not
// know or that is too large, and a Secret's value on the way out: there is no
// route that has one. Errors are application/problem+json with a stable kind.
//
// # Security
//
// Whoever can reach the port can call the routes of unsealing: they are few, bounded
// and slow, see unseal.go. Callers of the others authenticate with a bearer token, never with a cookie, so that a page
// elsewhere can't make a browser call it. A session's token approves nothing: a
// Decision takes a passkey, or the password and a one-time code with it, and so does a backup. A Run's token
// opens the routes of its own Run and no other; an outside Worker's, or one of its
// issuer, starts a Run for it and does nothing else.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// Store is what the API reads besides the services.
type Store interface {
	Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error)
	Runs(ctx context.Context, tenant ident.Tenant, starter string, limit int) ([]intent.Run, error)
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
	Intents(ctx context.Context, tenant ident.Tenant, run string) ([]intent.Intent, error)
	IntentsIn(ctx context.Context, tenant ident.Tenant, state intent.State) ([]intent.Intent, error)
}

// Applier checks and stores resources, all or none.
type Applier interface {
	Apply(ctx context.Context, who ident.Principal, in []resource.Resource, prune, dry bool) ([]resource.Change, error)
}

// Backuper writes a backup of everything to w. An error before the first byte
// means that nothing was written; what was written before a later one is no whole
// backup, and no restore takes it for one.
type Backuper interface {
	Backup(ctx context.Context, who ident.Principal, password, code, why string, w io.Writer) error
}

// Config is what the API is made of; every field is needed.
type Config struct {
	Tenant    ident.Tenant
	Directory *identity.Directory
	Gate      *gate.Gate
	Desk      *decision.Desk
	Incidents *incident.Desk
	Vault     *vault.Vault
	Rail      *explain.Rail
	Audit     audit.Reader
	// AuditKeeper keeps the audit log.
	AuditKeeper AuditKeeper
	// AuditPruner drops the beginning of the audit log.
	AuditPruner AuditPruner
	// Retainer erases bodies, and keeps them.
	Retainer Retainer
	// Integrator knows what systems offer, and settles what they changed.
	Integrator Integrator
	// Authorizer has people authorise Connections.
	Authorizer Authorizer
	// AuditAsker searches it.
	AuditAsker AuditAsker
	Store      Store
	Applier    Applier
	Keeper     Keeper
	Backuper   Backuper
	// ChannelKeeper knows the Channels.
	ChannelKeeper ChannelKeeper
	// Rotation takes rotations of Secrets from step to step; Rotator is the program's
	// part in it.
	Rotation *rotation.Machine
	Rotator  Rotator
	Now      func() time.Time
	Log      *slog.Logger
	// Health says why the server should get no requests, or nil; in fixed words,
	// since strangers read it.
	Health  func() error
	Version string
}

// API is the handler of everything under /v1, and of the health routes.
type API struct {
	Config
	mux      *http.ServeMux
	routes   []route
	attempts attempts
	watching watching
}

// New makes the handler.
func New(c Config) *API {
	a := &API{Config: c, mux: http.NewServeMux()}
	a.health()
	a.unsealing()
	a.sessions()
	a.missions()
	a.handIn()
	a.runs()
	a.workers()
	a.pendings()
	a.outsiders()
	a.decisions()
	a.stops()
	a.incidents()
	a.secrets()
	a.rotations()
	a.backends()
	a.seals()
	a.keys()
	a.accounts()
	a.passkeys()
	a.resources()
	a.policy()
	a.auditLog()
	a.auditAsk()
	a.auditPrune()
	a.retention()
	a.backups()
	a.channels()
	a.integrations()
	a.connections()
	a.mux.HandleFunc("GET /v1/openapi.json", a.serveOpenAPI)
	a.mux.HandleFunc("/v1/", a.noRoute)
	return a
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	a.mux.ServeHTTP(w, r)
}
