package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/issuer"
	"sallyport.dev/internal/resource"
)

// outsiders lists the outside Workers that a tenant has applied.
func (a *App) outsiders(t ident.Tenant) ([]*resource.Worker, error) {
	w, err := a.World(t)
	if err != nil {
		return nil, err
	}
	return workersOf(w.Catalog), nil
}

func workersOf(s *catalog.Snapshot) (out []*resource.Worker) {
	for _, r := range s.Resources() {
		if w, ok := r.(*resource.Worker); ok {
			out = append(out, w)
		}
	}
	return out
}

// audience is what a token of an issuer has to be for, unless a Worker says another:
// the address of the MCP door. A server that was not told its address has none.
func (a *App) audience() string {
	if a.cfg.PublicURL == "" {
		return ""
	}
	return strings.TrimSuffix(a.cfg.PublicURL, "/") + "/mcp"
}

// checkIssuers refuses keys that can't be used, and two Workers for which the very
// same tokens would stand: then neither is anybody.
func checkIssuers(s *catalog.Snapshot) error {
	var errs []error
	fail := func(w *resource.Worker, path string, err error) {
		p := &catalog.Problem{Key: catalog.Key{Kind: resource.KindWorker, Name: w.Name}}
		p.Path, p.Err = path, fault.Newf(fault.Invalid, "%s", err).WithHint("%s", fault.HintOf(err))
		errs = append(errs, p)
	}
	all := workersOf(s)
	for i, w := range all {
		if w.JWT == nil {
			continue
		}
		if len(w.JWT.JWKS) > 0 {
			if err := issuer.CheckKeys(w.JWT.JWKS); err != nil {
				fail(w, "jwt.jwksFile", err)
			}
		}
		for _, other := range all[:i] {
			if j := other.JWT; j != nil && overlap(j, w.JWT) {
				fail(w, "jwt", fault.Newf(fault.Invalid, "a token could stand for the Worker %s too, and would then stand for neither", other.Name).
					WithHint("give each a subject or a claim that the other has not"))
			}
		}
	}
	return errors.Join(errs...)
}

// overlap says whether one token could have what both ask for.
func overlap(a, b *resource.WorkerJWT) bool {
	if a.Issuer != b.Issuer || a.Subject != "" && b.Subject != "" && a.Subject != b.Subject {
		return false
	}
	for name, v := range a.Claims {
		if other, both := b.Claims[name]; both && other != v {
			return false
		}
	}
	return true
}

// checkOwners refuses a Worker whose owner has no account; the store does so again.
func (a *App) checkOwners(ctx context.Context, t ident.Tenant, in []resource.Resource) error {
	for _, r := range in {
		w, ok := r.(*resource.Worker)
		if !ok {
			continue
		}
		if _, err := a.Directory.AccountNamed(ctx, t, w.Owner); fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.Invalid, "the Worker %s names the owner %s, who has no account", w.Name, fault.Quote(w.Owner)).
				WithHint("create the account first, or correct the name")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// minters are who had a token of an outside Worker in hand that was good when an Intent
// was made: it is shown to who mints it, and who has it is the Worker. The audit log
// knows also of a token that was revoked since.
func (a *App) minters(ctx context.Context, i intent.Intent, worker string) (out []string, err error) {
	for from := int64(0); ; {
		rows, err := a.store.Audit().List(ctx, i.Tenant, audit.Filter{Type: audit.WorkerTokenMinted}, from, 500)
		if err != nil || len(rows) == 0 {
			return out, fault.Wrap(fault.Unavailable, "looking for who has the Worker's tokens", err)
		}
		for _, row := range rows {
			e, err := audit.ParseEntry(row.Entry)
			if err != nil {
				return nil, fault.New(fault.Unavailable, "who has the Worker's tokens can't be read in the audit log")
			}
			if e.Fields["worker"] == worker && e.At.Add(identity.MaxWorkerToken).After(i.CreatedAt) {
				out = append(out, e.Actor)
			}
			from = row.Index + 1
		}
	}
}

// warnWorker says that no token of a Worker's issuer can be for this server.
func (a *App) warnWorker(w *resource.Worker) string {
	if w.JWT != nil && w.JWT.Audience == "" && a.audience() == "" {
		return "no token of its issuer can be for this server: it was started without --public-url, and jwt.audience says nothing"
	}
	return ""
}

// keepEvery is how often what outside Workers were denied is stored.
const keepEvery = time.Second

func (a *App) keepExcess(ctx context.Context) {
	every(ctx, keepEvery, func() {
		a.round(ctx, "what outside Workers were denied can't be recorded", func() error { return a.Gate.KeepExcess(ctx) })
	})
}
