// Package console is the pages: sign-in, the Portal, Runs with their live
// Explain rail, the Decision Queue, incidents, Secrets, the audit log. It shows what the
// services know and hands them what people say; it decides nothing itself.
//
// It works without JavaScript: every page is HTML from the server, every action
// is a form. One script adds new Observations to an open rail, one encrypts a
// Secret's value before it is sent, one asks for a passkey.
//
// It refuses a form from another site, a session of anything but a person of its
// tenant, a verdict without a passkey or password and one-time code, and to show a Secret's
// value, also one that somebody has just typed.
//
// # Security
//
// Foreign text (a Worker's words, a system's answer, a form's input) is text in
// every place, escaped by html/template, with what is invisible or changes the
// direction of reading made visible. Pages carry a policy under which nothing
// inline, nothing from elsewhere and no frame works; a page has at most one
// script, by a nonce, and at most one Trusted Types policy. The session's cookie is out of scripts' reach,
// and a session approves nothing: a verdict takes a fresh factor, and the digest
// of exactly the action that the page showed.
package console

import (
	"context"
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
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// Store is what the pages read besides the services.
type Store interface {
	Run(ctx context.Context, tenant ident.Tenant, id string) (intent.Run, error)
	Runs(ctx context.Context, tenant ident.Tenant, starter string, limit int) ([]intent.Run, error)
	// LastIntents lists a Run's last ones, and those that wait for a person; all is how
	// many it has.
	LastIntents(ctx context.Context, tenant ident.Tenant, run string, last int) (its []intent.Intent, all int, err error)
	IntentsIn(ctx context.Context, tenant ident.Tenant, state intent.State) ([]intent.Intent, error)
}

// Config is what the console is made of; every field is needed.
type Config struct {
	Tenant    ident.Tenant
	Directory *identity.Directory
	Gate      *gate.Gate
	Desk      *decision.Desk
	Incidents *incident.Desk
	Rotation  *rotation.Machine
	Vault     *vault.Vault
	Rail      *explain.Rail
	Audit     audit.Reader
	Store     Store
	Systems   Systems
	// Ask searches the audit log; a person may be named as their account is.
	Ask func(ctx context.Context, t ident.Tenant, q audit.Query) (audit.Answer, error)
	Now func() time.Time
	Log *slog.Logger
	// Secure says that people reach the console over TLS: cookies are then
	// bound to it and to this host.
	Secure bool
}

// Console is the handler of all pages.
type Console struct {
	Config
	mux     *http.ServeMux
	guarded http.Handler
	streams chan struct{} // a place for each open event stream
}

// New makes the handler, to be mounted at "/".
func New(c Config) http.Handler {
	s := &Console{Config: c, mux: http.NewServeMux(), streams: make(chan struct{}, maxStreams)}
	s.routes()
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(s.foreignForm))
	s.guarded = cross.Handler(s.mux)
	return s
}

// routes is every page and form, with who may use it.
func (c *Console) routes() {
	c.mux.HandleFunc("GET /assets/{hash}/{name}", serveAsset)
	c.handle("GET /signin", anybody, (*visit).signInForm)
	c.handle("POST /signin", anybody, (*visit).signIn)
	c.handle("POST /signout", anybody, (*visit).signOut)
	c.handle("GET /password", signedIn, (*visit).passwordForm)
	c.handle("POST /password", signedIn, (*visit).changePassword)
	c.handle("GET /{$}", signedIn, (*visit).home)

	c.handle("GET /portal", with(ident.Requester), (*visit).portal)
	c.handle("GET /portal/{mission}", with(ident.Requester), (*visit).missionForm)
	c.handle("POST /portal/{mission}", with(ident.Requester), (*visit).startRun)

	c.handle("GET /runs", signedIn, (*visit).runs)
	c.handle("GET /runs/{run}", signedIn, (*visit).showRun)
	c.handle("GET /runs/{run}/replay", signedIn, (*visit).showReplay)
	c.handle("GET /runs/{run}/events", signedIn, (*visit).events)
	c.handle("POST /runs/{run}/stop", signedIn, (*visit).stopRun)

	c.handle("GET /decisions", deciders, (*visit).queue)
	c.handle("GET /decisions/events", deciders, (*visit).queueEvents)
	c.handle("GET /decisions/{decision}", deciders, (*visit).showDecision)
	c.handle("POST /decisions/{decision}", with(ident.Approver), (*visit).decide)
	c.handle("GET /decisions/together", with(ident.Approver), (*visit).showTogether)
	c.handle("POST /decisions/together", with(ident.Approver), (*visit).decideTogether)
	c.handle("POST /decisions/{decision}/edit", with(ident.Approver), (*visit).edit)
	c.handle("POST /decisions/{decision}/questions", with(ident.Approver), (*visit).ask)
	c.handle("POST /decisions/{decision}/break-glass", with(ident.Admin), (*visit).breakGlass)
	c.handle("POST /runs/{run}/questions/{question}", signedIn, (*visit).answer)
	c.handle("POST /decisions/{decision}/challenge", with(ident.Approver, ident.Admin), (*visit).challengeVerdict)
	c.handle("GET /passkeys", signedIn, (*visit).passkeys)
	c.handle("POST /passkeys", signedIn, (*visit).enrolPasskey)
	c.handle("POST /passkeys/challenge", signedIn, (*visit).beginPasskey)
	c.handle("POST /passkeys/{passkey}/remove", signedIn, (*visit).removePasskey)
	c.handle("GET /unknown", with(ident.Admin, ident.Auditor), (*visit).unknown)
	c.handle("POST /unknown/{intent}", with(ident.Admin), (*visit).resolve)

	c.handle("GET /stops", deciders, (*visit).showStops)
	c.handle("POST /stops", with(ident.Admin, ident.Approver), (*visit).stop)
	c.handle("POST /stops/resume", with(ident.Admin), (*visit).resume)
	c.handle("GET /incidents", incidentReaders, (*visit).incidents)
	c.handle("GET /incidents/{incident}", incidentReaders, (*visit).showIncident)
	c.handle("POST /incidents/{incident}/{action}", with(ident.Admin), (*visit).changeIncident)

	c.handle("GET /secrets", with(ident.Admin, ident.Builder, ident.Auditor), (*visit).secrets)
	c.handle("POST /secrets", with(ident.Admin), (*visit).storeSecret)
	c.handle("GET /intake-key", with(ident.Admin), (*visit).intakeKey)
	c.handle("GET /secrets/{secret}", with(ident.Admin, ident.Builder, ident.Auditor), (*visit).showSecret)
	c.handle("POST /secrets/{secret}", with(ident.Admin), (*visit).describeSecret)
	c.handle("GET /secrets/{secret}/{action}", with(ident.Admin), (*visit).confirmSecret)
	c.handle("POST /secrets/{secret}/{action}", with(ident.Admin), (*visit).changeSecret)
	c.handle("GET /rotations", connectionReaders, (*visit).rotations)
	c.handle("GET /rotations/{rotation}", connectionReaders, (*visit).showRotation)
	c.handle("POST /rotations/{rotation}", with(ident.Admin), (*visit).resolveRotation)
	c.handle("GET /leases", with(ident.Admin, ident.Auditor), (*visit).leases)
	c.handle("GET /changes", connectionReaders, (*visit).toolChanges)
	c.handle("GET /changes/{change}", connectionReaders, (*visit).showToolChange)
	c.handle("POST /changes/{change}", with(ident.Builder), (*visit).settleTool)
	c.handle("GET /connections", connectionReaders, (*visit).connections)
	c.handle("GET /connections/{connection}", connectionReaders, (*visit).showConnection)
	c.handle("POST /connections/{connection}/authorize", with(ident.Admin), (*visit).authorize)
	c.handle("GET /oauth/callback", anybody, (*visit).callback)
	c.mux.HandleFunc("GET /oauth/client.json", c.clientDocument)
	c.handle("GET /audit/query", with(ident.Auditor, ident.Admin), (*visit).auditQuery)
	c.handle("GET /audit", with(ident.Auditor, ident.Admin), (*visit).auditLog)
	c.handle("/", anybody, (*visit).noPage)
}

// ServeHTTP serves one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header(), c.Secure)
	c.guarded.ServeHTTP(w, r)
}
