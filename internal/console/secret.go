package console

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

type secretsPage struct {
	Frame
	Secrets []vault.Secret
	Can     bool // who is signed in may store values
	TLS     bool // the form goes over TLS
	// What was filled in, without the values: those are never sent back.
	Name, Description, Form, How, Origins, Expires string
	AnyOrigin, Meant                               bool
	Problem                                        *problem
}

func (*secretsPage) name() string { return "secrets" }

func (v *visit) secrets() error {
	return v.showSecrets(http.StatusOK, &secretsPage{Form: "token", How: "set"})
}

func (v *visit) showSecrets(status int, p *secretsPage) (err error) {
	p.Title, p.Can, p.TLS = "Secrets", v.who.Has(ident.Admin), v.Secure
	p.Intake = p.Can
	if p.Secrets, err = v.Vault.List(v.Context(), v.who.Tenant); err != nil {
		return err
	}
	v.render(status, p)
	return nil
}

// intakeKey is what the page's script encrypts one value to.
func (v *visit) intakeKey() error {
	k, err := v.Vault.IntakeKey(v.who.Tenant, v.who)
	if err != nil {
		return err
	}
	b, err := json.Marshal(k)
	if err != nil {
		return fault.Wrap(fault.Internal, "encoding the intake key", err)
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, _ = v.w.Write(b) // the client is gone when this fails
	return nil
}

// storeSecret takes a value in: encrypted by the page's script, or as it is. The
// vault wipes the bytes that it gets; the form's own text is the garbage
// collector's.
func (v *visit) storeSecret() error {
	p := &secretsPage{Name: v.PostFormValue("name"), Description: v.PostFormValue("description"), Form: v.PostFormValue("form"), How: v.PostFormValue("how"),
		Origins: v.PostFormValue("origins"), Expires: v.PostFormValue("expires"), AnyOrigin: v.PostFormValue("anywhere") == "yes",
		Meant: v.PostFormValue("recorded") == "yes"}
	w, err := v.filledIn(p)
	clear(v.PostForm)
	clear(v.Form)
	switch {
	case err != nil:
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

// filledIn is the form as a Write. Where and how long the value may be used is
// made as the page's script makes it.
func (v *visit) filledIn(p *secretsPage) (vault.Write, error) {
	w := vault.Write{Tenant: v.who.Tenant, Name: p.Name, Description: p.Description, AnyOrigin: p.AnyOrigin, AlthoughRecorded: p.Meant, Actor: v.who}
	if o := strings.Fields(p.Origins); len(o) > 0 || p.AnyOrigin {
		w.Scope = &vault.Scope{Origins: o}
	}
	if p.Expires != "" {
		var err error
		if w.Expires, err = time.Parse(time.DateOnly, p.Expires); err != nil {
			return w, fault.New(fault.Invalid, "the day on which it expires is not one").WithHint("write it like 2027-03-01")
		}
	}
	var fields []string
	switch p.Form {
	case "token":
		fields = []string{"token"}
	case "login":
		fields = []string{"username", "password"}
	default:
		return w, fault.New(fault.Invalid, "neither a token nor a user name with a password was chosen")
	}
	if sealed := v.PostFormValue("sealed"); sealed != "" {
		var err error
		if w.Sealed, err = base64.StdEncoding.DecodeString(sealed); err != nil {
			return w, fault.New(fault.Invalid, "the encrypted value is not in base64")
		}
	}
	w.Fields = map[string][]byte{}
	for _, f := range fields {
		if s := v.PostFormValue(f); s != "" || w.Sealed == nil {
			w.Fields[f] = []byte(s)
		}
	}
	return w, nil
}
