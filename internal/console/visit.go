package console

import (
	"net/http"
	"net/url"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// visit is one request, with who makes it.
type visit struct {
	*http.Request
	*Console
	w   http.ResponseWriter
	who ident.Principal // zero where nobody is signed in
	// mustChange says that the password was chosen by somebody else.
	mustChange bool
}

// handle adds a route. An error that fn returns becomes an error page.
func (c *Console) handle(pattern string, acc access, fn func(*visit) error) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Request: r, Console: c, w: w}
		if err := v.enter(acc); err != nil {
			v.turnAway(err)
			return
		}
		if v.mustChange && !acc.open && r.URL.Path != passwordPath {
			v.redirect(passwordPath)
			return
		}
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				v.fail(fault.Newf(fault.Invalid, "the form can't be read, or is larger than %d KiB", maxForm>>10))
				return
			}
		}
		if err := fn(v); err != nil {
			v.fail(err)
		}
	})
}

// enter finds out who is there and whether they may use the route. On open
// routes a cookie that is not good any more is nobody.
func (v *visit) enter(acc access) error {
	err := v.authenticate()
	if acc.open {
		if fault.Is(err, fault.Unauthenticated) {
			err = nil
		}
		return err
	}
	if err != nil {
		return err
	}
	if !acc.allows(v.who) {
		return fault.New(fault.Denied, "this account may not open this page").WithHint("%s", acc.hint())
	}
	return nil
}

func (v *visit) authenticate() error {
	k, err := v.Cookie(v.cookieName())
	if err != nil || k.Value == "" {
		return fault.New(fault.Unauthenticated, "nobody is signed in")
	}
	who, err := v.Directory.Authenticate(v.Context(), k.Value, v.Now())
	if err != nil {
		return err
	}
	if who.Kind != ident.Person || who.Tenant != v.Tenant {
		return fault.New(fault.Unauthenticated, "the session is not one of a person here")
	}
	acc, err := v.Directory.Account(v.Context(), who.Tenant, who.ID)
	if err != nil {
		return err
	}
	v.who, v.mustChange = who, acc.MustChange
	return nil
}

// turnAway sends who is not signed in to the sign-in page and then back.
func (v *visit) turnAway(err error) {
	if fault.Is(err, fault.Unauthenticated) && v.Method == http.MethodGet && v.Header.Get("Accept") != eventStream {
		v.redirect(signInPath + "?next=" + url.QueryEscape(v.URL.RequestURI()))
		return
	}
	v.fail(err)
}

// redirect answers with another page of ours, to be fetched with GET.
func (v *visit) redirect(path string) {
	http.Redirect(v.w, v.Request, path, http.StatusSeeOther)
}

// noPage answers for every address that is none of ours.
func (v *visit) noPage() error {
	return fault.New(fault.NotFound, "there is no such page").WithHint("begin at the first page")
}

// foreignForm refuses a form that another site's page sent.
func (c *Console) foreignForm(w http.ResponseWriter, r *http.Request) {
	v := &visit{Request: r, Console: c, w: w}
	v.fail(fault.New(fault.Denied, "the form was sent from another site's page").WithHint("open the page here and send the form from it"))
}
