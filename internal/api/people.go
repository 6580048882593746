package api

import (
	"strings"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// Health is the answer of the health routes.
type Health struct {
	Status  string `json:"status"` // "ok"; "sealed" of a process that is alive and waits to be unsealed
	Version string `json:"version,omitempty"`
}

func (a *API) health() {
	handle(a, "GET", "/healthz", "The process is alive", anybody, func(*call, none) (Health, error) {
		if a.Vault.Sealed() {
			return Health{"sealed", a.Version}, nil
		}
		return Health{"ok", a.Version}, nil
	})
	handle(a, "GET", "/readyz", "The server takes requests", anybody, func(*call, none) (Health, error) {
		if err := a.Health(); err != nil {
			return Health{}, err
		}
		return Health{"ok", a.Version}, nil
	})
}

// SignIn is a request for a session.
type SignIn struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Code     string `json:"code"` // one-time code
}

// Session is the answer: the token is shown this once.
type Session struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expiresAt"`
	Me        Me        `json:"me"`
	// MustChange says that the password has to be changed before anything can
	// be confirmed with it.
	MustChange bool `json:"mustChange,omitempty"`
}

// Me is the caller.
type Me struct {
	Tenant ident.Tenant `json:"tenant"`
	Kind   ident.Kind   `json:"kind"`
	ID     string       `json:"id"`
	Name   string       `json:"name"`            // as it is shown
	Login  string       `json:"login,omitempty"` // of an account: what it signs in with
	Roles  []ident.Role `json:"roles"`
}

func (a *API) sessions() {
	handle(a, "POST", "/v1/sessions", "Sign in with password and one-time code", anybody, func(c *call, in SignIn) (Session, error) {
		s, token, err := a.Directory.SignIn(c.Context(), a.Tenant, in.Name, in.Password, in.Code, a.Now())
		if err != nil {
			return Session{}, err
		}
		return Session{Token: token, ExpiresAt: s.ExpiresAt, Me: me(s.Principal), MustChange: s.MustChange}, nil
	})
	handle(a, "DELETE", "/v1/sessions/current", "Sign out", signedIn, func(c *call, _ none) (none, error) {
		return none{}, a.Directory.SignOut(c.Context(), bearer(c), a.Now())
	})
	handle(a, "POST", "/v1/me/password", "Change one's own password; every session ends, and a new one begins", signedIn, func(c *call, in NewPassword) (Session, error) {
		s, token, err := a.Directory.ChangePassword(c.Context(), c.who, in.Password, in.Code, in.New, a.Now())
		return Session{Token: token, ExpiresAt: s.ExpiresAt, Me: me(s.Principal)}, err
	})
	handle(a, "GET", "/v1/me", "Who is signed in", signedIn, func(c *call, _ none) (Me, error) {
		m := me(c.who)
		if c.who.Kind == ident.Person {
			acc, err := a.Directory.Account(c.Context(), c.who.Tenant, c.who.ID)
			if err != nil {
				return Me{}, err
			}
			m.Login = acc.Name
		}
		return m, nil
	})
}

// NewPassword is a request to change one's own password.
type NewPassword struct {
	Password string `json:"password"`
	Code     string `json:"code"` // one-time code
	New      string `json:"new"`
}

func me(p ident.Principal) Me {
	return Me{Tenant: p.Tenant, Kind: p.Kind, ID: p.ID, Name: p.Name, Roles: p.Roles}
}

// bearer is the token that the caller was authenticated by.
func bearer(c *call) string {
	_, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token)
}

// NewAccount is a request for an account.
type NewAccount struct {
	Name  string       `json:"name"`
	Full  string       `json:"displayName,omitempty"`
	Roles []ident.Role `json:"roles"`
}

// Enrolled is the answer: password and otpauth URI are shown this once.
type Enrolled struct {
	Account  identity.Account `json:"account"`
	Password string           `json:"password"`
	OTPAuth  string           `json:"otpauth"`
}

// Accounts is a list of accounts.
type Accounts struct {
	Accounts []identity.Account `json:"accounts"`
}

func (a *API) accounts() {
	handle(a, "GET", "/v1/accounts", "List the accounts", with(ident.Admin), func(c *call, _ none) (Accounts, error) {
		l, err := a.Directory.Accounts(c.Context(), c.who)
		return Accounts{l}, err
	})
	handle(a, "POST", "/v1/accounts", "Create an account; its password and one-time code are shown this once", with(ident.Admin), func(c *call, in NewAccount) (Enrolled, error) {
		acc, e, err := a.Directory.CreateAccount(c.Context(), c.who, identity.NewAccount{
			Tenant: c.who.Tenant, Name: in.Name, DisplayName: in.Full, Roles: in.Roles,
		}, a.Now())
		return Enrolled{acc, e.Password, e.URI}, err
	})
	handle(a, "POST", "/v1/accounts/{account}/reset", "Give an account a new password and one-time code", with(ident.Admin), func(c *call, _ none) (Enrolled, error) {
		e, err := a.Directory.Reset(c.Context(), c.who, c.who.Tenant, c.PathValue("account"), a.Now())
		if err != nil {
			return Enrolled{}, err
		}
		acc, err := a.Directory.Account(c.Context(), c.who.Tenant, c.PathValue("account"))
		return Enrolled{acc, e.Password, e.URI}, err
	})
	handle(a, "POST", "/v1/accounts/{account}/disable", "End an account's use", with(ident.Admin), func(c *call, _ none) (none, error) {
		return none{}, a.Directory.Disable(c.Context(), c.who, c.who.Tenant, c.PathValue("account"), true, a.Now())
	})
}
