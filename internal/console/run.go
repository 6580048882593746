package console

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

type runsPage struct {
	Frame
	All  bool // not only their own
	Runs []intent.Run
}

func (*runsPage) name() string { return "runs" }

const maxRuns = 200

func (v *visit) runs() (err error) {
	p := &runsPage{Frame: Frame{Title: "Runs"}, All: seesAll(v.who)}
	starter := v.who.String()
	if p.All {
		starter = ""
	}
	if p.Runs, err = v.Store.Runs(v.Context(), v.who.Tenant, starter, maxRuns); err != nil {
		return err
	}
	v.render(http.StatusOK, p)
	return nil
}

// seesAll says who can list the Runs of others.
func seesAll(p ident.Principal) bool { return p.Has(ident.Auditor) || p.Has(ident.Admin) }

// facts is a Run without its rail; the live page replaces it as a whole.
type facts struct {
	Run      intent.Run
	Mission  string // its title, or its name where it has been removed
	Scripted bool
	Intents  []action // the last ones, and what waits
	Older    int      // how many there are besides
	Seen     int      // incidents that the viewer may look at
}

// action is an Intent with the way to its Decision.
type action struct {
	intent.Intent
	Decision string // id; empty where there is none, or none for this viewer
}

// observed is an Observation with the way to its Decision.
type observed struct {
	explain.Observation
	Decision string
	Audited  bool // the viewer may read the audit log
	// Step and Today are of a replay: what it was to the Worker, and what policy says
	// of it now.
	Step  gate.Did
	Today *gate.Today
}

type runPage struct {
	Frame
	facts
	Rail   []observed
	Last   int64 // sequence number of the last one
	Before int64 // the first one, where there are earlier ones; else 0
	Later  bool  // it is not the end of the rail
	CanEnd bool
	Asked  []question
}

func (*runPage) name() string { return "run" }

// What one page has at most.
const (
	maxRail    = 500 // Observations
	firstRail  = 60  // Observations of a Run's page: the last ones, or the last before one
	maxActions = 20  // actions, besides what waits for a person
)

// run loads the Run of the address, if who is signed in may see it. What they
// may not see does not exist for them.
func (v *visit) run() (intent.Run, error) {
	id := v.PathValue("run")
	r, err := v.Store.Run(v.Context(), v.who.Tenant, id)
	sees := false
	if err == nil {
		sees, err = v.Desk.Sees(v.Context(), v.who, r)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return intent.Run{}, err
	}
	if !sees {
		return intent.Run{}, fault.Newf(fault.NotFound, "there is no Run %q that you may see", fault.Quote(id))
	}
	return r, nil
}

func (v *visit) showRun() error {
	r, err := v.run()
	if err != nil {
		return err
	}
	p := &runPage{}
	before, _ := strconv.ParseInt(v.FormValue("before"), 10, 64) // what is no number means the end
	p.Later = before > 0
	if p.Rail, err = v.latest(r, before, firstRail); err != nil {
		return err
	}
	if n := len(p.Rail); n > 0 {
		p.Last = p.Rail[n-1].Seq
		if p.Rail[0].Seq > 1 {
			p.Before = p.Rail[0].Seq
		}
	}
	// After the rail, so that the facts are never older than what it shows.
	if p.facts, err = v.facts(r.ID); err != nil {
		return err
	}
	if p.Asked, err = v.questions(r); err != nil {
		return err
	}
	p.Title = p.Mission
	open := p.Run.State != intent.RunEnded
	p.Live = open && !p.Later
	p.CanEnd = open && (v.who.Has(ident.Admin) || v.who.String() == r.Starter)
	v.render(http.StatusOK, p)
	return nil
}

func (v *visit) observedAll(l []explain.Observation) (out []observed, err error) {
	out = make([]observed, len(l))
	for i, o := range l {
		if out[i], err = v.observed(o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// latest is the end of a Run's rail, or of what is before an Observation, in order:
// what a Worker put before it does not push what the systems answered off an
// approver's page, and a long rail costs no more than a short one.
func (v *visit) latest(r intent.Run, before int64, most int) ([]observed, error) {
	l, err := v.Rail.Latest(v.Context(), r.Tenant, r.ID, before, most)
	if err != nil {
		return nil, err
	}
	return v.observedAll(l)
}

func (v *visit) observed(o explain.Observation) (observed, error) {
	out := observed{Observation: o, Audited: seesAll(v.who)}
	if o.Kind != explain.Decision || o.Intent == "" {
		return out, nil
	}
	var err error
	out.Decision, err = v.decisionOf(o.Intent)
	return out, err
}

// decisionOf is the id of the latest Decision on an Intent, or "" where there is
// none that the viewer may see.
func (v *visit) decisionOf(id string) (string, error) {
	ds, err := v.Desk.Store.Decisions(v.Context(), v.who.Tenant, decision.Filter{Intent: id, Limit: maxRail})
	if err != nil || len(ds) == 0 {
		return "", err
	}
	d := ds[len(ds)-1]
	ok, err := v.sees(d)
	if !ok {
		return "", err
	}
	return d.ID, err
}

func (v *visit) facts(id string) (f facts, err error) {
	if f.Run, err = v.Store.Run(v.Context(), v.who.Tenant, id); err != nil {
		return f, err
	}
	f.Mission = f.Run.Mission
	if w, err := v.Gate.World(v.who.Tenant); err == nil {
		if m, ok := w.Catalog.Mission(f.Run.Mission); ok {
			s := shown(w, m)
			f.Mission, f.Scripted = s.Title, s.Scripted && f.Run.Worker == intent.BuiltIn
		}
	}
	if f.Seen, err = v.incidentsOf(id); err != nil {
		return f, err
	}
	l, all, err := v.Store.LastIntents(v.Context(), v.who.Tenant, id, maxActions)
	if err != nil {
		return f, err
	}
	f.Older = all - len(l)
	for _, it := range l {
		a := action{Intent: it}
		if it.Effect == resource.Write {
			if a.Decision, err = v.decisionOf(it.ID); err != nil {
				return f, err
			}
		}
		f.Intents = append(f.Intents, a)
	}
	return f, nil
}

func (v *visit) stopRun() error {
	r, err := v.run()
	if err != nil {
		return err
	}
	if err := v.Gate.StopRun(v.Context(), v.who, r.ID); err != nil {
		return err
	}
	v.redirect("/runs/" + r.ID + "?done=stopped")
	return nil
}
