package storetest

import (
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

// leased stores what two Runs have.
func (a *siege) leased() (one, two vault.Lease) {
	a.t.Helper()
	for _, id := range []string{"one", "two"} {
		l := vault.Lease{Tenant: acme, ID: "les_" + id, Run: "run_" + id, Secret: "db", Version: 1, Backend: "pg", Path: "creds/app", Where: "of one server", Handle: "accessor-" + id,
			State: vault.LeaseAsked, Issued: a.Now, Expires: a.Now.Add(time.Minute)}
		a.must(a.office.Store.SaveLease(a.ctx, l, leaseEvent(audit.LeaseAsked, l)))
		l.State, l.Lease, l.Expires = vault.LeaseLive, "database/creds/app/"+id, a.Now.Add(time.Hour)
		a.must(a.office.Store.SaveLease(a.ctx, l, leaseEvent(audit.LeaseMade, l)))
		l.Expires = l.Expires.Add(time.Hour)
		a.must(a.office.Store.ProlongLease(a.ctx, l))
		one, two = two, l
	}
	return one, two
}

func leaseEvent(typ audit.Type, l vault.Lease) audit.Event {
	return audit.Event{Type: typ, Tenant: l.Tenant, At: l.Issued, Actor: "system:leases", Run: l.Run,
		Fields: map[string]any{"lease": l.ID, "secret": l.Secret, "secretVersion": l.Version, "backend": l.Backend, "path": l.Path, "state": string(l.State)}}
}

// leases says that these are all that is on record, as they were written.
func (a *siege) leases(want ...vault.Lease) {
	a.t.Helper()
	got, err := a.office.Store.Leases(a.ctx, acme)
	a.must(err)
	for i := range got {
		got[i].Issued, got[i].Expires = got[i].Issued.UTC(), got[i].Expires.UTC()
	}
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		a.t.Errorf("on record are %+v, want %+v", got, want)
	}
	if other, err := a.office.Store.Leases(a.ctx, globex); err != nil || len(other) != 0 {
		a.t.Errorf("another tenant has %+v, %v", other, err)
	}
}

func leaseChanged(a *siege, query string) {
	_, two := a.leased()
	a.strike(query)
	a.leases(two)
	a.named("lease", "les_one")
}

func leasePutBack(a *siege) {
	one, two := a.leased()
	a.keep("lease", "id = 'les_one'")
	a.must(a.office.Store.EndLease(a.ctx, one, leaseEvent(audit.LeaseRevoked, one)))
	a.leases(two)
	if err := a.office.Store.EndLease(a.ctx, one, leaseEvent(audit.LeaseRevoked, one)); !fault.Is(err, fault.NotFound) {
		a.t.Errorf("it ended twice: %v", err)
	}
	a.strike("INSERT INTO lease SELECT * FROM kept")
	a.leases(two)
	if a.between {
		a.named("lease", "les_one")
	}
}
