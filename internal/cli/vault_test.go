package cli_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

var setup = ident.Principal{Tenant: "default", Kind: ident.System, ID: "test", Name: "the test"}

// opened opens a data directory as a server does, for a while.
func opened(dir, key string, do func(*app.App) error) (err error) {
	ctx := context.Background()
	a, err := app.New(ctx, app.Config{Dir: dir, Listen: "127.0.0.1:0", Tenant: "default", LogHandler: slog.DiscardHandler,
		Seals: []kek.Seal{kek.NewKeyFile(key)}})
	if err != nil {
		return err
	}
	if err = a.Start(ctx); err == nil {
		err = do(a)
	}
	if stopped := a.Stop(ctx); err == nil {
		err = stopped
	}
	return err
}

// canary is the value of the i-th Secret. Values repeat, since every new one is
// work for each that is stored after it.
func canary(i int) string { return fmt.Sprintf("cnry-%04d-8xq2-vaulted", i%32) }

// store stores so many Secrets.
func store(a *app.App, n int) error {
	for i := range n {
		_, err := a.Vault.Set(context.Background(), vault.Write{Tenant: "default", Name: fmt.Sprintf("s%d", i), AnyOrigin: true, Actor: setup,
			Fields: map[string][]byte{"token": []byte(canary(i))}})
		if err != nil {
			return err
		}
	}
	return nil
}

// whole checks that the Secrets are there and open to what they were: at the
// start, every one of them was decrypted.
func whole(a *app.App, n int) error {
	l, err := a.Vault.List(context.Background(), "default")
	if err != nil || len(l) != n {
		return fmt.Errorf("there are %d Secrets: %w", len(l), err)
	}
	for i := range n {
		if _, err := a.Vault.Show(context.Background(), "default", fmt.Sprintf("s%d", i)); err != nil {
			return fmt.Errorf("s%d: %w", i, err)
		}
		if len(a.Vault.Scrub("default").Contains([]byte(canary(i)))) == 0 {
			return fmt.Errorf("s%d has another value", i)
		}
	}
	return nil
}

// vaulted DIR KEY-FILE NAME...: a data directory with three Secrets, and an admin
// of each name, as a server leaves it. Their one-time codes are in $NAME_OTPAUTH,
// their passwords in $NAME_PASSWORD.
func vaulted(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(opened(ts.MkAbs(args[0]), ts.MkAbs(args[1]), func(a *app.App) error {
		for _, name := range args[2:] {
			password := "correct horse of " + name
			_, e, err := a.Directory.CreateAccount(context.Background(), setup, identity.NewAccount{Tenant: "default", Name: name,
				Roles: []ident.Role{ident.Admin, ident.Auditor}, Password: password}, time.Now())
			if err != nil {
				return err
			}
			ts.Setenv(name+"_OTPAUTH", e.URI)
			ts.Setenv(name+"_PASSWORD", password)
		}
		return store(a, 3)
	}))
}

// opens DIR KEY-FILE: with the key file, each of vaulted's Secrets is what it was.
func opens(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(opened(ts.MkAbs(args[0]), ts.MkAbs(args[1]), func(a *app.App) error { return whole(a, 3) }))
}

// proof FILE NAME LINE...: a file with the lines, then the password and a fresh
// one-time code of one of vaulted's admins. The home of that admin is the one that
// the next commands use.
func proof(ts *testscript.TestScript, _ bool, args []string) {
	name := args[1]
	home := filepath.Join(ts.Getenv("WORK"), "home", name)
	ts.Check(os.MkdirAll(home, 0o700))
	ts.Setenv("XDG_CONFIG_HOME", home)
	code(ts, false, []string{"proof_CODE", ts.Getenv(name + "_OTPAUTH")})
	put(ts, false, append(append([]string{args[0]}, args[2:]...), ts.Getenv(name+"_PASSWORD"), ts.Getenv("proof_CODE")))
}
