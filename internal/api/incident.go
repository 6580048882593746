package api

import (
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/vault"
)

// Incidents is a page of incidents, the newest first.
type Incidents struct {
	Incidents []incident.Incident `json:"incidents"`
	Open      int                 `json:"open"` // in all, also such as can't be shown
}

// PromotedSecret is what was in quarantine, and the incident that is closed with it.
type PromotedSecret struct {
	Incident incident.Incident `json:"incident"`
	Secret   vault.Secret      `json:"secret"` // without its value
}

// Dismissal says that what is in quarantine is no secret.
type Dismissal struct {
	Note string `json:"note,omitempty"` // one line
}

func (a *API) incidents() {
	readers := with(ident.Admin, ident.Auditor)
	handle(a, "GET", "/v1/incidents", "List a page of incidents, the newest first; ?state= (open or closed) ?kind= ?run= ?secret= ?after= (an incident's id) ?limit=", readers, func(c *call, _ none) (Incidents, error) {
		f := incident.Filter{State: c.FormValue("state"), Kind: incident.Kind(c.FormValue("kind")), Run: c.FormValue("run"), Secret: c.FormValue("secret"), After: c.FormValue("after"), Limit: limit(c, 50)}
		if f.State != "" && f.State != incident.Open && f.State != incident.Closed {
			return Incidents{}, fault.New(fault.Invalid, "the state is neither open nor closed")
		}
		l, open, err := a.Incidents.List(c.Context(), c.who, f)
		return Incidents{emptied(l), open}, err
	})
	handle(a, "GET", "/v1/incidents/{incident}", "Show an incident, with how the secret could get there and what to do", readers, func(c *call, _ none) (incident.Shown, error) {
		return a.Incidents.Show(c.Context(), c.who, c.PathValue("incident"))
	})
	handle(a, "POST", "/v1/incidents/{incident}/close", "Close an incident: as rotated, or as explained with a note", with(ident.Admin), func(c *call, in incident.Word) (incident.Incident, error) {
		return a.Incidents.Close(c.Context(), c.who, c.PathValue("incident"), in, a.Now())
	})
	handle(a, "POST", "/v1/incidents/{incident}/promote", "Make what is in quarantine a Secret, or a pending version of one, and close the incident", with(ident.Admin), func(c *call, in incident.Promotion) (out PromotedSecret, err error) {
		out.Incident, out.Secret, err = a.Incidents.Promote(c.Context(), c.who, c.PathValue("incident"), in, a.Now())
		return out, err
	})
	handle(a, "POST", "/v1/incidents/{incident}/dismiss", "Destroy what is in quarantine, let the same value through from now on, and close the incident", with(ident.Admin), func(c *call, in Dismissal) (incident.Incident, error) {
		return a.Incidents.Dismiss(c.Context(), c.who, c.PathValue("incident"), in.Note, a.Now())
	})
}
