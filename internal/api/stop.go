package api

import (
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Stops lists what people have stopped, the oldest first.
type Stops struct {
	Stops []intent.Stop `json:"stops"`
}

// Lift asks for a stop to be lifted, with a fresh proof.
type Lift struct {
	gate.Halt
	Fresh
}

// stops are the routes of the kill switch. Throwing it takes no proof: it has to
// be quick, and keeps things from happening.
func (a *API) stops() {
	handle(a, "GET", "/v1/stops", "List what is stopped by the kill switch", with(ident.Approver, ident.Auditor, ident.Admin), func(c *call, _ none) (Stops, error) {
		l, err := a.Gate.Stops.Stops(c.Context(), c.who.Tenant)
		return Stops{emptied(l)}, err
	})
	handle(a, "POST", "/v1/stops", "Throw the kill switch: no credential is used for a Run, a Mission, a Connection, an outside Worker, or at all", signedIn, func(c *call, in gate.Halt) (intent.Stop, error) {
		return a.Gate.Stop(c.Context(), c.who, in)
	})
	handle(a, "POST", "/v1/stops/resume", "Lift a stop, with password and one-time code", with(ident.Admin), func(c *call, in Lift) (none, error) {
		if in.Password == "" || in.Code == "" {
			return none{}, fault.New(fault.Denied, "to resume takes the password and a one-time code")
		}
		f, err := a.Directory.Authorize(c.Context(), c.who, in.Password, in.Code, gate.ResumeAct(in.Halt, c.who), a.Now())
		if err != nil {
			return none{}, err
		}
		return none{}, a.Gate.Resume(c.Context(), c.who, in.Halt, decision.Factor(f))
	})
}
