package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault/kek"
)

// serveFlags are what serve is told.
type serveFlags struct {
	data, listen, tenant    string
	cert, key, public       string
	keyFile, passphraseFile string
	logFormat, logLevel     string
}

func (p *program) serveCmd() *cobra.Command {
	var f serveFlags
	c := verb("serve --data DIR", "Run the server", `  sallyport serve --data ./data
  sallyport serve --data /var/lib/sallyport --listen :443 --tls-cert cert.pem --tls-key key.pem --key-file /etc/sallyport/seal.key`,
		takes(0), func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), f) })
	c.Flags().StringVar(&f.data, "data", "", "the data directory; made when it is not there")
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7411", "address; beyond loopback it takes TLS")
	c.Flags().StringVar(&f.public, "public-url", "", "where people reach it, when a proxy before it has the TLS, like https://sallyport.example.com")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "file with the certificate chain, PEM")
	c.Flags().StringVar(&f.key, "tls-key", "", "file with its key, PEM")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "what the vault is sealed with (default DIR/seal.key; keep it apart from the data)")
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with a passphrase that the vault is sealed with, instead of a key file or beside one")
	c.Flags().StringVar(&f.tenant, "tenant", "default", "the organisation whose people sign in here")
	c.Flags().StringVar(&f.logFormat, "log-format", "text", "text or json")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func (p *program) serve(ctx context.Context, f serveFlags) error {
	if f.data == "" {
		return &usageError{"the data directory is missing", "name it with --data"}
	}
	h, err := logHandler(p.err, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	cfg := app.Config{Dir: f.data, Listen: f.listen, Tenant: ident.Tenant(f.tenant), TLSCert: f.cert, TLSKey: f.key, PublicURL: f.public, LogHandler: h, Now: time.Now}
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
		return nil, fault.Newf(fault.Unavailable, "the data directory %s can't be made", fault.Quote(f.data))
	}
	if cfg.Seals, err = f.seals(); err != nil {
		return nil, err
	}
	return app.New(ctx, cfg)
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
	if err := p.firstAccount(ctx, a, ident.Tenant(f.tenant), url); err != nil {
		return err
	}
	if p.json {
		if err := p.object(map[string]string{"event": "ready", "url": url, "tenant": f.tenant}); err != nil {
			return err
		}
	} else {
		p.say("ready at %s", url)
	}
	<-ctx.Done()
	return nil
}

// seals are what opens the vault; a new one is sealed with all of them.
func (f serveFlags) seals() ([]kek.Seal, error) {
	var out []kek.Seal
	if f.keyFile != "" || f.passphraseFile == "" {
		path := f.keyFile
		if path == "" {
			path = filepath.Join(f.data, "seal.key")
		}
		out = append(out, kek.NewKeyFile(path))
	}
	if f.passphraseFile == "" {
		return out, nil
	}
	if info, err := os.Stat(f.passphraseFile); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "others can read the passphrase file").WithHint("chmod 600 it")
	}
	b, err := os.ReadFile(f.passphraseFile)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the passphrase file can't be read")
	}
	phrase, err := kek.NewPassphrase(trimEnd(b))
	if err != nil {
		return nil, err
	}
	return append(out, phrase), nil
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
