package console

import (
	"net/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

type unknownPage struct {
	Frame
	Intents []intent.Intent
	Can     bool   // who is signed in may say what became of them
	Of      string // the Intent that Problem is about
	Why     string
	Problem *problem
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
	said := v.PostFormValue("applied")
	err := error(fault.New(fault.Invalid, "neither applied nor not applied was chosen"))
	if said == "yes" || said == "no" {
		_, err = v.Gate.Resolve(v.Context(), v.who, p.Of, said == "yes", p.Why)
	}
	if err != nil {
		var status int
		status, p.Problem = v.explain(err)
		p.Problem.Heading = "Nothing was recorded"
		return v.showUnknown(status, p)
	}
	v.redirect("/unknown?done=resolved")
	return nil
}
