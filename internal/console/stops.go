package console

import (
	"net/http"

	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// stopsPage is the kill switch.
type stopsPage struct {
	Frame
	CanStop, CanResume bool
	Kind               intent.StopKind // what was chosen
	Name               string          // of the stop that Problem is about; what was typed is not shown again
	Resuming           bool            // Problem is of the form that resumes
	Problem            *problem
}

func (*stopsPage) name() string { return "stops" }

func (v *visit) showStops() error {
	return v.stopsPage(http.StatusOK, &stopsPage{})
}

func (v *visit) stopsPage(status int, p *stopsPage) error {
	p.Title = "Kill switch"
	p.CanResume = v.who.Has(ident.Admin)
	p.CanStop = p.CanResume || v.who.Has(ident.Approver)
	v.render(status, p)
	return nil
}

// stop throws the kill switch.
func (v *visit) stop() error {
	h := v.halt()
	if _, err := v.Gate.Stop(v.Context(), v.who, h); err != nil {
		return v.notSwitched(h, false, err)
	}
	v.redirect("/stops?done=switched")
	return nil
}

// resume lifts a stop.
func (v *visit) resume() error {
	h := v.halt()
	f, err := v.fresh(gate.ResumeAct(h, v.who))
	if err == nil {
		err = v.Gate.Resume(v.Context(), v.who, h, f)
	}
	if err != nil {
		return v.notSwitched(h, true, err)
	}
	v.redirect("/stops?done=resumed")
	return nil
}

func (v *visit) halt() gate.Halt {
	h := gate.Halt{Kind: intent.StopKind(v.PostFormValue("kind")), Name: v.PostFormValue("name"), Reason: v.PostFormValue("reason")}
	if h.Kind == intent.StopAll {
		h.Name = ""
	}
	return h
}

// notSwitched shows the page again with why. Password and code are not in it.
func (v *visit) notSwitched(h gate.Halt, resuming bool, cause error) error {
	p := &stopsPage{Kind: h.Kind, Name: h.Name, Resuming: resuming}
	var status int
	status, p.Problem = v.notDone(cause, "Nothing was changed")
	return v.stopsPage(status, p)
}

// stopped is what the banner of every page says: a page must not look as if all
// went on. Whether anything is stopped can't always be read; then it says so.
func (v *visit) stopped() (list []intent.Stop, unread bool) {
	if !v.who.Valid() {
		return nil, false
	}
	list, err := v.Gate.Stops.Stops(v.Context(), v.who.Tenant)
	return list, err != nil
}
