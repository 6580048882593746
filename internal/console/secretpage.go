package console

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// secretPage is what is known of one Secret.
type secretPage struct {
	Frame
	Secret      vault.Secret
	Connections []string
	Can         bool // who is signed in may change it
	Before      int  // the version that a rollback would activate, or 0
	// What was filled in to describe it.
	Description, Owner string
	Problem            *problem
}

func (*secretPage) name() string { return "secret" }

func (v *visit) showSecret() error { return v.secretPage(http.StatusOK, nil) }

func (v *visit) secretPage(status int, filled *secretPage) error {
	s, users, err := v.known()
	if err != nil {
		return err
	}
	p := &secretPage{Frame: Frame{Title: s.Name}, Secret: s, Connections: users, Can: v.who.Has(ident.Admin) && !s.Removed, Description: s.Description, Owner: s.Owner}
	if filled != nil {
		p.Description, p.Owner, p.Problem = filled.Description, filled.Owner, filled.Problem
	}
	if n, err := s.Before(); err == nil {
		p.Before = n
	}
	v.render(status, p)
	return nil
}

// known is the Secret that the path names, and who uses it.
func (v *visit) known() (vault.Secret, []string, error) {
	s, err := v.Vault.Show(v.Context(), v.who.Tenant, v.PathValue("secret"))
	if err != nil {
		return s, nil, err
	}
	w, err := v.Gate.World(v.who.Tenant)
	if err != nil {
		return s, nil, err
	}
	return s, w.Catalog.Uses(s.Name), nil
}

// describeSecret changes what people read.
func (v *visit) describeSecret() error {
	filled := &secretPage{Description: v.PostFormValue("description"), Owner: v.PostFormValue("owner")}
	_, err := v.Vault.Describe(v.Context(), v.who.Tenant, v.PathValue("secret"), vault.Edit{Description: &filled.Description, Owner: &filled.Owner}, v.who)
	if err != nil {
		var status int
		status, filled.Problem = v.explain(err)
		filled.Problem.Heading = "Nothing was changed"
		if status == http.StatusNotFound {
			return err
		}
		return v.secretPage(status, filled)
	}
	v.redirect("/secrets/" + v.PathValue("secret") + "?done=changed")
	return nil
}

// secretAction is something to do with a Secret, that is confirmed on a page of
// its own: what the page says is what its button does, or nothing happens.
type secretAction struct {
	Title, Says, Button string
	Ask                 bool // the name has to be typed
	do                  func(*visit, string, int) error
}

// secretActions are all of them, by the last part of their address.
var secretActions = map[string]secretAction{
	"activate": {"Activate a version", "Calls use this version from now on. The one that is active now gets its grace: calls that were decided on with it go on.", "Activate it", false,
		func(v *visit, name string, n int) error {
			_, err := v.Vault.Activate(v.Context(), v.who.Tenant, name, n, v.who)
			return err
		}},
	"rollback": {"Roll back", "Calls use this version again, the one before the active one. The one that is active now can be activated again.", "Roll back", false,
		func(v *visit, name string, n int) error {
			_, err := v.Vault.Rollback(v.Context(), v.who.Tenant, name, n, v.who)
			return err
		}},
	"disable": {"Disable a version", "No call can use this version any more, also none that was decided on with it. It can be activated again.", "Disable it", false,
		func(v *visit, name string, n int) error {
			_, err := v.Vault.Disable(v.Context(), v.who.Tenant, name, n, v.who)
			return err
		}},
	"destroy": {"Destroy", "Its key is overwritten and deleted. Nothing brings it back.", "Destroy it for good", true,
		func(v *visit, name string, n int) error {
			if n == 0 {
				return v.Vault.Remove(v.Context(), v.who.Tenant, name, v.who)
			}
			_, err := v.Vault.Destroy(v.Context(), v.who.Tenant, name, n, v.who)
			return err
		}},
}

type confirmPage struct {
	Frame
	Name, Action string
	Version      int // 0: all of it
	State        vault.State
	Does         secretAction
	Connections  []string
	Problem      *problem
}

func (*confirmPage) name() string { return "confirm" }

func (v *visit) confirmSecret() error { return v.confirm(http.StatusOK, v.FormValue("version"), nil) }

// confirm shows what would be done.
func (v *visit) confirm(status int, version string, bad *problem) error {
	does, ok := secretActions[v.PathValue("action")]
	if !ok {
		return v.noPage()
	}
	s, users, err := v.known()
	if err != nil {
		return err
	}
	p := &confirmPage{Frame: Frame{Title: does.Title}, Name: s.Name, Action: v.PathValue("action"), Does: does, Connections: users, Problem: bad}
	if p.Version, err = versionIn(version, p.Action); err != nil {
		return err
	}
	if p.Version > len(s.Versions) {
		return fault.New(fault.NotFound, "the secret has no such version")
	}
	if p.Version > 0 {
		p.State = s.Versions[p.Version-1].State
	}
	v.render(status, p)
	return nil
}

// versionIn reads a version's number. Only a whole Secret can be destroyed
// without one.
func versionIn(s, action string) (int, error) {
	if s == "" && action == "destroy" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "the version is not a number")
	}
	return n, nil
}

// changeSecret does what was confirmed.
func (v *visit) changeSecret() error {
	action, name := v.PathValue("action"), v.PathValue("secret")
	does, ok := secretActions[action]
	if !ok {
		return v.noPage()
	}
	n, err := versionIn(v.PostFormValue("version"), action)
	if err != nil {
		return err
	}
	if does.Ask && v.PostFormValue("again") != name {
		err = fault.New(fault.Invalid, "the name that was typed is another")
	} else {
		err = does.do(v, name, n)
	}
	if err != nil {
		status, bad := v.explain(err)
		bad.Heading = "Nothing was done"
		return v.confirm(status, v.PostFormValue("version"), bad)
	}
	if action == "destroy" && n == 0 {
		v.redirect("/secrets?done=destroyed")
		return nil
	}
	v.redirect("/secrets/" + name + "?done=changed")
	return nil
}
