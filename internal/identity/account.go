package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Account is a person, as shown. It holds no credential.
type Account struct {
	Tenant      ident.Tenant `json:"tenant"`
	ID          string       `json:"id"` // "acc_…", never changes
	Name        string       `json:"name"`
	DisplayName string       `json:"displayName"`
	Roles       []ident.Role `json:"roles"`
	Disabled    bool         `json:"disabled"`
	// MustChange says that somebody else chose the password: until it is
	// changed the account can sign in, and can't confirm anything.
	MustChange bool      `json:"mustChange"`
	CreatedAt  time.Time `json:"createdAt"`
}

// Principal is the account as a caller.
func (a Account) Principal() ident.Principal {
	return ident.Principal{Tenant: a.Tenant, Kind: ident.Person, ID: a.ID, Name: a.DisplayName, Roles: slices.Clone(a.Roles)}
}

// Record is an account as it is stored.
type Record struct {
	Account
	Revision  int64     // raised by each change; compared when it is stored
	Password  string    // PHC string of the keyed hash of the password
	TOTPSalt  []byte    // random; the secret of the one-time codes is a keyed hash of it
	Algorithm Algorithm // of the one-time codes
	Counter   int64     // the last used one-time code's step; only a Proof moves it
}

// NewAccount is what an admin says about a new account.
type NewAccount struct {
	Tenant      ident.Tenant
	Name        string // see ident.CheckName
	DisplayName string // empty: the name
	Roles       []ident.Role
	// Password is chosen by whoever owns the account; empty: one is generated
	// that has to be changed before the account can confirm anything.
	Password string
}

// Enrolment is what the owner of an account needs, shown once and kept by
// nobody. It prints as a placeholder.
type Enrolment struct {
	Password string    // the one-time password; empty when it was chosen
	Secret   []byte    // of the one-time codes
	Alg      Algorithm // of the one-time codes
	URI      string    // otpauth://…, with the same secret
}

// String keeps an enrolment out of logs and errors.
func (Enrolment) String() string { return "[enrolment]" }

// GoString does so for %#v.
func (Enrolment) GoString() string { return "[enrolment]" }

// administers says whether actor may change the tenant's accounts.
func administers(actor ident.Principal, tenant ident.Tenant) error {
	if !actor.Valid() || actor.Tenant != tenant || (actor.Kind != ident.System && !actor.Has(ident.Admin)) {
		return fault.New(fault.Denied, "only an admin of the tenant may see or change accounts")
	}
	return nil
}

// CreateAccount makes an account with a password and one-time codes. Errors:
// Denied, Invalid, Conflict when the name is taken.
func (d *Directory) CreateAccount(ctx context.Context, actor ident.Principal, n NewAccount, now time.Time) (Account, Enrolment, error) {
	if err := administers(actor, n.Tenant); err != nil {
		return Account{}, Enrolment{}, err
	}
	if n.DisplayName == "" {
		n.DisplayName = n.Name
	}
	if err := checkNew(n); err != nil {
		return Account{}, Enrolment{}, err
	}
	r := Record{Account: Account{Tenant: n.Tenant, ID: ident.New("acc"), Name: n.Name, DisplayName: n.DisplayName, Roles: n.Roles, CreatedAt: now}}
	e, err := d.enrol(ctx, &r, n.Password)
	if err != nil {
		return Account{}, Enrolment{}, err
	}
	if err := d.store.InsertAccount(ctx, r, accountCreated(actor, r.Account, now)); err != nil {
		return Account{}, Enrolment{}, err
	}
	return r.Account, e, nil
}

// enrol gives the record a new password, the chosen one or a generated one,
// and new one-time codes.
func (d *Directory) enrol(ctx context.Context, r *Record, chosen string) (e Enrolment, err error) {
	password := chosen
	if chosen == "" {
		password = strings.ToLower(rand.Text())
		e.Password = password
	}
	r.MustChange = chosen == ""
	if err := checkPassword(password, r.Name); err != nil {
		return Enrolment{}, err
	}
	if err := d.setPassword(ctx, r, password); err != nil {
		return Enrolment{}, err
	}
	r.Algorithm, r.TOTPSalt = defaultAlgorithm(), randomBytes(16)
	if e.Secret, err = d.totpSecretOf(r); err != nil {
		return Enrolment{}, err
	}
	e.Alg = r.Algorithm
	e.URI = otpauth(string(r.Tenant), r.Name, e.Secret, e.Alg)
	return e, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never errors
	return b
}

// Reset gives an account a new password and new one-time codes and ends its
// sessions, for somebody who lost theirs.
func (d *Directory) Reset(ctx context.Context, actor ident.Principal, tenant ident.Tenant, id string, now time.Time) (Enrolment, error) {
	var e Enrolment
	err := d.change(ctx, actor, tenant, id, "reset", true, now, func(r *Record) (err error) {
		e, err = d.enrol(ctx, r, "")
		return err
	})
	if err != nil {
		return Enrolment{}, err
	}
	return e, nil
}

// SetRoles replaces an account's roles. They hold from its next request.
func (d *Directory) SetRoles(ctx context.Context, actor ident.Principal, tenant ident.Tenant, id string, roles []ident.Role, now time.Time) error {
	return d.change(ctx, actor, tenant, id, "roles", false, now, func(r *Record) error {
		if actor.ID == id && actor.Has(ident.Admin) && !slices.Contains(roles, ident.Admin) {
			return fault.New(fault.Invalid, "an admin can't give up the role; another admin can take it away")
		}
		r.Roles = roles
		return checkRoles(roles)
	})
}

// Disable bars an account and ends its sessions, or lets it in again.
func (d *Directory) Disable(ctx context.Context, actor ident.Principal, tenant ident.Tenant, id string, disabled bool, now time.Time) error {
	what := "enabled"
	if disabled {
		what = "disabled"
	}
	return d.change(ctx, actor, tenant, id, what, disabled, now, func(r *Record) error {
		if actor.ID == id {
			return fault.New(fault.Invalid, "nobody can disable or enable their own account")
		}
		r.Disabled = disabled
		return nil
	})
}

// change applies one change of an admin to an account.
func (d *Directory) change(ctx context.Context, actor ident.Principal, tenant ident.Tenant, id, what string, endSessions bool, now time.Time, fn func(*Record) error) error {
	if err := administers(actor, tenant); err != nil {
		return err
	}
	r, err := d.store.AccountByID(ctx, tenant, id)
	if err != nil {
		return err
	}
	if err := fn(&r); err != nil {
		return err
	}
	return d.store.UpdateAccount(ctx, r, endSessions, accountChanged(actor, r.Account, what, now))
}

// Accounts lists the tenant's people by name.
func (d *Directory) Accounts(ctx context.Context, actor ident.Principal) ([]Account, error) {
	if err := administers(actor, actor.Tenant); err != nil {
		return nil, err
	}
	rs, err := d.store.Accounts(ctx, actor.Tenant)
	if err != nil {
		return nil, err
	}
	out := make([]Account, len(rs))
	for i, r := range rs {
		out[i] = r.Account
	}
	return out, nil
}

// Account is one person, by id. NotFound when the tenant has none.
func (d *Directory) Account(ctx context.Context, tenant ident.Tenant, id string) (Account, error) {
	r, err := d.store.AccountByID(ctx, tenant, id)
	return r.Account, err
}

// AccountNamed is one person, by name. NotFound when the tenant has none.
func (d *Directory) AccountNamed(ctx context.Context, tenant ident.Tenant, name string) (Account, error) {
	r, err := d.store.AccountByName(ctx, tenant, name)
	return r.Account, err
}

// maxDisplay is the most bytes of a display name.
const maxDisplay = 100

func checkNew(n NewAccount) error {
	if err := ident.CheckName(string(n.Tenant)); err != nil {
		return fault.Wrap(fault.Invalid, "checking the tenant", err)
	}
	if err := ident.CheckName(n.Name); err != nil {
		return fault.Wrap(fault.Invalid, "checking the account's name", err)
	}
	// Graphic only: a bidirectional override could show an approver as another.
	if len(n.DisplayName) > maxDisplay || strings.ContainsFunc(n.DisplayName, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return fault.Newf(fault.Invalid, "the display name is longer than %d bytes or has invisible characters", maxDisplay)
	}
	return checkRoles(n.Roles)
}

func checkRoles(roles []ident.Role) error {
	for i, r := range roles {
		if !slices.Contains(ident.Roles, r) {
			return fault.Newf(fault.Invalid, "%q is not a role", fault.Quote(string(r))).
				WithHint("the roles are %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(ident.Roles), " ", ", "), "[]"))
		}
		if slices.Contains(roles[:i], r) {
			return fault.Newf(fault.Invalid, "the role %q is given twice", r)
		}
	}
	return nil
}
