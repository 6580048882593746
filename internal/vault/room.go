package vault

import (
	"context"
	"log/slog"
	"sync"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// room gives a credential a place among those that its tenant may have of the backend
// at a time, before the backend is asked for anything. Unavailable: all are taken, or
// they can't be counted. Of one tenant one is asked after the other, so that two don't
// get the same place; no tenant waits for another's.
func (v *Vault) room(ctx context.Context, h *hire) error {
	turn := v.hires.turn(h.at.tenant)
	turn.Lock()
	defer turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	open, err := v.openLeases(ctx, h.at.tenant, h.lease.Backend)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "counting the credentials of Runs", err)
	}
	if most := v.cfg.Backends.Share(h.lease.Backend); open >= most {
		v.cfg.Log.WarnContext(ctx, "a backend has made as many credentials for Runs as it may", slog.String("tenant", string(h.at.tenant)),
			slog.String("backend", h.lease.Backend), slog.Int("most", most))
		return fault.Newf(fault.Unavailable, "the backend %s has made as many credentials as it may for Runs at a time (%d), so it was not asked for another", h.lease.Backend, most).
			WithHint("one is free when a Run ends, or has not used its own for an hour; the server's file on backends says how many there are: maxLeases")
	}
	v.hires.mu.Lock()
	h.placed = true
	v.hires.mu.Unlock()
	return nil
}

// turn is what is held while one of a tenant's gets its place.
func (h *hires) turn(t ident.Tenant) *sync.Mutex {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counting[t] == nil {
		if h.counting == nil {
			h.counting = map[ident.Tenant]*sync.Mutex{}
		}
		h.counting[t] = &sync.Mutex{}
	}
	return h.counting[t]
}

// openLeases counts what a backend may have made for a tenant's Runs and is not known
// to have ended: what is on record, and what is in memory, also where its row is not
// written yet or was taken away. Memory is looked at first: what is forgotten there
// after that is on record, or has ended.
func (v *Vault) openLeases(ctx context.Context, t ident.Tenant, name string) (int, error) {
	store := v.hires.kept()
	if store == nil {
		return 0, nil
	}
	open := v.hires.placed(t, name)
	rows, err := store.Leases(ctx, t)
	for _, l := range rows {
		if l.Backend == name {
			open[l.ID] = true
		}
	}
	return len(open), err
}

// placed are those in memory that have a place, by their ids.
func (h *hires) placed(t ident.Tenant, name string) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]bool{}
	for id, x := range h.all {
		if x.placed && x.at.tenant == t && x.lease.Backend == name {
			out[id] = true
		}
	}
	return out
}

// nearly says whether more than three of four places are taken.
func nearly(open, most int) bool { return most > 0 && open*4 > most*3 }
