package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
)

// Asked is how a backend took our sign-in. It names addresses and files, and is for
// admins.
type Asked struct {
	Name string         `json:"name"`
	OK   bool           `json:"ok"`
	Did  string         `json:"did,omitempty"` // what was looked at, where it is well
	Why  backend.Reason `json:"why,omitempty"`
	Said string         `json:"said,omitempty"`
	Hint string         `json:"hint,omitempty"`
}

// askRest is how long a backend is not asked again: who asks in a loop would make a
// flood of sign-ins, or try credentials by the answers.
const askRest = 5 * time.Second

// asks are when each backend was asked last, by whomever.
type asks struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// take says how long somebody has to wait; 0: it is theirs to ask.
func (a *asks) take(name string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if rest := a.last[name].Add(askRest).Sub(now); rest > 0 && rest <= askRest {
		return rest
	}
	if a.last == nil {
		a.last = map[string]time.Time{}
	}
	a.last[name] = now
	return 0
}

// AskBackend signs in at a backend anew, by the contract of backend.Enterer: no value is
// read, nothing is made, and what is in use goes on. NotFound: the tenant has none of the
// name. Limit: it was asked a moment ago. What the backend answers is no error.
func (v *Vault) AskBackend(ctx context.Context, t ident.Tenant, name string, by ident.Principal) (Asked, error) {
	out := Asked{Name: name}
	if err := checkCaller(t, by); err != nil {
		return out, err
	}
	all := v.cfg.Backends.Of(t)
	i := slices.IndexFunc(all, func(e backend.Entry) bool { return e.Name == name })
	if i < 0 {
		return out, fault.Newf(fault.NotFound, "there is no backend %s", fault.Quote(name)).
			WithHint("backends are in the file that the server is started with: serve --backends")
	}
	to, ok := all[i].Backend.(backend.Enterer)
	if !ok {
		return out, fault.Newf(fault.Invalid, "the backend %s can't be asked without reading a value", name)
	}
	if rest := v.asks.take(name, v.cfg.Now()); rest > 0 {
		return out, fault.Newf(fault.Limit, "the backend %s was asked a moment ago", name).WithHint("try again in %s", rest.Round(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	did, err := to.Enter(ctx)
	if out.OK = err == nil; out.OK {
		out.Did = did
	} else {
		out.Why, out.Said, out.Hint = backend.ReasonOf(err), err.Error(), fault.HintOf(err)
	}
	v.cfg.Log.InfoContext(ctx, "a backend was asked, by hand, whether it takes our sign-in", slog.String("backend", name), slog.String("by", by.String()),
		slog.Bool("ok", out.OK), slog.String("why", out.Said), slog.String("hint", out.Hint))
	return out, nil
}
