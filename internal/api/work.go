package api

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"time"
)

// Missions is a list of Missions.
type Missions struct {
	Missions []resource.Mission `json:"missions"`
}

// StartRun is a request for a Run.
type StartRun struct {
	Input map[string]any `json:"input,omitempty"`
	// Outside says that a Worker outside will do the Run: the answer then has
	// its token.
	Outside bool   `json:"outside,omitempty"`
	Key     string `json:"key,omitempty"` // the same key gives the same Run
}

// Started is the answer. Token is shown this once, and only of a Run that a
// Worker outside does.
type Started struct {
	Run   intent.Run `json:"run"`
	Token string     `json:"token,omitempty"`
}

// runTokenLife is how long a Run's token is good for, at most.
const runTokenLife = 30 * 24 * time.Hour

func (a *API) missions() {
	handle(a, "GET", "/v1/missions", "List the Missions", signedIn, func(c *call, _ none) (Missions, error) {
		w, err := a.Gate.World(c.who.Tenant)
		if err != nil {
			return Missions{}, err
		}
		out := Missions{Missions: []resource.Mission{}}
		for _, r := range w.Catalog.Resources() {
			if m, ok := r.(*resource.Mission); ok {
				out.Missions = append(out.Missions, *m)
			}
		}
		return out, nil
	})
	handle(a, "POST", "/v1/missions/{mission}/runs", "Start a Run; an outside Worker starts one for itself, of a Mission that lists it, or gets the one it has open",
		access{roles: []ident.Role{ident.Requester}, outside: true}, func(c *call, in StartRun) (Started, error) {
			if c.who.Kind == ident.Worker {
				return a.workerStarts(c, in)
			}
			input, err := intent.Marshal(in.Input)
			if err != nil {
				return Started{}, err
			}
			if in.Input == nil {
				input = nil
			}
			via := "api"
			if c.Header.Get("User-Agent") == UserAgentCLI {
				via = "cli"
			}
			r, err := a.Gate.StartRun(c.Context(), c.who, gate.Start{
				Mission: c.PathValue("mission"), Input: input, Via: via, Source: gate.Source(c.Request), Outside: in.Outside, Key: in.Key,
			})
			if err != nil {
				return Started{}, err
			}
			c.status = http.StatusCreated
			out := Started{Run: r}
			if r.Worker == intent.Outside {
				now := a.Now()
				out.Token, err = a.Directory.MintRun(c.Context(), r.Tenant, r.ID, now.Add(runTokenLife), now)
			}
			return out, err
		})
}

// HandIn is an input with something in it that looks like a secret.
type HandIn struct {
	Input map[string]any `json:"input"`
}

func (a *API) handIn() {
	handle(a, "POST", "/v1/missions/{mission}/hand-in", "Hand in what looks like a secret, instead of starting a Run with it",
		with(ident.Requester), func(c *call, in HandIn) (gate.HandedIn, error) {
			input, err := intent.Marshal(in.Input)
			if err != nil {
				return gate.HandedIn{}, err
			}
			return a.Gate.HandIn(c.Context(), c.who, gate.Start{Mission: c.PathValue("mission"), Input: input, Outside: true})
		})
}

// UserAgentCLI is how the CLI names itself; it decides nothing but how a Run's
// start is described.
const UserAgentCLI = "sallyport-cli"

// Runs is a list of Runs, the newest first.
type Runs struct {
	Runs []intent.Run `json:"runs"`
}

// Intents is a list of Intents, the oldest first.
type Intents struct {
	Intents []intent.Intent `json:"intents"`
}

// Observations is a page of a Run's Explain rail.
type Observations struct {
	Observations []explain.Observation `json:"observations"`
}

const maxPage = 500

func (a *API) runs() {
	readers := access{person: true, run: true}
	handle(a, "GET", "/v1/runs", "List the Runs that the caller may see", signedIn, func(c *call, _ none) (Runs, error) {
		starter := c.who.String()
		if seesAll(c.who) {
			starter = ""
		}
		l, err := a.Store.Runs(c.Context(), c.who.Tenant, starter, limit(c, 100))
		return Runs{emptied(l)}, err
	})
	handle(a, "GET", "/v1/runs/{run}", "Show a Run, with what holds it up", readers, a.showRun)
	handle(a, "POST", "/v1/runs/{run}/stop", "Stop a Run", signedIn, func(c *call, _ none) (none, error) {
		if _, err := a.run(c); err != nil {
			return none{}, err
		}
		return none{}, a.Gate.StopRun(c.Context(), c.who, c.PathValue("run"))
	})
	handle(a, "GET", "/v1/runs/{run}/intents", "List a Run's Intents", readers, func(c *call, _ none) (Intents, error) {
		r, err := a.run(c)
		if err != nil {
			return Intents{}, err
		}
		l, err := a.Store.Intents(c.Context(), r.Tenant, r.ID)
		return Intents{emptied(l)}, err
	})
	handle(a, "GET", "/v1/runs/{run}/intents/{intent}", "Show an Intent, with what holds it up", readers, a.showIntent)
	handle(a, "GET", "/v1/runs/{run}/observations", "A page of a Run's Explain rail: after the sequence number ?after=, or the last ones before ?before= (0: of all)", readers, a.observations)
	handle(a, "GET", "/v1/runs/{run}/replay", "A page of what the Run's Worker saw and did, from the record alone, after ?after=, with what policy says of each action today; nothing is sent",
		signedIn, func(c *call, _ none) (gate.Replay, error) {
			after, _ := strconv.ParseInt(c.FormValue("after"), 10, 64) // what is no number means the beginning
			return a.Gate.Replay(c.Context(), c.who, c.PathValue("run"), after, limit(c, 0))
		})
	a.follow(readers)
}

func (a *API) observations(c *call, _ none) (Observations, error) {
	r, err := a.run(c)
	if err != nil {
		return Observations{}, err
	}
	n := limit(c, maxPage)
	if c.FormValue("before") != "" {
		before, _ := strconv.ParseInt(c.FormValue("before"), 10, 64) // what is no number means the end
		l, err := a.Rail.Latest(c.Context(), r.Tenant, r.ID, before, n)
		return Observations{emptied(l)}, err
	}
	after, _ := strconv.ParseInt(c.FormValue("after"), 10, 64) // what is no number means the beginning
	l, err := a.Rail.List(c.Context(), r.Tenant, r.ID, after, n)
	return Observations{emptied(l)}, err
}

// run loads the Run of the path, if the caller may see it. What they may not see
// does not exist for them.
func (a *API) run(c *call) (intent.Run, error) {
	r, err := a.Store.Run(c.Context(), c.who.Tenant, c.PathValue("run"))
	sees := false
	if err == nil {
		sees, err = a.Desk.Sees(c.Context(), c.who, r)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return intent.Run{}, err
	}
	if !sees {
		return intent.Run{}, fault.Newf(fault.NotFound, "there is no Run %q that you may see", fault.Quote(c.PathValue("run")))
	}
	return r, nil
}

// seesAll says who can list the Runs of others.
func seesAll(p ident.Principal) bool { return p.Has(ident.Auditor) || p.Has(ident.Admin) }

func limit(c *call, def int) int {
	n, err := strconv.Atoi(c.FormValue("limit"))
	if err != nil || n <= 0 || n > maxPage {
		return def
	}
	return n
}

// emptied makes a nil list an empty one: JSON's [] instead of null.
func emptied[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Conclusion is what a Worker concluded, for the Explain rail.
type Conclusion struct {
	Kind  explain.Kind `json:"kind"` // plan, reasoning, retrieval, inference or check
	Title string       `json:"title"`
	Text  string       `json:"text,omitempty"`
}

// End is a Worker's verdict.
type End struct {
	Verdict string `json:"verdict"`
	Summary string `json:"summary,omitempty"`
}

// workers are the routes of a Worker outside, each for its own Run.
func (a *API) workers() {
	handle(a, "GET", "/v1/runs/{run}/brief", "What the Run is for and what its Worker can propose", worker, func(c *call, _ none) (intent.Brief, error) {
		return a.Gate.Brief(c.Context(), c.who)
	})
	handle(a, "POST", "/v1/runs/{run}/intents", "Propose an action; 202 when it waits for a Decision", worker, func(c *call, in intent.Proposal) (intent.Intent, error) {
		in.Source = gate.Source(c.Request)
		it, err := a.Gate.Admit(c.Context(), c.who, in)
		if it.State.Open() {
			c.status = http.StatusAccepted
		}
		return it, err
	})
	handle(a, "POST", "/v1/runs/{run}/observations", "Put what the Worker says (plan, reasoning, retrieval, inference, check) on the Run's Explain rail", worker, func(c *call, in Conclusion) (none, error) {
		return none{}, a.Gate.Observe(c.Context(), c.who, in.Kind, in.Title, in.Text)
	})
	handle(a, "POST", "/v1/runs/{run}/end", "End the Run with its verdict", worker, func(c *call, in End) (none, error) {
		return none{}, a.Gate.EndRun(c.Context(), c.who, in.Verdict, in.Summary)
	})
}
