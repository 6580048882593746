// Package demo is the example company, run by the product: its four systems as
// processes of their own, its people, its Secrets and its resources, in one data
// directory that a second start goes on with.
//
// It refuses to pass for production: everything listens on loopback, and the
// people's one-time codes are kept in a file of the data directory, so that a
// newcomer needs no second device.
//
// # Security
//
// That file, people.json, holds the whole factor of each demo person: whoever
// reads it can approve as them. It exists for the demo alone; `sallyport serve`
// keeps no such thing.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/app"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// Tenant is the example company.
const Tenant ident.Tenant = "acme"

// Config is how the demo is started.
type Config struct {
	Dir    string
	Listen string // of the server; empty: the port of the last start, or a free one
	// Command makes the command that runs an example system; nil starts this
	// program again.
	Command    Command
	LogHandler slog.Handler
	Now        func() time.Time
	Crash      func(intent.Intent, commit.Point)
	// Model replaces the scripted model by a real endpoint, with its key.
	Model    *resource.Model
	ModelKey []byte
	// Tickets is how the ticketing system is reached; empty: over HTTP.
	Tickets company.Tickets
	// SystemArgs are more flags of one system, for tests.
	SystemArgs map[string][]string
	// Audit is where the audit log goes outside, for tests; and Programs and Unconfined
	// are what Integrations may run.
	Audit      app.AuditConfig
	Programs   []string
	Unconfined bool
}

// Demo is the running example company.
type Demo struct {
	App     *app.App
	People  map[string]*Person
	Systems map[string]*System
	cfg     Config
	keys    company.Keys
	lock    *os.File // of the directory
}

var system = ident.Principal{Tenant: Tenant, Kind: ident.System, ID: "demo", Name: "the demo"}

// Start starts everything, or nothing.
func Start(ctx context.Context, c Config) (_ *Demo, err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Demo{cfg: c, Systems: map[string]*System{}, People: map[string]*Person{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "making the data directory", err)
	}
	if d.lock, err = lock(c.Dir); err != nil {
		return nil, err
	}
	if d.keys, err = d.credentials(); err != nil {
		return nil, err
	}
	if err := d.startSystems(ctx); err != nil {
		return nil, err
	}
	if err := d.startServer(ctx); err != nil {
		return nil, err
	}
	if err := d.enrol(ctx); err != nil {
		return nil, err
	}
	if err := d.storeSecrets(ctx); err != nil {
		return nil, err
	}
	return d, d.apply(ctx)
}

// credentials are those of the last start, or fresh ones.
func (d *Demo) credentials() (company.Keys, error) {
	dir := filepath.Join(d.cfg.Dir, "company")
	keys, err := company.ReadKeys(dir)
	if err == nil {
		return keys, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fault.Wrap(fault.Invalid, "reading the example company's credentials", err)
	}
	keys = company.NewKeys()
	return keys, fault.Wrap(fault.Unavailable, "writing the example company's credentials", keys.Write(dir))
}

// ServerDir is the server's data directory within the demo's.
func ServerDir(dir string) string { return filepath.Join(dir, "server") }

func (d *Demo) startServer(ctx context.Context) (err error) {
	dir := ServerDir(d.cfg.Dir)
	known := filepath.Join(d.cfg.Dir, "address")
	listens := []string{d.cfg.Listen}
	if d.cfg.Listen == "" {
		listens = []string{"127.0.0.1:0"}
		if last, err := os.ReadFile(known); err == nil {
			listens = []string{string(last), "127.0.0.1:0"}
		}
	}
	for _, listen := range listens {
		if d.App, err = app.New(ctx, app.Config{
			Dir: dir, Listen: listen, Tenant: Tenant, LogHandler: d.cfg.LogHandler, Now: d.cfg.Now, Crash: d.cfg.Crash, Audit: d.cfg.Audit, Programs: d.cfg.Programs, Unconfined: d.cfg.Unconfined,
			Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(d.cfg.Dir, "seal.key"))}, Guarded: []string{filepath.Join(d.cfg.Dir, "seal.key")},
		}); err != nil {
			return err
		}
		if err = d.App.Start(ctx); err == nil {
			return os.WriteFile(known, []byte(d.App.Addr()), 0o600)
		}
		err = errors.Join(err, d.App.Stop(ctx))
		d.App = nil
	}
	return err
}

// storeSecrets gives the vault what the systems accept. What is there already
// stays: a second start goes on where the first was.
func (d *Demo) storeSecrets(ctx context.Context) error {
	secrets := d.keys.Secrets()
	delete(secrets, company.Unused(d.cfg.Tickets))
	if d.cfg.ModelKey != nil {
		secrets["model-key"] = map[string]string{"token": string(d.cfg.ModelKey)}
	}
	for name, values := range secrets {
		have, err := d.App.Vault.Show(ctx, Tenant, name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		scope := d.scope(name)
		if n := len(have.Versions); err == nil && slices.Equal(have.Versions[n-1].Scope.Origins, scope.Origins) && (name != "model-key" || d.cfg.ModelKey == nil) {
			continue
		}
		w := vault.Write{Tenant: Tenant, Name: name, Actor: system, Description: "of the example company", Scope: scope, Fields: map[string][]byte{}}
		for k, v := range values {
			w.Fields[k] = []byte(v)
		}
		store := d.App.Vault.Set
		if err == nil {
			store = d.App.Vault.Rotate
		}
		if _, err := store(ctx, w); err != nil {
			return fmt.Errorf("storing the secret %s: %w", name, err)
		}
	}
	return nil
}

// scope binds a Secret to the system that issued it, where that is now.
func (d *Demo) scope(secret string) *vault.Scope {
	if secret == "model-key" && d.cfg.Model != nil {
		if u, err := url.Parse(d.cfg.Model.BaseURL); err == nil && u.Host != "" {
			return &vault.Scope{Origins: []string{u.Scheme + "://" + u.Host}}
		}
		return &vault.Scope{} // the provider's own address, which the Integration knows
	}
	for name, file := range d.keys {
		for _, c := range file.Credentials {
			if s, ok := d.Systems[name]; ok && c.Name == secret {
				return &vault.Scope{Origins: []string{"http://" + s.Addr}}
			}
		}
	}
	return &vault.Scope{}
}

// apply applies the company's resources with the systems' addresses.
func (d *Demo) apply(ctx context.Context) error {
	fsys, err := company.Resources(d.cfg.Tickets)
	if err != nil {
		return fault.Wrap(fault.Internal, "reading the example company's resources", err)
	}
	vars := map[string]string{}
	for name, v := range company.Variables {
		vars[v] = "http://127.0.0.1:1" // of a scripted model that is not started
		if s, ok := d.Systems[name]; ok {
			vars[v] = "http://" + s.Addr
		}
	}
	bundle, err := config.LoadFS(fsys, nil, config.Options{Vars: vars})
	if err != nil {
		return err
	}
	for _, r := range bundle.Resources {
		if in, ok := r.(*resource.Integration); ok && in.Model != nil && d.cfg.Model != nil {
			in.Model, in.Title, in.Description = d.cfg.Model, "Model", "The model endpoint that the demo was started with."
		}
	}
	_, err = d.App.Apply(ctx, system, bundle.Resources, false, false)
	return bundle.Locate(err)
}

// Stop ends the server, then every process that Start started. Stopping again
// does nothing.
func (d *Demo) Stop(ctx context.Context) error {
	var errs []error
	if d.App != nil {
		errs = append(errs, d.App.Stop(ctx))
		d.App = nil
	}
	for name, s := range d.Systems {
		errs = append(errs, s.stop())
		delete(d.Systems, name)
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
		d.lock = nil
	}
	return errors.Join(errs...)
}

// URL is where the server is.
func (d *Demo) URL() string { return "http://" + d.App.Addr() }

// Sample gives the first sample supplier with an expected verdict, as a Run's
// input.
func Sample(expect string) (map[string]any, error) {
	all, err := company.Suppliers()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Expect == expect {
			return s.Input(), nil
		}
	}
	return nil, fmt.Errorf("no sample supplier is expected to be %s", expect)
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
