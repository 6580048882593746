package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// Person is somebody of the example company, with the whole factor.
type Person struct {
	Name     string             `json:"name"`
	Roles    []ident.Role       `json:"roles"`
	Password string             `json:"password"`
	Secret   []byte             `json:"totpSecret"`
	Alg      identity.Algorithm `json:"totpAlgorithm"`
	URI      string             `json:"otpauth"`
	Account  identity.Account   `json:"-"`
}

// Code is the one-time code at a time.
func (p *Person) Code(at time.Time) (string, error) { return identity.Code(p.Secret, p.Alg, at) }

// staff is who works at the example company.
var staff = []struct {
	name, display string
	roles         []ident.Role
}{
	{"requester", "Riley (procurement)", []ident.Role{ident.Requester}},
	{"approver", "Alex (finance)", []ident.Role{ident.Approver}},
	{"builder", "Bo (platform)", []ident.Role{ident.Builder, ident.Requester}},
	{"auditor", "Audrey (audit)", []ident.Role{ident.Auditor}},
	{"admin", "Ada (security)", []ident.Role{ident.Admin}},
}

// Names lists the demo's people in a stable order.
func Names() []string {
	out := make([]string, len(staff))
	for i, s := range staff {
		out[i] = s.name
	}
	return out
}

func peopleFile(dir string) string { return filepath.Join(dir, "people.json") }

// ReadPeople reads who the demo in a data directory last made.
func ReadPeople(dir string) (map[string]*Person, error) {
	out := map[string]*Person{}
	err := readJSON(peopleFile(dir), &out)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "there is no demo in %s", dir).WithHint("start one with: sallyport demo, or name its directory with --data")
	}
	return out, fault.Wrap(fault.Invalid, "reading the demo's people", err)
}

// enrol makes the accounts, or gives those that exist fresh passwords.
func (d *Demo) enrol(ctx context.Context) error {
	for _, s := range staff {
		p := &Person{Name: s.name, Roles: s.roles, Password: rand.Text()}
		a, err := d.App.Directory.AccountNamed(ctx, Tenant, s.name)
		switch {
		case fault.Is(err, fault.NotFound):
			err = d.create(ctx, p, s.display)
		case err == nil:
			p.Account = a
			err = d.renew(ctx, p)
		}
		if err != nil {
			return fmt.Errorf("enrolling %s: %w", s.name, err)
		}
		d.People[s.name] = p
	}
	return fault.Wrap(fault.Unavailable, "writing the demo's people", writeJSON(peopleFile(d.cfg.Dir), d.People))
}

func (d *Demo) create(ctx context.Context, p *Person, display string) error {
	a, e, err := d.App.Directory.CreateAccount(ctx, system, identity.NewAccount{
		Tenant: Tenant, Name: p.Name, DisplayName: display, Roles: p.Roles, Password: p.Password,
	}, d.cfg.Now())
	p.Account, p.Secret, p.Alg, p.URI = a, e.Secret, e.Alg, e.URI
	return err
}

// renew resets an account, then changes the password that the reset made, as
// its owner would at the first sign-in. It uses the code of the last half
// minute, so that the current one is still good.
func (d *Demo) renew(ctx context.Context, p *Person) error {
	now := d.cfg.Now()
	e, err := d.App.Directory.Reset(ctx, system, Tenant, p.Account.ID, now)
	if err != nil {
		return err
	}
	p.Secret, p.Alg, p.URI = e.Secret, e.Alg, e.URI
	code, err := p.Code(now.Add(-30 * time.Second))
	if err != nil {
		return err
	}
	_, _, err = d.App.Directory.ChangePassword(ctx, p.Account.Principal(), e.Password, code, p.Password, now)
	return err
}
