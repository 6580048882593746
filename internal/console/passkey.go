package console

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
)

// passkeysPage lists a person's own passkeys, and enrols another.
type passkeysPage struct {
	Frame
	Passkeys []identity.Passkey
	Cannot   *problem // why this server has no passkeys
	Name     string   // what was filled in
	Problem  *problem
}

func (*passkeysPage) name() string { return "passkeys" }

func (v *visit) passkeys() error { return v.showPasskeys(http.StatusOK, &passkeysPage{}) }

func (v *visit) showPasskeys(status int, p *passkeysPage) error {
	p.Title, p.Passkey = "Passkeys", true
	var err error
	if p.Passkeys, err = v.Directory.Passkeys(v.Context(), v.who, v.who.ID); err != nil {
		return err
	}
	if _, err := v.Directory.Party(); err != nil {
		_, p.Cannot = v.explain(err)
	}
	v.render(status, p)
	return nil
}

// beginPasskey is what the page's script hands to an authenticator.
func (v *visit) beginPasskey() error {
	c, err := v.Directory.BeginPasskey(v.Context(), v.who, v.Now())
	return v.toScript(c, err)
}

func (v *visit) enrolPasskey() error {
	p := &passkeysPage{Name: v.PostFormValue("name")}
	err := v.enrolling(p)
	if err == nil {
		v.redirect("/passkeys?done=enrolled")
		return nil
	}
	var status int
	status, p.Problem = v.notDone(err, "No passkey was enrolled")
	return v.showPasskeys(status, p)
}

func (v *visit) enrolling(p *passkeysPage) error {
	e := identity.Enrolling{Challenge: v.PostFormValue("challenge"), Name: p.Name, Link: v.PostFormValue("link"),
		Password: v.PostFormValue("password"), Code: v.PostFormValue("code")}
	var err error
	if e.Attestation, err = v.octets("attestation"); err != nil {
		return err
	}
	if e.ClientData, err = v.octets("created"); err != nil {
		return err
	}
	if v.PostFormValue("credential") != "" {
		a, err := v.passkeyAnswer()
		if err != nil {
			return err
		}
		e.Answer = &a
	}
	_, err = v.Directory.EnrolPasskey(v.Context(), v.who, e, v.Now())
	return err
}

func (v *visit) removePasskey() error {
	err := v.Directory.RemovePasskey(v.Context(), v.who, v.who.ID, v.PathValue("passkey"), v.PostFormValue("password"), v.PostFormValue("code"), v.Now())
	if err == nil {
		v.redirect("/passkeys?done=removed")
		return nil
	}
	p := &passkeysPage{}
	var status int
	status, p.Problem = v.notDone(err, "Nothing was removed")
	return v.showPasskeys(status, p)
}

// challengeVerdict is what the Decision page's script hands to an authenticator: a
// challenge for this verdict on what the page showed.
func (v *visit) challengeVerdict() error {
	c, err := v.challengeFor(decision.Verdict(v.PostFormValue("verdict")))
	return v.toScript(c, err)
}

func (v *visit) challengeFor(verdict decision.Verdict) (identity.Challenge, error) {
	it, err := v.decision()
	if err != nil {
		return identity.Challenge{}, err
	}
	if !verdict.Known() {
		return identity.Challenge{}, decision.Refuse(decision.NoVerdict)
	}
	no, err := v.Desk.Would(v.Context(), v.who, it, verdict, v.Now())
	switch {
	case err != nil:
		return identity.Challenge{}, err
	case no != nil:
		return identity.Challenge{}, no
	case !intent.Digest(v.PostFormValue("digest")).Equal(it.Decision.Digest):
		return identity.Challenge{}, decision.Refuse(decision.Changed)
	}
	return v.Directory.Challenge(v.Context(), v.who, it.Decision.Act(verdict, v.who.ID), v.Now())
}

// proof makes a Factor of what a verdict's form came with: a passkey's answer, or
// password and one-time code.
func (v *visit) proof(it decision.Item, verdict decision.Verdict) (*decision.Factor, error) {
	act := it.Decision.Act(verdict, v.who.ID)
	switch {
	case v.PostFormValue("credential") != "":
		a, err := v.passkeyAnswer()
		if err != nil {
			return nil, err
		}
		return factorOf(v.Directory.ConfirmPasskey(v.Context(), v.who, a, act, v.Now()))
	case it.Decision.Passkey:
		return nil, decision.Refuse(decision.NeedsPasskey)
	}
	return v.freshly(act)
}

// freshly confirms, by the form's password and code, that who is signed in means one
// act.
func (v *visit) freshly(act intent.Digest) (*decision.Factor, error) {
	password, code := v.PostFormValue("password"), v.PostFormValue("code")
	if password == "" || code == "" {
		return nil, decision.Refuse(decision.NoFactor)
	}
	return factorOf(v.Directory.Confirm(v.Context(), v.who, password, code, act, v.Now()))
}

func factorOf(f identity.Factor, err error) (*decision.Factor, error) {
	if err != nil {
		return nil, err
	}
	out := decision.Factor(f)
	return &out, nil
}

// passkeyAnswer is an authenticator's, as the script put it into the form.
func (v *visit) passkeyAnswer() (a identity.Answer, err error) {
	a.Challenge = v.PostFormValue("challenge")
	for name, into := range map[string]*[]byte{"credential": &a.Credential, "authenticator": &a.AuthenticatorData, "client": &a.ClientData, "signature": &a.Signature} {
		if *into, err = v.octets(name); err != nil {
			return identity.Answer{}, err
		}
	}
	return a, nil
}

func (v *visit) octets(name string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(v.PostFormValue(name))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the passkey's answer is not in base64")
	}
	return b, nil
}

// toScript answers a script: a value, or why not.
func (v *visit) toScript(x any, err error) error {
	status := http.StatusOK
	if err != nil {
		var p *problem
		status, p = v.explain(err)
		x = map[string]string{"detail": p.Detail, "hint": p.Hint}
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fault.Wrap(fault.Internal, "encoding an answer", err)
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b) // the client is gone when this fails
	return nil
}
