package app

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// hands knows which of the vault's seals those at hand are. To find out takes the
// work of opening, so it is remembered until the seals change.
type hands struct {
	mu     sync.Mutex
	as     string         // the seals as they were
	known  map[int]string // by their place in atHand
	phrase []phraseAtHand // not in atHand: written once, before the server is open
}

// phraseAtHand is what is left of a passphrase that the server was started with:
// which seal it was. It is that one no more when the seal has another passphrase.
type phraseAtHand struct {
	seal  string // empty: none
	since time.Time
}

// knowHands looks at the seals at hand once, when the vault is unsealed: it warns
// of key files that are no use, and lets go of passphrases, which are not kept
// longer than they are needed.
func (a *App) knowHands(ctx context.Context) {
	var keep []kek.Seal
	for _, s := range a.cfg.Seals {
		if k, ok := s.(*kek.KeyFile); ok {
			if err := k.Check(); err != nil {
				a.log.WarnContext(ctx, "a key file that the server was started with unseals nothing", slog.String("why", err.Error()), slog.String("hint", fault.HintOf(err)))
			}
		}
		if s.Kind() != kek.KindPassphrase {
			keep = append(keep, s)
			continue
		}
		a.hands.phrase = append(a.hands.phrase, a.whichPhrase(ctx, s))
		debug.FreeOSMemory() // to look took 256 MiB
	}
	a.cfg.Seals = keep
}

// whichPhrase finds a passphrase's seal, without the work of trying it where it
// is what unsealed the vault.
func (a *App) whichPhrase(ctx context.Context, s kek.Seal) phraseAtHand {
	infos, err := a.Vault.Seals()
	if err != nil {
		return phraseAtHand{}
	}
	i := slices.IndexFunc(infos, func(i vault.SealInfo) bool { return i.Kind == kek.KindPassphrase && a.Vault.OpenedBy(i.ID) })
	if i < 0 {
		id, err := a.Vault.Which(ctx, s)
		i = slices.IndexFunc(infos, func(i vault.SealInfo) bool { return id != "" && i.ID == id })
		if err != nil || i < 0 {
			return phraseAtHand{}
		}
	}
	return phraseAtHand{infos[i].ID, infos[i].CreatedAt}
}

// lookFor bounds how long services and programs are asked which seal they are.
const lookFor = 20 * time.Second

// AtHand lists the seals that the server was started with.
func (a *App) AtHand(ctx context.Context) ([]api.AtHand, error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	infos, err := a.Vault.Seals()
	if err != nil {
		return nil, err
	}
	as := ""
	for _, i := range infos {
		as += i.ID + i.CreatedAt.String()
	}
	a.hands.mu.Lock()
	defer a.hands.mu.Unlock()
	if a.hands.known == nil || a.hands.as != as {
		a.hands.known, a.hands.as = map[int]string{}, as
	}
	var out []api.AtHand
	for i, s := range a.atHand() {
		id, ok := a.hands.known[i]
		if !ok {
			if id, err = a.Vault.Which(ctx, s); err == nil {
				a.hands.known[i], ok = id, true
			}
		}
		out = append(out, api.AtHand{Kind: s.Kind(), Seal: id, Unreachable: !ok, With: s})
	}
	for _, p := range a.hands.phrase {
		h := api.AtHand{Kind: kek.KindPassphrase}
		if slices.ContainsFunc(infos, func(i vault.SealInfo) bool { return i.ID == p.seal && i.CreatedAt.Equal(p.since) }) {
			h.Seal = p.seal
		}
		out = append(out, h)
	}
	return out, nil
}

// keyRotation is a rotation of keys that was asked for.
type keyRotation struct {
	what []string
	who  ident.Principal
	done chan rotated
}

// rotated is what came of it.
type rotated struct {
	list []vault.Rotation
	err  error
}

// rotations does one rotation after the other. It belongs to the program and not
// to a request: the keys of many Secrets take longer than a client waits.
type rotations struct {
	jobs   chan keyRotation
	under  atomic.Pointer[string] // way; nil: none is
	failed atomic.Pointer[string] // why the last one did not end well
}

// Rotate replaces keys, in the order given, and waits for it as long as ctx
// lasts; done says whether it has ended. Conflict: another one is under way.
func (a *App) Rotate(ctx context.Context, what []string, who ident.Principal) (list []vault.Rotation, done bool, err error) {
	name := what[0]
	if len(what) > 1 {
		name = "all"
	}
	if !a.rotations.under.CompareAndSwap(nil, &name) {
		return nil, false, fault.New(fault.Conflict, "another rotation of keys is under way").WithHint("sallyport key status says when it has ended")
	}
	job := keyRotation{what: what, who: who, done: make(chan rotated, 1)}
	a.rotations.jobs <- job // there is room: none is under way
	select {
	case r := <-job.done:
		return r.list, true, r.err
	case <-ctx.Done():
		return nil, false, nil
	}
}

// Rotating says which keys are being rotated, and why the last rotation failed.
func (a *App) Rotating() (under, failed string) {
	if p := a.rotations.under.Load(); p != nil {
		under = *p
	}
	if p := a.rotations.failed.Load(); p != nil {
		failed = *p
	}
	return under, failed
}

// rotateKeys does what Rotate asks for.
func (a *App) rotateKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-a.rotations.jobs:
			list, err := a.rotateOne(ctx, job)
			why := ""
			if err != nil {
				why = err.Error()
				a.log.ErrorContext(ctx, "a rotation of keys did not end", slog.String("why", why))
			}
			a.rotations.failed.Store(&why)
			a.rotations.under.Store(nil)
			job.done <- rotated{list, err}
		}
	}
}

func (a *App) rotateOne(ctx context.Context, job keyRotation) (out []vault.Rotation, err error) {
	for _, what := range job.what {
		var r vault.Rotation
		switch what {
		case "root":
			r, err = a.Vault.RotateRoot(ctx, job.who)
		case "project":
			r, err = a.Vault.RotateProject(ctx, job.who.Tenant, job.who)
		case "data":
			r, err = a.Vault.RotateData(ctx, job.who.Tenant, job.who)
		default:
			err = fault.Newf(fault.Invalid, "there are no keys called %q", fault.Quote(what))
		}
		if fault.Is(err, fault.NotFound) && len(job.what) > 1 {
			continue // there are no Secrets yet
		}
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// keysEvery is how often the age of the keys is looked at.
const keysEvery = 24 * time.Hour

// watchKeys says when keys have become old. It rotates nothing by itself.
func (a *App) watchKeys(ctx context.Context) {
	every(ctx, keysEvery, func() {
		a.round(ctx, "the age of keys can't be looked at", func() error {
			k, err := a.Vault.Keys(a.cfg.Tenant)
			if err != nil {
				return nil // it is sealed, or has none yet
			}
			for _, hint := range api.KeyHints(k, a.now()) {
				a.log.WarnContext(ctx, "keys are due for a rotation", slog.String("which", hint))
			}
			return nil
		})
	})
}
