// Package app puts the parts together: New makes the program from its
// configuration, Start unseals, recovers and serves, Stop ends it in order. Where
// the vault can't be unsealed yet, the port serves health and unsealing alone,
// and the rest of the start follows in the same process; see sealed.go.
//
// It refuses to serve anything else before what an earlier process left behind is
// closed: no call is admitted while the outcome of another is open and unknown to
// the store.
//
// # Security
//
// Everything that can hold plaintext is made here and handed only to what needs
// it: the vault to the gate and to the intake of Secrets, never to the mission
// loop, whose Boundary is an interface. Logs of the whole process go through the
// scrubber with the secrets of all tenants.
package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"log" //nolint:depguard // only to take it over
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/engine/dbos"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/issuer"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/mission"
	"sallyport.dev/internal/notify"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/unknown"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/kek"
)

// Config is what the program is started with.
type Config struct {
	Dir    string       // the data directory
	Listen string       // address, "127.0.0.1:0" picks a port
	Tenant ident.Tenant // whose people sign in here
	// Listener is what Listen opened; nil: Start opens the port. Once New has
	// succeeded, Stop closes it.
	Listener net.Listener
	// Seals open the vault; at the first start its root key is wrapped by all.
	Seals []kek.Seal
	// Networked are more of them, which may be out of reach for a while: the
	// server then starts sealed, and tries again.
	Networked []kek.Seal
	// Backends are what Secrets can point to; nil: nothing.
	Backends *backend.Registry
	// Sealed starts without trying any: somebody brings one, see the API's
	// /v1/unseal. Those above can still be made seals of the vault.
	Sealed bool
	// TLSCert and TLSKey are files. Without them the server takes loopback
	// connections only.
	TLSCert, TLSKey string
	// PublicURL is where people reach the server, when a proxy before it has the
	// TLS: with https their cookies are bound to it.
	PublicURL string
	// NoBreakGlass says that admins can't approve in place of the Teams.
	NoBreakGlass bool
	// PasskeyWait is how long a new passkey decides nothing; zero, not at all.
	// OnlyPasskeys takes verdicts by passkey alone.
	PasskeyWait  time.Duration
	OnlyPasskeys bool
	LogHandler   slog.Handler // where logs go, before scrubbing
	// Guarded are files beside the data directory that no server run as a child may
	// have within reach: what the seals read.
	Guarded []string
	// Programs are those that Integrations may run as children, by their absolute paths,
	// and Unconfined lets them do so with sandbox: best-effort. None, unless the
	// operator of the machine says so: who applies resources is not asked.
	Programs   []string
	Unconfined bool
	Now        func() time.Time
	Audit      AuditConfig
	// AcceptClock: the clock was ahead at an earlier start, and is right now.
	AcceptClock bool
	// Crash is called between the steps of each attempt, for the tests that
	// kill the process there.
	Crash func(intent.Intent, commit.Point)
	// RootCAs is who vouches for the receivers of messages; nil: the machine's.
	RootCAs *x509.CertPool
	// Sent is called between a receiver's word that it has a message and the
	// store's, for the test that kills the process there.
	Sent func(notify.Notice)
	// Rotators are the programs that rotate Secrets, by the names that policies have.
	Rotators map[string]vault.RotationProgram
	// RotationCrash is as Crash, of rotations.
	RotationCrash func(rotation.Rotation, rotation.Point)
}

// App is the running program.
type App struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	store   *sqlite.Store
	seq     *audit.Sequencer
	exports []*export.Exporter
	notes   *outside.Keeper // takes checkpoints of the audit log out of reach

	Vault     *vault.Vault
	Directory *identity.Directory
	Desk      *decision.Desk
	Incidents *incident.Desk
	Gate      *gate.Gate
	Rail      *explain.Rail
	Machine   *commit.Machine
	Notifier  *notify.Notifier
	Rotation  *rotation.Machine

	opening   opening
	front     front
	hands     hands
	rotations rotations // of the vault's keys
	turning   turning   // of Secrets
	endings   endings   // of Runs

	worlds     catalog.Holder[gate.World]
	transports transports
	applying   sync.Mutex // one apply at a time
	pruning    sync.Mutex // of the audit log, one at a time
	backing    sync.Mutex // one backup at a time
	pump       *pump
	looked     map[ident.Tenant]*scrub.Set // with which the sweep looked at what waits
	engine     *dbos.Engine
	listener   net.Listener
	server     *http.Server
	stop       context.CancelFunc
	endStreams context.CancelFunc // ends every request that has no end of its own
	wg         crash.Group
	failing    failing
	tuneMCP    func(*mcpgateway.Config) // for tests: other durations and names at that door
}

// New opens the data directory and makes every part. Nothing runs yet.
func New(ctx context.Context, c Config) (*App, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := ident.CheckName(string(c.Tenant)); err != nil {
		return nil, fault.Wrap(fault.Invalid, "reading the tenant's name", err)
	}
	if c.PasskeyWait < 0 {
		return nil, fault.New(fault.Invalid, "the waiting period of passkeys is less than none")
	}
	a := &App{cfg: c, now: c.Now, listener: c.Listener, failing: failing{done: make(chan struct{})},
		opening:   opening{brought: make(chan struct{}, 1), done: make(chan struct{})},
		rotations: rotations{jobs: make(chan keyRotation, 1)}, turning: turning{there: make(chan vault.Spot, maxThere)}, looked: map[ident.Tenant]*scrub.Set{}}
	v, err := vault.New(vault.Config{Tenant: c.Tenant, Now: c.Now, Log: slog.New(c.LogHandler), Recorded: a.recorded, Guarded: append([]string{c.Dir}, c.Guarded...), Backends: c.Backends, Changed: a.changedThere,
		Programs: c.Programs, Unconfined: c.Unconfined})
	if err != nil {
		return nil, err
	}
	a.Vault = v
	handler := scrub.Handler(c.LogHandler, v.Holder(), unknown.String)
	a.log = slog.New(handler)
	// The standard library logs by itself, and quotes what a system sent: on an
	// idle connection, say.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler, slog.LevelWarn).Writer())
	if a.seq, err = audit.NewSequencer(c.Audit.Origin, v.AuditKey); err != nil {
		return nil, err
	}
	if a.store, err = sqlite.Open(ctx, c.Dir, a.seq, sqlite.Guard{Keys: v, Now: c.Now, Log: a.log, AcceptClock: c.AcceptClock}); err != nil {
		return nil, err
	}
	a.endings = endings{a.store, make(chan struct{}, 1)}
	v.KeepLeases(a.store, a.endings.look)
	if err := a.assemble(); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	return a, nil
}

// assemble makes the parts above the store.
func (a *App) assemble() (err error) {
	if a.notes, err = a.outside(); err != nil {
		return err
	}
	a.Rail = explain.New(a.store, a.Vault.Scrub)
	if a.Directory, err = identity.New(a.store, a.Vault, identity.WithPasskeys(a.party, a.cfg.PasskeyWait),
		identity.WithWorkers(a.outsiders, issuer.New(dial.Options{RootCAs: a.cfg.RootCAs}, a.now), a.cfg.Tenant, a.audience)); err != nil {
		return err
	}
	a.Machine = commit.New(a.store, ident.New("proc"), a.now, a.log)
	a.Machine.Crash = a.cfg.Crash
	a.Desk, err = decision.NewDesk(decision.Config{
		Store: a.store, Papers: a.store, Facts: a.store, Involved: a,
		Clean: a.clean,
		Known: a.known, Hold: a.store.Hold, Altered: a.altered, Now: a.now,
		NoGlass: a.cfg.NoBreakGlass, OnGlass: a.glass, Passkeys: a.cfg.OnlyPasskeys,
		Wake: a.Rail.Wake, Attribute: func(ctx context.Context, t ident.Tenant, ids []string) (map[string]decision.About, error) {
			return a.Gate.Attributes(ctx, t, ids)
		},
	})
	if err != nil {
		return err
	}
	a.Incidents, err = incident.NewDesk(incident.Config{
		Store: a.store, Records: a.store, Audit: a.store.Audit(), Secrets: a.Vault, Quarantine: a.Vault, Goal: a.goal, Name: a.nameOf,
	})
	if err != nil {
		return err
	}
	a.Rotation = a.newRotation()
	a.Gate = gate.New(gate.Config{
		Credentials: credentials{a.Rotation, a},
		Stops:       a.endings,
		Intents:     a.store, Earlier: a.store, Runs: a.endings, Decisions: a.store, Editors: a.Desk, Edits: a.store, Vault: a.Vault, Machine: a.Machine, Rail: a.Rail,
		World: a.World, Transport: a.transports.of, Now: a.now, Log: a.log, RecordKey: a.recordKey, Notices: a.store, Grants: a.Vault,
		Workers: a.Directory, WorkerRuns: a.store,
	})
	a.Notifier, err = notify.New(notify.Config{
		Store: a.store, Vault: a.Vault, PublicURL: a.cfg.PublicURL, RootCAs: a.cfg.RootCAs, Now: a.now, Random: chance, Log: a.log, Sent: a.cfg.Sent,
		Catalog: func(t ident.Tenant) (*catalog.Snapshot, error) {
			w, err := a.World(t)
			return w.Catalog, err
		},
		Clean: func(t ident.Tenant, s string) string { return unknown.String(a.clean(t, s)) },
	})
	if err != nil {
		return err
	}
	return a.exporters()
}

// chance is a number from 0 to 1.
func chance() float64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// clean takes a tenant's known secrets out of a text.
func (a *App) clean(t ident.Tenant, s string) string {
	s, _ = a.Vault.Scrub(t).String(s)
	return s
}

// Start unseals, closes what an earlier process left behind, and serves. Where a
// seal is to be brought, or is out of reach, it returns with a server that is
// sealed, and the rest follows when it can; see Opened.
func (a *App) Start(ctx context.Context) error {
	wait, err := a.unsealAtHand(ctx)
	if err == nil && wait {
		a.front.show(a.sealedAPI())
		if err = a.serve(ctx); err == nil {
			var waiting context.Context
			waiting, a.opening.end = context.WithCancel(context.WithoutCancel(ctx))
			a.log.InfoContext(ctx, "sealed", slog.String("address", a.Addr()))
			crash.Go(func() { a.await(waiting) }, func(p *crash.Panic) {
				a.fail(waiting, p)
				_ = a.opening.settle(p) // for who waits
			})
			return nil
		}
	}
	if err == nil {
		err = a.open(ctx)
	}
	return a.opening.settle(err)
}

// open is the start of a server whose vault is unsealed.
func (a *App) open(ctx context.Context) error {
	a.knowHands(ctx)
	if err := a.store.VerifyRows(ctx); err != nil {
		return err
	}
	if err := a.loadWorlds(ctx); err != nil {
		return err
	}
	left, err := a.store.Left(ctx)
	if err != nil {
		return err
	}
	if err := a.Gate.Recover(ctx, left); err != nil {
		return err
	}
	loop := mission.New(a.Gate, a.store, a.clean, a.now, a.log)
	if a.engine, err = dbos.New(context.WithoutCancel(ctx), a.cfg.Dir, loop, a.engineLog(ctx)); err != nil {
		return err
	}
	a.pump = &pump{store: a.store, gate: a.Gate, engine: a.engine, now: a.now, log: a.log, fail: func(p *crash.Panic) { a.fail(ctx, p) }}
	if err := a.pump.resume(ctx); err != nil {
		return err
	}
	a.front.show(a.handler())
	if a.server == nil {
		if err := a.serve(ctx); err != nil {
			return err
		}
	}
	var bg context.Context
	bg, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, loop := range []func(context.Context){a.pump.run, a.Notifier.Run, a.sweep, a.schedules, a.rotateSecrets, a.rotateSecrets, a.rotateSecrets, a.tendLeases, a.rotateKeys, a.watchKeys, a.carryOut, a.exportAll, a.retain, a.keepExcess, a.prune, a.Vault.Warm, a.Vault.Watch, a.rotateOnChange} {
		a.background(bg, func() { loop(bg) })
	}
	a.warnOutdated(ctx)
	a.warnPasskeys(ctx)
	a.log.InfoContext(ctx, "ready", slog.String("address", a.Addr()), slog.Any("tenant", a.cfg.Tenant), slog.String("fips140", fipsMode()))
	return nil
}

// stopTimeout is how long Stop waits for calls under way.
const stopTimeout = 10 * time.Second

// Stop ends what is running: no new request, then no new work, then the store.
// What is under way in a system is waited for; what takes longer is reconciled
// at the next start.
func (a *App) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if a.opening.end != nil { // who waits to be unsealed waits no longer
		a.opening.end()
		<-a.opening.done
	}
	var errs []error
	switch {
	case a.server != nil:
		a.endStreams()
		if err := a.server.Shutdown(ctx); err != nil {
			errs = append(errs, a.server.Close())
		}
	case a.listener != nil: // opened, and never served
		errs = append(errs, fault.Wrap(fault.Unavailable, "closing the port", a.listener.Close()))
	}
	if a.stop != nil {
		a.stop()
		errs = append(errs, a.wait(ctx), a.Gate.KeepExcess(ctx))
	}
	if a.engine != nil {
		a.engine.Close(stopTimeout)
	}
	errs = append(errs, a.Vault.CloseChildren(ctx))
	a.endLeases(ctx)
	a.Vault.Seal()
	return errors.Join(append(errs, a.store.Close())...)
}

// wait waits for the goroutines of the program, as long as ctx lasts. What is
// left then is at a system that does not answer; the store refuses it, and the
// next start asks the system.
func (a *App) wait(ctx context.Context) error {
	done := make(chan struct{})
	crash.Go(func() { defer close(done); a.wg.Wait() }, func(p *crash.Panic) { a.fail(ctx, p) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		a.log.WarnContext(ctx, "stopped while calls are under way; the next start looks up what became of them")
		return nil
	}
}

// Parties says whose verdict on an Intent does not count, and whether its
// Mission allows it after all; see decision.Involved.
func (a *App) Parties(ctx context.Context, i intent.Intent) (decision.Parties, error) {
	w, err := a.World(i.Tenant)
	if err != nil {
		return decision.Parties{}, err
	}
	m, ok := w.Catalog.Mission(i.Mission)
	if !ok {
		return decision.Parties{}, fault.New(fault.Denied, "the Intent's Mission has been removed")
	}
	p := decision.Parties{Starter: i.Starter, Worker: "run:" + i.Run, AllowSelfApproval: m.AllowSelfApproval}
	if name := ident.WorkerName(i.Starter); name != "" { // nobody decides while nobody knows who answers for it
		if _, p.Owner, err = a.Directory.Standing(ctx, i.Tenant, name); err == nil {
			p.Delegates, err = a.minters(ctx, i, name)
		}
	}
	return p, err
}

// sweepEvery is how often expired Decisions are looked for.
const sweepEvery = 15 * time.Second

// sweep ends what waits too long.
func (a *App) sweep(ctx context.Context) {
	said := false
	every(ctx, sweepEvery, func() {
		if err := a.store.Healthy(); err != nil && !said { // each request that fails for it says so itself
			said = true
			a.log.ErrorContext(ctx, "the store takes no writes any more; restart when this is mended", slog.String("why", err.Error()), slog.String("hint", fault.HintOf(err)))
		}
		a.round(ctx, "expired Decisions can't be closed", func() error { _, err := a.Desk.Expire(ctx, a.now()); return err })
		a.round(ctx, "what waits can't be looked through for new Secrets", func() error { return a.holdAltered(ctx) })
		a.round(ctx, "old uses of limits can't be removed", func() error { return a.store.SweepUses(ctx, a.now()) })
		a.round(ctx, "old sessions can't be removed", func() error { return a.Directory.Sweep(ctx, a.now()) })
	})
}
