package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/console"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/sqlite"
)

// Version is what the program says of itself; a release build sets it.
var Version = "dev"

// Listen opens the port that c names, with its TLS, and serves nothing yet: whoever
// connects waits until the App does. It is the caller's until an App has it as its
// Config's Listener.
func Listen(ctx context.Context, c Config) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "listening on "+c.Listen, err)
	}
	if ip := ln.Addr().(*net.TCPAddr).IP; !c.tls() && !ip.IsLoopback() {
		_ = ln.Close()
		return nil, fault.Newf(fault.Invalid, "%s is not a loopback address, and there is no TLS", c.Listen).
			WithHint("give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that has TLS, and say its address with --public-url")
	}
	if c.tls() {
		cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			_ = ln.Close()
			return nil, fault.Wrap(fault.Invalid, "reading the TLS certificate and key", err)
		}
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	return ln, nil
}

// serve answers in the background, on the port that is open already or now.
func (a *App) serve(ctx context.Context) (err error) {
	if a.listener == nil {
		if a.listener, err = Listen(ctx, a.cfg); err != nil {
			return err
		}
	}
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	a.endStreams = end
	a.server = &http.Server{
		Handler: a.guarded(&a.front), ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	a.background(ctx, func() {
		if err := a.server.Serve(a.listener); err != http.ErrServerClosed {
			a.log.ErrorContext(ctx, "the server stopped serving", slog.Any("error", err))
		}
	})
	return nil
}

// tls says whether the port speaks TLS.
func (c Config) tls() bool { return c.TLSCert != "" || c.TLSKey != "" }

// secure says whether people reach the server over TLS, its own or a proxy's.
func (a *App) secure() bool { return a.cfg.tls() || strings.HasPrefix(a.cfg.PublicURL, "https://") }

// handler is everything that the port serves.
func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	h := a.API()
	mux.Handle("/v1/", h)
	mux.Handle("/healthz", h)
	mux.Handle("/readyz", h)
	door := a.mcpDoor()
	mux.Handle("/mcp", door)
	mux.Handle("/mcp/", door)
	mux.Handle("/.well-known/", door)
	mux.Handle("/", console.New(console.Config{
		Tenant: a.cfg.Tenant, Directory: a.Directory, Gate: a.Gate, Desk: a.Desk, Incidents: a.Incidents, Rotation: a.Rotation, Vault: a.Vault, Rail: a.Rail,
		Audit: a.store.Audit(), Store: a.store, Systems: a, Ask: a.QueryAudit, Now: a.now, Log: a.log, Secure: a.secure(),
	}))
	return mux
}

// API makes the JSON interface.
func (a *App) API() *api.API {
	return api.New(api.Config{
		Tenant: a.cfg.Tenant, Directory: a.Directory, Gate: a.Gate, Desk: a.Desk, Incidents: a.Incidents, Vault: a.Vault, Rail: a.Rail,
		Audit: a.store.Audit(), AuditKeeper: a, AuditAsker: a, AuditPruner: a, Retainer: a, Integrator: a, Authorizer: a, Store: a.store, Applier: a, Keeper: a, Backuper: a, ChannelKeeper: a.Notifier, Rotation: a.Rotation, Rotator: a, Now: a.now, Log: a.log, Health: a.health, Version: Version,
	})
}

// health is why the server should get no requests, or nil.
func (a *App) health() error {
	switch {
	case a.Vault.Sealed():
		return fault.New(fault.Unavailable, "the vault is sealed").WithHint("unseal it with: sallyport seal unseal")
	case a.store.Healthy() != nil: // the reason, where the machine halted because of it
		return fault.Newf(fault.Unavailable, "the store takes no writes any more: %s", sqlite.Reason(a.store.Healthy())).
			WithHint("the server's log has the whole reason; mend it, and restart the server")
	case a.Machine.Halted() != nil:
		return fault.New(fault.Unavailable, "the outcome of a call could not be recorded, so nothing more is admitted").
			WithHint("the server's log has the whole reason; mend it, and restart the server")
	}
	return nil
}

// Addr is the address that the server listens on: host:port.
func (a *App) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}
