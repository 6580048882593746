package console

import (
	"net/http"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/vault"
)

// incidentReaders may see incidents; see incident.Sees.
var incidentReaders = with(ident.Admin, ident.Auditor)

type incidentsPage struct {
	Frame
	State     string // of the list; "all"
	States    []string
	Filter    incident.Filter
	Incidents []incident.Incident
	Open      int    // in all
	Lost      int    // of those, such as can't be shown
	Next      string // after which the next page begins
}

func (*incidentsPage) name() string { return "incidents" }

// incidentRows is how many a page has.
const incidentRows = 50

func (v *visit) incidents() (err error) {
	p := &incidentsPage{Frame: Frame{Title: "Incidents"}, State: v.FormValue("state"), States: []string{incident.Open, incident.Closed, "all"},
		Filter: incident.Filter{Kind: incident.Kind(v.FormValue("kind")), Run: v.FormValue("run"), Secret: v.FormValue("secret"), After: v.FormValue("after"), Limit: incidentRows}}
	switch p.State {
	case "":
		p.State = incident.Open
		p.Filter.State = p.State
	case incident.Open, incident.Closed:
		p.Filter.State = p.State
	case "all":
	default:
		return fault.New(fault.Invalid, "there is no such state of an incident")
	}
	if p.Incidents, p.Open, err = v.Incidents.List(v.Context(), v.who, p.Filter); err != nil {
		return err
	}
	n := len(p.Incidents)
	if n == incidentRows {
		p.Next = p.Incidents[n-1].ID
	} else if p.Filter == (incident.Filter{State: incident.Open, Limit: incidentRows}) {
		p.Lost = max(0, p.Open-n)
	}
	v.render(http.StatusOK, p)
	return nil
}

type incidentPage struct {
	Frame
	Incident incident.Incident
	Story    incident.Story
	Can      bool // who is signed in may close it
	Rotate   bool // it can be closed as rotated
	Problem  *problem
}

func (*incidentPage) name() string { return "incident" }

func (v *visit) showIncident() error { return v.incidentPage(http.StatusOK, nil) }

func (v *visit) incidentPage(status int, bad *problem) error {
	s, err := v.Incidents.Show(v.Context(), v.who, v.PathValue("incident"))
	if err != nil {
		return err
	}
	open := s.State == incident.Open
	v.render(status, &incidentPage{Frame: Frame{Title: "Incident"}, Incident: s.Incident, Story: s.Story, Can: open && v.who.Has(ident.Admin),
		Rotate: s.Kind.Known(), Problem: bad})
	return nil
}

// incidentActions are what an admin does about one, by the last part of the address.
var incidentActions = map[string]func(*visit, string) error{
	"close": func(v *visit, id string) error {
		_, err := v.Incidents.Close(v.Context(), v.who, id, incident.Word{Outcome: v.PostFormValue("outcome"), Note: v.PostFormValue("note")}, v.Now())
		return err
	},
	"promote": func(v *visit, id string) error {
		p := incident.Promotion{Name: v.PostFormValue("name"), Field: v.PostFormValue("field"), AnyOrigin: v.PostFormValue("anywhere") == "yes", Note: v.PostFormValue("note")}
		if err := ident.CheckName(p.Name); err != nil {
			return fault.New(fault.Invalid, "the name is none that a Secret can have").WithHint("lower-case letters, digits and single hyphens, like crm-token")
		}
		if o := strings.Fields(v.PostFormValue("origins")); len(o) > 0 || p.AnyOrigin {
			p.Scope = &vault.Scope{Origins: o}
		}
		_, _, err := v.Incidents.Promote(v.Context(), v.who, id, p, v.Now())
		return err
	},
	"dismiss": func(v *visit, id string) error {
		if v.PostFormValue("sure") != "yes" {
			return fault.New(fault.Invalid, "it was not confirmed that it is no secret")
		}
		_, err := v.Incidents.Dismiss(v.Context(), v.who, id, v.PostFormValue("note"), v.Now())
		return err
	},
}

// changeIncident takes an admin's word. What was typed is not sent back when it is
// refused: it may be a secret.
func (v *visit) changeIncident() error {
	do, ok := incidentActions[v.PathValue("action")]
	if !ok {
		return v.noPage()
	}
	id := v.PathValue("incident")
	if err := do(v, id); err != nil {
		status, bad := v.explain(err)
		if status == http.StatusNotFound {
			return err
		}
		bad.Heading = "The incident is as it was"
		return v.incidentPage(status, bad)
	}
	v.redirect("/incidents/" + id + "?done=closed")
	return nil
}

// incidentsOf is how many incidents a Run has, on one page; 0 for who may not see
// them.
func (v *visit) incidentsOf(run string) (int, error) {
	if !incident.Sees(v.who) {
		return 0, nil
	}
	l, _, err := v.Incidents.List(v.Context(), v.who, incident.Filter{Run: run, Limit: incidentRows})
	return len(l), err
}
