package storetest

import (
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/resource"
)

// agent is a Worker with a token.
func (a *siege) agent() (wt identity.WorkerToken, secret string) {
	a.t.Helper()
	root := a.Human(acme, "root", ident.Admin)
	for _, name := range []string{"night", "day"} {
		w := &resource.Worker{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindWorker, Name: name}, Owner: "root"}
		a.must(a.Apply(acme, resource.KindWorker, name, w))
		a.Workers[acme] = append(a.Workers[acme], w)
	}
	wt, secret, err := a.Dir.MintWorker(a.ctx, root.Account.Principal(), "night", time.Hour, Password, root.NextCode(), a.Now)
	a.must(err)
	return wt, secret
}

// disowned says that a token is nobody's, and that the log names its row.
func (a *siege) disowned(wt identity.WorkerToken, secret string) {
	a.t.Helper()
	_, err := a.Dir.Caller(a.ctx, secret, a.Now)
	a.wantKind(err, fault.Unauthenticated)
	a.named("worker_token", wt.ID)
	a.unharmed()
}

func movedWorkerToken(a *siege) {
	wt, secret := a.agent()
	a.strike(`UPDATE worker_token SET worker = 'day'`)
	a.disowned(wt, secret)
}

func longerWorkerToken(a *siege) {
	wt, secret := a.agent()
	a.strike(`UPDATE worker_token SET expires_at = expires_at + 86400000`)
	a.Pass(2 * time.Hour)
	a.disowned(wt, secret)
}

func workerTokenPutBack(a *siege) {
	wt, secret := a.agent()
	a.keep("worker_token", "id = '"+wt.ID+"'")
	a.must(a.office.Store.RevokeWorkerToken(a.ctx, acme, "night", wt.ID, audit.Event{Type: audit.WorkerTokenRevoked, Tenant: acme, At: a.Now, Actor: "system:setup",
		Fields: map[string]any{"worker": "night", "name": wt.ID}}))
	a.strike("INSERT INTO worker_token SELECT * FROM kept")
	a.disowned(wt, secret)
}
