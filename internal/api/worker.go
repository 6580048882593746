package api

import (
	"net/http"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Worker is an outside Worker, and whether it can act.
type Worker struct {
	Worker   resource.Worker `json:"worker"`
	Missions []string        `json:"missions"` // that list it
	Ready    bool            `json:"ready"`
	Why      string          `json:"why,omitempty"` // it is not
}

// Workers is a list of outside Workers, by name.
type Workers struct {
	Workers []Worker `json:"workers"`
}

// WorkerTokens is a list of a Worker's tokens, the oldest first.
type WorkerTokens struct {
	Tokens []identity.WorkerToken `json:"tokens"`
}

// NewWorkerToken is a request for a token, with a fresh proof.
type NewWorkerToken struct {
	Expires resource.Duration `json:"expires,omitzero"` // 2160h (90 days) unless said, 8784h at most
	Fresh
}

// MintedWorkerToken is the answer: the token is shown this once. Entry is what lists
// show of it.
type MintedWorkerToken struct {
	Entry identity.WorkerToken `json:"entry"`
	Token string               `json:"token"`
}

// outsiders are the routes about outside Workers.
func (a *API) outsiders() {
	handle(a, "GET", "/v1/workers", "List the outside Workers: all for admins, builders and auditors, one's own for others", signedIn, func(c *call, _ none) (Workers, error) {
		l, err := a.workersFor(c)
		return Workers{emptied(l)}, err
	})
	handle(a, "GET", "/v1/workers/{worker}", "Show an outside Worker, and whether it can act", signedIn, func(c *call, _ none) (Worker, error) {
		l, err := a.workersFor(c)
		if err != nil {
			return Worker{}, err
		}
		for _, w := range l {
			if w.Worker.Name == c.PathValue("worker") {
				return w, nil
			}
		}
		return Worker{}, fault.Newf(fault.NotFound, "there is no Worker %q that you may see", fault.Quote(c.PathValue("worker")))
	})
	handle(a, "GET", "/v1/workers/{worker}/tokens", "List a Worker's tokens, for its owner, admins and auditors", signedIn, func(c *call, _ none) (WorkerTokens, error) {
		l, err := a.Directory.WorkerTokens(c.Context(), c.who, c.PathValue("worker"))
		return WorkerTokens{emptied(l)}, err
	})
	handle(a, "POST", "/v1/workers/{worker}/tokens", "Make a token for a Worker, with password and one-time code: its owner or an admin; it is shown this once", signedIn,
		func(c *call, in NewWorkerToken) (MintedWorkerToken, error) {
			t, secret, err := a.Directory.MintWorker(c.Context(), c.who, c.PathValue("worker"), time.Duration(in.Expires), in.Password, in.Code, a.Now())
			if err == nil {
				c.status = http.StatusCreated
			}
			return MintedWorkerToken{t, secret}, err
		})
	handle(a, "POST", "/v1/workers/{worker}/tokens/{token}/revoke", "Revoke a Worker's token at once: its owner or an admin", signedIn, func(c *call, _ none) (none, error) {
		return none{}, a.Directory.RevokeWorker(c.Context(), c.who, c.PathValue("worker"), c.PathValue("token"), a.Now())
	})
}

// workersFor are the Workers that the caller may see.
func (a *API) workersFor(c *call) ([]Worker, error) {
	w, err := a.Gate.World(c.who.Tenant)
	if err != nil {
		return nil, err
	}
	all, err := a.Directory.Workers(c.who.Tenant)
	if err != nil {
		return nil, err
	}
	acc, err := a.Directory.Account(c.Context(), c.who.Tenant, c.who.ID)
	if err != nil {
		return nil, err
	}
	var out []Worker
	for _, x := range all {
		if !c.who.Has(ident.Admin) && !c.who.Has(ident.Builder) && !c.who.Has(ident.Auditor) && x.Owner != acc.Name {
			continue
		}
		v := Worker{Worker: *x, Missions: []string{}}
		for _, r := range w.Catalog.Resources() {
			if m, ok := r.(*resource.Mission); ok && slices.Contains(m.Workers, x.Name) {
				v.Missions = append(v.Missions, m.Name)
			}
		}
		_, _, err := a.Directory.Standing(c.Context(), c.who.Tenant, x.Name)
		if err != nil && !fault.Is(err, fault.Denied) {
			return nil, err
		}
		if v.Ready = err == nil; err != nil {
			v.Why = err.Error()
		}
		out = append(out, v)
	}
	return out, nil
}

// workerStarts starts a Run for an outside Worker itself, or gives the one it has
// open, with a token that is good as long as what the Worker has shown.
func (a *API) workerStarts(c *call, in StartRun) (Started, error) {
	if in.Key != "" {
		return Started{}, fault.New(fault.Invalid, "a Worker has one open Run of a Mission, so its start takes no key")
	}
	input, err := intent.Marshal(in.Input)
	if err != nil {
		return Started{}, err
	}
	if in.Input == nil {
		input = nil
	}
	r, err := a.Gate.WorkerRun(c.Context(), c.who, c.PathValue("mission"), input, true)
	if err != nil {
		return Started{}, err
	}
	c.status = http.StatusCreated
	now := a.Now()
	token, err := a.Directory.MintRunFor(c.Context(), c.who, r.ID, now.Add(runTokenLife), now)
	return Started{Run: r, Token: token}, err
}

// pendings are the routes by which a Worker looks at what waits, and takes it back.
func (a *API) pendings() {
	handle(a, "GET", "/v1/runs/{run}/pending", "List the Run's open Intents: what waits for a Decision, is under way, or has no known outcome", worker, func(c *call, _ none) (Intents, error) {
		l, err := a.Gate.Pending(c.Context(), c.who)
		return Intents{emptied(l)}, err
	})
	handle(a, "POST", "/v1/runs/{run}/intents/{intent}/withdraw", "Take back an action that has not begun", worker, func(c *call, _ none) (intent.Intent, error) {
		return a.Gate.Withdraw(c.Context(), c.who, c.PathValue("intent"))
	})
}

var _ gate.Workers = (*identity.Directory)(nil)
