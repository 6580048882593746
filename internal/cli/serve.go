package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// serveFlags are what serve is told.
type serveFlags struct {
	data, listen, tenant string
	cert, key, public    string
	logFormat, logLevel  string
	rotators             []string // programs that rotate Secrets, NAME=FILE
	audit                string   // the file on where the audit log's checkpoints go
	backends             string   // the file on what keeps values outside of the store
	acceptClock          bool
	seals                sealFlags
	noGlass              bool
	passkeyWait          time.Duration
	onlyPasskeys         bool
	programs             []string
	unconfined           bool
}

func (p *program) serveCmd() *cobra.Command {
	var f serveFlags
	c := verb("serve --data DIR", "Run the server", `  sallyport serve --data ./data
  sallyport serve --data /var/lib/sallyport --listen :443 --tls-cert cert.pem --tls-key key.pem --key-file /etc/sallyport/seal.key`,
		takes(0), func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), f) })
	c.Flags().StringVar(&f.data, "data", "", "the data directory; made when it is not there")
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7411", "address; beyond loopback it takes TLS")
	c.Flags().StringVar(&f.public, "public-url", "", "where people reach it, like https://sallyport.example.com: for a proxy before it that has the TLS, and for passkeys")
	c.Flags().DurationVar(&f.passkeyWait, "passkey-wait", identity.WaitingPeriod, "how long a new passkey decides nothing")
	c.Flags().BoolVar(&f.onlyPasskeys, "only-passkeys", false, "take verdicts by passkey alone, none by password and one-time code")
	c.Flags().StringArrayVar(&f.programs, "program", nil, "absolute path of a program that Integrations may run as a child; again for each. Builders choose its arguments")
	c.Flags().BoolVar(&f.unconfined, "unconfined-programs", false, "let Integrations run these with sandbox: best-effort")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "file with the certificate chain, PEM")
	c.Flags().StringVar(&f.key, "tls-key", "", "file with its key, PEM")
	f.seals.add(c, "what the vault is sealed with (default DIR/seal.key; keep it apart from the data)")
	c.Flags().BoolVar(&f.seals.sealed, "sealed", false, "unseal with none of them: wait for \"sallyport seal unseal\"")
	c.Flags().BoolVar(&f.noGlass, "no-break-glass", false, "two admins can't approve in place of the Teams that have to decide")
	c.Flags().StringVar(&f.tenant, "tenant", "default", "the organisation whose people sign in here")
	c.Flags().StringArrayVar(&f.rotators, "rotator", nil, "a program that rotates Secrets, NAME=FILE, of docs/rotation.md; give it again for several")
	c.Flags().StringVar(&f.audit, "audit-config", "", "file on witnesses and anchors of the audit log, YAML (docs/audit.md)")
	c.Flags().StringVar(&f.backends, "backends", "", "file on the vaults and secrets managers that Secrets can point to, YAML (docs/bring-your-own-vault.md)")
	c.Flags().BoolVar(&f.acceptClock, "accept-clock", false, "go on although the audit log's latest entry is later than now: the clock was ahead, and is right now")
	c.Flags().StringVar(&f.logFormat, "log-format", "text", "text or json")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func (p *program) serve(ctx context.Context, f serveFlags) error {
	if f.data == "" {
		return &usageError{"the data directory is missing", "name it with --data"}
	}
	if _, err := logHandler(p.err, f.logFormat, f.logLevel); err != nil {
		return err
	}
	if err := p.shield(ctx, f.logFormat); err != nil {
		return err
	}
	h, err := logHandler(p.err, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	cfg := app.Config{Dir: f.data, Listen: f.listen, Tenant: ident.Tenant(f.tenant), TLSCert: f.cert, TLSKey: f.key, PublicURL: f.public,
		PasskeyWait: f.passkeyWait, OnlyPasskeys: f.onlyPasskeys, NoBreakGlass: f.noGlass, Programs: f.programs, Unconfined: f.unconfined, LogHandler: h, Now: time.Now, AcceptClock: f.acceptClock}
	if cfg.Rotators, err = rotators(f.rotators); err != nil {
		return err
	}
	if cfg.Audit, err = auditConfig(f.audit, f.data); err != nil {
		return err
	}
	if cfg.Backends, err = p.backends(f.backends, f.tenant); err != nil {
		return err
	}
	// What is wrong with the address or the certificate is said before anything is
	// made or unsealed.
	if cfg.Listener, err = app.Listen(ctx, cfg); err != nil {
		return err
	}
	a, err := f.app(ctx, cfg)
	if err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	if err := p.until(ctx, a, f); err != nil {
		return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
	}
	p.say("stopping; a second signal ends it at once")
	return a.Stop(context.WithoutCancel(ctx))
}

// app makes the server and, where there is none, its data directory.
func (f serveFlags) app(ctx context.Context, cfg app.Config) (_ *app.App, err error) {
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Msg: "the data directory " + fault.Quote(f.data) + " can't be made", Err: because(err),
			Hint: "name another with --data, in a directory that the server's user may write to"}
	}
	if err := f.seals.into(&cfg); err != nil {
		return nil, err
	}
	return app.New(ctx, cfg)
}

// because is what the system said of a file, without the path that it repeats.
func because(err error) error {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no
	}
	return err
}

// until starts the server and waits for the signal that ends it.
func (p *program) until(ctx context.Context, a *app.App, f serveFlags) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	scheme := "http://"
	if f.cert != "" {
		scheme = "https://"
	}
	url := scheme + a.Addr()
	if a.Sealed() {
		p.say("the server does nothing until it is unsealed: %s seal unseal --server %s", p.self, url)
		if err := p.event("sealed", url, f.tenant); err != nil {
			return err
		}
	}
	if err := a.Opened(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to end before
		}
		return err
	}
	if err := p.firstAccount(ctx, a, ident.Tenant(f.tenant), url); err != nil {
		return err
	}
	if err := p.event("ready", url, f.tenant); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-a.Failed():
		return a.Failure()
	}
}

// event says how far the start has come.
func (p *program) event(name, url, tenant string) error {
	if p.json {
		return p.object(map[string]string{"event": name, "url": url, "tenant": tenant})
	}
	p.say("%s at %s", name, url)
	return nil
}

func logHandler(w io.Writer, format, level string) (slog.Handler, error) {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		return nil, &usageError{"--log-level is not one that there is", "give debug, info, warn or error"}
	}
	switch opts := (&slog.HandlerOptions{Level: l}); format {
	case "text":
		return slog.NewTextHandler(w, opts), nil
	case "json":
		return slog.NewJSONHandler(w, opts), nil
	}
	return nil, &usageError{"--log-format is not one that there is", "give text or json"}
}

// firstAccount makes the first admin of a tenant that has nobody, and shows, this
// once, how to sign in.
func (p *program) firstAccount(ctx context.Context, a *app.App, t ident.Tenant, url string) error {
	setup := ident.Principal{Tenant: t, Kind: ident.System, ID: "setup", Name: "the first start"}
	there, err := a.Directory.Accounts(ctx, setup)
	if err != nil || len(there) > 0 {
		return err
	}
	_, e, err := a.Directory.CreateAccount(ctx, setup, identity.NewAccount{Tenant: t, Name: "admin", DisplayName: "Admin", Roles: []ident.Role{ident.Admin}}, time.Now())
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // hashing the password took 19 MiB, which an idle server need not keep
	for _, line := range []string{
		"This is the first start. The first account, shown this once:", "",
		"  name            admin",
		"  password        " + e.Password,
		"  one-time codes  " + e.URI, "",
		"Put the otpauth line into an authenticator app (as a QR code, or its secret by hand), then sign in",
		"and choose a password of your own, and make accounts for the others:", "",
		"  " + p.self + " login --server " + url + " --name admin",
		"  " + p.self + " account add NAME --role builder", "",
	} {
		p.say("%s", line)
	}
	return nil
}
