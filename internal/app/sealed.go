package app

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// A vault that can't be unsealed yet is no reason not to start: a key service may
// come back, an operator may bring a passphrase. Until then the port answers for
// health and unsealing alone; everything else of the program is not made yet, so
// there is nothing that a mistake in a route could reach.

// How a start goes on trying seals that are out of reach.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
	tryFor     = 30 * time.Second // one attempt, by itself or with what was brought
)

// opening is the way from a start to an open server.
type opening struct {
	brought chan struct{} // has one when the vault was unsealed from elsewhere
	done    chan struct{} // closed when the server is open, or never will be
	err     error         // why it never will be; written before done is closed
	end     context.CancelFunc
}

// settle ends the opening.
func (o *opening) settle(err error) error {
	o.err = err
	close(o.done)
	return err
}

// Sealed says whether the server waits to be unsealed.
func (a *App) Sealed() bool { return a.Vault.Sealed() }

// Opened waits until the server that was started is open. It gives why it never
// will be, or ctx's error.
func (a *App) Opened(ctx context.Context) error {
	select {
	case <-a.opening.done:
		return a.opening.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unsealAtHand unseals with what is at hand. wait says that it can't be done now.
func (a *App) unsealAtHand(ctx context.Context) (wait bool, err error) {
	if a.cfg.Sealed {
		return true, a.hasVault(ctx)
	}
	err = a.Vault.Unseal(ctx, a.store, a.atHand()...)
	if fault.Is(err, fault.Unavailable) && len(a.cfg.Networked) > 0 {
		a.log.WarnContext(ctx, "the vault stays sealed: a seal is out of reach, and is tried again", slog.String("why", err.Error()))
		return true, nil
	}
	return false, a.advise(ctx, err)
}

// atHand are the seals that the server was started with.
func (a *App) atHand() []kek.Seal {
	return append(append([]kek.Seal(nil), a.cfg.Seals...), a.cfg.Networked...)
}

// hasVault refuses to wait for a vault that there is not.
func (a *App) hasVault(ctx context.Context) error {
	snap, err := a.store.LoadVault(ctx)
	if err == nil && len(snap.Ring.Seals) == 0 {
		err = fault.New(fault.Invalid, "there is no vault yet that could be unsealed").
			WithHint("a first start makes it, and takes a seal: leave --sealed out")
	}
	return err
}

// advise adds to a refusal that there is another way, where there is one: the
// seal at hand is missing or of another kind, and a person can bring one.
func (a *App) advise(ctx context.Context, err error) error {
	if err == nil || !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Denied) {
		return err
	}
	snap, lerr := a.store.LoadVault(ctx)
	if lerr != nil {
		return err
	}
	known := map[kek.Kind]bool{}
	var others []string
	for _, s := range a.atHand() {
		known[s.Kind()] = true
	}
	tried := false
	for _, row := range snap.Ring.Seals {
		switch k := row.Sealed.Kind; {
		case known[k]:
			tried = true
		case k == kek.KindPassphrase, k == kek.KindRecovery, k == kek.KindKeyFile:
			known[k], others = true, append(others, "the seal of the kind "+string(k))
		}
	}
	if others == nil || tried && fault.Is(err, fault.Denied) {
		return err
	}
	return &fault.Error{Kind: fault.KindOf(err), Err: err,
		Hint: "start it with the seal that is missing; or with --sealed, and then unseal it with " + strings.Join(others, ", or ") + ": sallyport seal unseal"}
}

// await serves sealed until the vault is unsealed, then opens the server.
func (a *App) await(ctx context.Context) {
	wait := firstRetry
	for {
		var again <-chan time.Time
		if !a.cfg.Sealed {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			_ = a.opening.settle(ctx.Err()) // for who waits
			return
		case <-a.opening.brought:
			_ = a.opening.settle(a.open(ctx)) // for who waits
			return
		case <-again:
		}
		err := a.tryAgain(ctx)
		if fault.Is(err, fault.Unavailable) {
			wait = min(2*wait, lastRetry)
			a.log.WarnContext(ctx, "the vault stays sealed: a seal is still out of reach", slog.String("why", err.Error()), slog.Duration("again", wait))
			continue
		}
		if err == nil {
			a.log.InfoContext(ctx, "the vault is unsealed: the seal is within reach again")
			err = a.open(ctx)
		}
		_ = a.opening.settle(err) // for who waits
		return
	}
}

// tryAgain tries the seals at hand once more. That somebody else unsealed the
// vault meanwhile is as good.
func (a *App) tryAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	err := a.Vault.Unseal(ctx, a.store, a.atHand()...)
	if fault.Is(err, fault.Conflict) && !a.Vault.Sealed() {
		return nil
	}
	return err
}

// UnsealKey is what a client encrypts a seal to.
func (a *App) UnsealKey(ctx context.Context) (vault.UnsealKey, error) {
	return a.Vault.UnsealKey(ctx, a.store)
}

// Unseal unseals with what a client brought, and returns when the server is open.
// What was brought whole is tried, also when the client has left.
func (a *App) Unseal(ctx context.Context, b vault.Brought) error {
	try, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryFor)
	defer cancel()
	err := a.Vault.UnsealWith(try, a.store, b)
	debug.FreeOSMemory() // a passphrase took 256 MiB, which a server that waits need not keep
	if err != nil {
		a.log.WarnContext(ctx, "an attempt to unseal the vault was refused", slog.String("source", b.Source), slog.String("why", err.Error()))
		return err
	}
	a.log.InfoContext(ctx, "the vault is unsealed", slog.String("source", b.Source))
	select {
	case a.opening.brought <- struct{}{}:
	default: // it was open before
	}
	return a.Opened(ctx)
}

// front is what the port serves: the sealed server, then the whole one.
type front struct{ now atomic.Pointer[http.Handler] }

func (f *front) show(h http.Handler) { f.now.Store(&h) }

// ServeHTTP serves one request by what is shown now.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*f.now.Load()).ServeHTTP(w, r) }

// sealedAPI serves health and unsealing.
func (a *App) sealedAPI() http.Handler {
	return api.NewSealed(api.Config{Vault: a.Vault, Keeper: a, Now: a.now, Log: a.log, Version: Version, Health: func() error {
		if err := a.health(); err != nil {
			return err
		}
		return fault.New(fault.Unavailable, "the vault is unsealed, and the server is starting")
	}})
}
