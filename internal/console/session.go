package console

import (
	"net/http"

	"sallyport.dev/internal/fault"
)

// The pages of signing in.
const (
	signInPath   = "/signin"
	passwordPath = "/password"
)

type signInPage struct {
	Frame
	Name    string
	Next    string
	Problem *problem
}

func (*signInPage) name() string { return "signin" }

func (v *visit) signInForm() error {
	v.render(http.StatusOK, &signInPage{Frame: Frame{Title: "Sign in"}, Next: localPath(v.FormValue("next"))})
	return nil
}

// signIn starts a session. What is wrong is not said: package identity has one
// answer for all of it.
func (v *visit) signIn() error {
	p := &signInPage{Frame: Frame{Title: "Sign in"}, Name: v.PostFormValue("name"), Next: localPath(v.PostFormValue("next"))}
	s, token, err := v.Directory.SignIn(v.Context(), v.Tenant, p.Name, v.PostFormValue("password"), v.PostFormValue("code"), v.Now())
	if err != nil {
		var status int
		status, p.Problem = v.explain(err)
		if fault.Is(err, fault.Unauthenticated) {
			p.Problem.Heading = "You are not signed in"
		}
		v.render(status, p)
		return nil
	}
	v.setCookie(v.w, token)
	if s.MustChange {
		v.redirect(passwordPath)
		return nil
	}
	v.redirect(p.Next)
	return nil
}

// signOut ends the session. One that has ended already is signed out too.
func (v *visit) signOut() error {
	if k, err := v.Cookie(v.cookieName()); err == nil {
		if err := v.Directory.SignOut(v.Context(), k.Value, v.Now()); err != nil && !fault.Is(err, fault.Unauthenticated) {
			return err
		}
	}
	v.setCookie(v.w, "")
	v.redirect(signInPath + "?done=signout")
	return nil
}

type passwordPage struct {
	Frame
	Must    bool // before anything else
	Problem *problem
}

func (*passwordPage) name() string { return "password" }

func (v *visit) passwordForm() error {
	v.render(http.StatusOK, &passwordPage{Frame: Frame{Title: "Change your password"}, Must: v.mustChange})
	return nil
}

func (v *visit) changePassword() error {
	next := v.PostFormValue("new")
	err := error(fault.New(fault.Invalid, "the new password and its repetition are not the same"))
	var token string
	if next == v.PostFormValue("again") {
		_, token, err = v.Directory.ChangePassword(v.Context(), v.who, v.PostFormValue("password"), v.PostFormValue("code"), next, v.Now())
	}
	if err != nil {
		p := &passwordPage{Frame: Frame{Title: "Change your password"}, Must: v.mustChange}
		var status int
		status, p.Problem = v.explain(err)
		p.Problem.Heading = "The password was not changed"
		v.render(status, p)
		return nil
	}
	v.setCookie(v.w, token)
	v.redirect("/?done=password")
	return nil
}
