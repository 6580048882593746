package console

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// connectionReaders may see what is known of Connections' credentials.
var connectionReaders = with(ident.Admin, ident.Builder, ident.Auditor)

type connectionsPage struct {
	Frame
	Connections []gate.Linked
}

func (*connectionsPage) name() string { return "connections" }

func (v *visit) connections() (err error) {
	p := &connectionsPage{Frame: Frame{Title: "Connections"}}
	if p.Connections, err = v.Gate.Connections(v.Context(), v.who.Tenant); err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

type connectionPage struct {
	Frame
	gate.Linked
	Can     bool        // who is signed in may authorise it
	Grant   vault.Grant // just begun, or none
	Problem *problem
}

func (*connectionPage) name() string { return "connection" }

func (v *visit) showConnection() error {
	return v.connectionPage(http.StatusOK, &connectionPage{})
}

func (v *visit) connectionPage(status int, p *connectionPage) error {
	list, err := v.Gate.Connections(v.Context(), v.who.Tenant)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Name == v.PathValue("connection") {
			p.Title, p.Linked, p.Can = "Connection", c, c.Person && v.who.Has(ident.Admin)
			v.render(status, p)
			return nil
		}
	}
	return fault.New(fault.NotFound, "there is no such Connection")
}

// session names the browser's session without being good for it.
func (v *visit) session() string {
	k, err := v.Cookie(v.cookieName())
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte("sallyport authorization\n" + k.Value))
	return hex.EncodeToString(sum[:])
}

// authorize begins an authorization, and shows the link to the issuer: a page of ours
// says where it leads, and a form may lead nowhere else.
func (v *visit) authorize() error {
	p := &connectionPage{}
	g, err := v.Systems.Authorize(v.Context(), v.who, v.PathValue("connection"), v.session())
	if err != nil {
		var status int
		status, p.Problem = v.explain(err)
		p.Problem.Heading = "It can't be authorised"
		return v.connectionPage(status, p)
	}
	p.Grant = g
	return v.connectionPage(http.StatusOK, p)
}

// callback takes what an issuer sends a person back with. The address has a code in it:
// it is in no page, in no link and in no other address, and who is not signed in is not
// sent to sign in and back.
func (v *visit) callback() error {
	v.w.Header().Set("Referrer-Policy", "no-referrer")
	if !v.who.Valid() || v.mustChange {
		return fault.New(fault.Unauthenticated, "nobody is signed in here, so the authorization is nobody's").
			WithHint("sign in with the account that began it, and begin it again")
	}
	if !v.who.Has(ident.Admin) {
		return fault.New(fault.Denied, "this account may not authorise Connections").WithHint("%s", with(ident.Admin).hint())
	}
	q := v.URL.Query()
	a := vault.GrantAnswer{Error: q.Has("error")}
	for name, into := range map[string]*string{"state": &a.State, "code": &a.Code, "iss": &a.Issuer} {
		if len(q[name]) > 1 { // RFC 6749, section 3.1
			return fault.New(fault.Denied, "the answer says something twice")
		}
		*into = q.Get(name)
	}
	g, err := v.Systems.Authorized(v.Context(), v.who, v.session(), a)
	if err != nil {
		return err
	}
	v.redirect("/connections/" + g.Connection + "?done=authorised")
	return nil
}

// clientDocument says who we are as a client, to whoever asks.
func (c *Console) clientDocument(w http.ResponseWriter, _ *http.Request) {
	b := c.Systems.ClientDocument()
	if b == nil {
		http.Error(w, "This server has no https URL of its own.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(b) // the client is gone when this fails
}
