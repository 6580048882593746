package console

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

type unknownPage struct {
	Frame
	Intents  []intent.Intent
	Can      bool   // who is signed in may say what became of them
	Of       string // the Intent that Problem is about
	Why      string
	Finding  gate.Finding
	Revision int
	Problem  *problem
}

func (*unknownPage) name() string { return "unknown" }

func (v *visit) unknown() error { return v.showUnknown(http.StatusOK, &unknownPage{}) }

func (v *visit) showUnknown(status int, p *unknownPage) (err error) {
	p.Title, p.Can = "Unknown outcomes", v.who.Has(ident.Admin)
	if p.Intents, err = v.Store.IntentsIn(v.Context(), v.who.Tenant, intent.NeedsHuman); err != nil {
		return err
	}
	v.render(status, p)
	return nil
}

// resolve takes a person's word on what became of a write.
func (v *visit) resolve() error {
	p := &unknownPage{Of: v.PathValue("intent"), Why: v.PostFormValue("why")}
	p.Finding = gate.Finding(v.PostFormValue("finding"))
	p.Revision, _ = strconv.Atoi(v.PostFormValue("revision")) // 0 is none that is
	if err := v.sayWhat(p); err != nil {
		var status int
		status, p.Problem = v.notDone(err, "Nothing was recorded")
		return v.showUnknown(status, p)
	}
	v.redirect("/unknown?done=resolved")
	return nil
}

// sayWhat hands the word on, with a fresh proof. What a code would be spent on in
// vain is refused before it is spent.
func (v *visit) sayWhat(p *unknownPage) error {
	r := gate.Resolution{Finding: p.Finding, Revision: p.Revision, Why: p.Why}
	q, err := v.Gate.Ask(v.Context(), v.who, p.Of, r)
	if err != nil {
		return err
	}
	f, err := v.fresh(q.Act(r, v.who.ID))
	if err != nil {
		return err
	}
	r.Factor = f
	_, err = v.Gate.Resolve(v.Context(), v.who, p.Of, r)
	return err
}

// fresh takes the password and the one-time code of the form for one act.
func (v *visit) fresh(act intent.Digest) (decision.Factor, error) {
	password, code := v.PostFormValue("password"), v.PostFormValue("code")
	if password == "" || code == "" {
		return decision.Factor{}, fault.New(fault.Denied, "this takes your password and a one-time code")
	}
	f, err := v.Directory.Authorize(v.Context(), v.who, password, code, act, v.Now())
	return decision.Factor(f), err
}
