package console

import (
	"net/http"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

type secretsPage struct {
	Frame
	Secrets []vault.Secret
	Can     bool // who is signed in may store values
	// What was filled in, without the values: those are never sent back.
	Name, Description, Form, How, Origins string
	AnyOrigin                             bool
	Problem                               *problem
}

func (*secretsPage) name() string { return "secrets" }

func (v *visit) secrets() error {
	return v.showSecrets(http.StatusOK, &secretsPage{Form: "token", How: "set"})
}

func (v *visit) showSecrets(status int, p *secretsPage) (err error) {
	p.Title, p.Can = "Secrets", v.who.Has(ident.Admin)
	if p.Secrets, err = v.Vault.List(v.Context(), v.who.Tenant); err != nil {
		return err
	}
	v.render(status, p)
	return nil
}

// storeSecret takes a value in. The vault wipes the bytes that it gets; the
// form's own text is the garbage collector's.
func (v *visit) storeSecret() error {
	p := &secretsPage{Name: v.PostFormValue("name"), Description: v.PostFormValue("description"), Form: v.PostFormValue("form"), How: v.PostFormValue("how"),
		Origins: v.PostFormValue("origins"), AnyOrigin: v.PostFormValue("anywhere") == "yes"}
	w := vault.Write{Tenant: v.who.Tenant, Name: p.Name, Description: p.Description, AnyOrigin: p.AnyOrigin, Actor: v.who}
	if o := strings.Fields(p.Origins); len(o) > 0 || p.AnyOrigin {
		w.Scope = &vault.Scope{Origins: o}
	}
	switch p.Form {
	case "token":
		w.Fields = map[string][]byte{"token": []byte(v.PostFormValue("token"))}
	case "login":
		w.Fields = map[string][]byte{"username": []byte(v.PostFormValue("username")), "password": []byte(v.PostFormValue("password"))}
	}
	clear(v.PostForm)
	clear(v.Form)
	var err error
	switch {
	case w.Fields == nil:
		err = fault.New(fault.Invalid, "neither a token nor a user name with a password was chosen")
	case p.How == "set":
		_, err = v.Vault.Set(v.Context(), w)
	case p.How == "rotate":
		_, err = v.Vault.Rotate(v.Context(), w)
	default:
		err = fault.New(fault.Invalid, "it was not chosen whether the value is used at once")
	}
	if err != nil {
		var status int
		status, p.Problem = v.explain(err)
		p.Problem.Heading = "Nothing was stored"
		return v.showSecrets(status, p)
	}
	v.redirect("/secrets?done=stored")
	return nil
}
