package company

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sallyport.dev/examples/vendor-onboarding/erp"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/ticketing"
)

// Keys is the company's credentials: what each system accepts.
type Keys map[string]system.File // by system

// NewKeys draws fresh ones. A credential is named as the Secret that holds it
// in the product.
func NewKeys() Keys {
	token := func(name string, scopes ...string) system.Credential {
		return system.Credential{Name: name, Token: rand.Text(), Scopes: scopes}
	}
	file := func(c ...system.Credential) system.File { return system.File{Credentials: c} }
	return Keys{
		Taxverify: file(token("taxverify-key")),
		ERP:       file(token("erp-read-token", erp.ScopeRead), token("erp-write-token", erp.ScopeWrite)),
		Ticketing: file(system.Credential{Name: "ticketing-login", Username: "procurement-worker", Password: rand.Text(), Scopes: []string{ticketing.ScopeAPI}},
			token("ticketing-mcp-token", ticketing.ScopeMCP)),
		ScriptedModel: file(token("model-key")),
	}
}

// Secrets gives the fields of each Secret, by the Secret's name: "token", or
// "username" and "password". Where a system accepts several credentials of one
// name, the last is the one to use.
func (k Keys) Secrets() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, f := range k {
		for _, c := range f.Credentials {
			if c.Token != "" {
				out[c.Name] = map[string]string{"token": c.Token}
			} else {
				out[c.Name] = map[string]string{"username": c.Username, "password": c.Password}
			}
		}
	}
	return out
}

// Rotate adds a fresh value for the named credential. The former ones stay good
// until [Keys.Retire], as they do at most providers while a key is rotated.
func (k Keys) Rotate(name string) error {
	for sys, f := range k {
		for _, c := range f.Credentials {
			if c.Name != name {
				continue
			}
			if c.Token != "" {
				c.Token = rand.Text()
			} else {
				c.Password = rand.Text()
			}
			k[sys] = system.File{Credentials: append(f.Credentials, c)}
			return nil
		}
	}
	return fmt.Errorf("no system has a credential %q", name)
}

// Retire leaves only the latest value of the named credential.
func (k Keys) Retire(name string) {
	for sys, f := range k {
		var kept []system.Credential
		latest := -1
		for i, c := range f.Credentials {
			if c.Name == name {
				latest = i
			}
		}
		for i, c := range f.Credentials {
			if c.Name != name || i == latest {
				kept = append(kept, c)
			}
		}
		k[sys] = system.File{Credentials: kept}
	}
}

// Path is where the named system's credentials are in dir.
func Path(dir, name string) string { return filepath.Join(dir, name+".credentials.json") }

// Write puts each system's file into dir, mode 0600, each replaced at once.
func (k Keys) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the systems' credentials: %w", err)
	}
	for name, f := range k {
		b, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("writing the systems' credentials: %w", err)
		}
		if err := replace(Path(dir, name), b); err != nil {
			return fmt.Errorf("writing the credentials of %s: %w", name, err)
		}
	}
	return nil
}

// ReadKeys reads what Write wrote, so that a second start goes on with it.
func ReadKeys(dir string) (Keys, error) {
	k := Keys{}
	for _, name := range Names {
		b, err := os.ReadFile(Path(dir, name))
		if err != nil {
			return nil, fmt.Errorf("reading the credentials of %s: %w", name, err)
		}
		var f system.File
		if json.Unmarshal(b, &f) != nil {
			return nil, fmt.Errorf("the credentials file of %s is damaged", name)
		}
		k[name] = f
	}
	return k, nil
}

// replace writes a file so that a crash leaves the old one or the new one.
func replace(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
