package vault

import (
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault/backend"
)

// BackendState is what is known of a backend, as people see it. The backend is asked
// nothing for it.
type BackendState struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Paths []string `json:"paths,omitempty"` // that may be pointed to; none: all
	// Pointers is how many of the tenant's active versions point there.
	Pointers int `json:"pointers"`
	// Answered and Failed are when it last gave a value or renewed one, and when it did not;
	// Why is the reason of that, one of package backend's, Said the error and Hint what
	// to do: they name addresses and files, and nothing of an answer.
	Answered time.Time      `json:"answered,omitzero"`
	Failed   time.Time      `json:"failed,omitzero"`
	Why      backend.Reason `json:"why,omitempty"`
	Said     string         `json:"said,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	State    string         `json:"state"` // answers, fails, or unasked
	// Watch says whether it tells of changes: no, waits (for a pointer), watching, or
	// lost, with how many paths are lost and why one is.
	Watch     string         `json:"watch"`
	Watched   int            `json:"watched,omitempty"`
	Lost      int            `json:"lost,omitempty"`
	LostWhy   backend.Reason `json:"lostWhy,omitempty"`
	LostSince time.Time      `json:"lostSince,omitzero"`
	Hook      bool           `json:"hook"` // a message can tell of changes
	// Of a backend that makes credentials for Runs: how many of the tenant's Runs' are
	// not known to have ended, how many there may be at a time, and whether more than
	// three of four places are taken.
	Leases    int  `json:"leases,omitempty"`
	MaxLeases int  `json:"maxLeases,omitempty"`
	NearMax   bool `json:"nearMax,omitempty"`
}

// hearer is who asked a backend: what one tenant's uses heard is none of another's.
type hearer struct {
	tenant  ident.Tenant
	backend string
}

// heard is what was heard last of a backend.
type heard struct {
	answered, failed time.Time
	why              backend.Reason
	said, hint       string
}

// hear notes how a question ended.
func (o *outside) hear(at hearer, err error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heard == nil {
		o.heard = map[hearer]heard{}
	}
	h := o.heard[at]
	if err == nil {
		h.answered, h.said, h.hint = now, "", ""
	} else {
		h.failed, h.why, h.said, h.hint = now, backend.ReasonOf(err), err.Error(), fault.HintOf(err)
	}
	o.heard[at] = h
}

// Backends lists those that a tenant's Secrets may point to, by name.
func (v *Vault) Backends(ctx context.Context, t ident.Tenant) (out []BackendState, err error) {
	for _, e := range v.cfg.Backends.Of(t) {
		b := BackendState{Name: e.Name, Kind: e.Kind, Paths: e.Paths, Hook: e.HookFile != "", State: "unasked", Watch: "no"}
		mine := map[string]bool{}
		for p := range v.pointers(v.state.Load(), func(p Pointer) bool { return p.Backend == e.Name }) {
			if p.at.tenant == t {
				b.Pointers++
				mine[p.ver.Pointer.Path] = true
			}
		}
		v.outside.mu.Lock()
		h := v.outside.heard[hearer{t, e.Name}]
		v.outside.mu.Unlock()
		b.Said, b.Hint = h.said, h.hint
		if b.Answered, b.Failed, b.Why = h.answered, h.failed, h.why; !h.failed.IsZero() && !h.failed.Before(h.answered) {
			b.State = "fails"
		} else if !h.answered.IsZero() {
			b.State = "answers"
		}
		if _, ok := e.Backend.(backend.Watcher); ok {
			v.watches.of(&b, mine)
		}
		if b.MaxLeases = v.cfg.Backends.Share(e.Name); b.MaxLeases > 0 {
			if b.Leases, err = v.openLeases(ctx, t, e.Name); err != nil {
				return nil, err
			}
			b.NearMax = nearly(b.Leases, b.MaxLeases)
		}
		out = append(out, b)
	}
	return out, nil
}

// of says how the watches of some paths do.
func (w *watches) of(b *BackendState, paths map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.Watch = "waits"
	for sp, one := range w.m {
		switch {
		case sp.Backend != b.Name || !paths[sp.Path]:
		case one.up:
			b.Watched++
		case one.why != "":
			b.Lost++
			if b.LostSince.IsZero() || one.since.Before(b.LostSince) {
				b.LostWhy, b.LostSince = one.why, one.since
			}
		}
	}
	switch {
	case b.Lost > 0:
		b.Watch = "lost"
	case b.Watched > 0:
		b.Watch = "watching"
	}
}
