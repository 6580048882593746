package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// rotateEvery is how often rotations are looked at, when nobody says that there is
// something to do.
const rotateEvery = 5 * time.Second

// turning is what rotations of Secrets need of the program.
type turning struct {
	kick  chan struct{} // has an element when one was begun
	mu    sync.Mutex
	pools map[string]*dial.Pool // by network rules
	there chan vault.Spot       // that has changed at a backend
}

func (a *App) newRotation() *rotation.Machine {
	a.turning = turning{kick: make(chan struct{}, 1), pools: map[string]*dial.Pool{}, there: a.turning.there}
	return rotation.New(rotation.Config{
		Policies: a.store, Rotations: a.store, Vault: a.Vault, Ways: a.ways, Stopped: a.allStopped, Holds: a.holds, Now: a.now, Log: a.log, Crash: a.cfg.RotationCrash,
	})
}

// holds says whether a text has a known secret in it.
func (a *App) holds(t ident.Tenant, text []byte) bool {
	return len(a.Vault.Scrub(t).Contains(text)) > 0
}

// ways are how a rotator's system is reached: by its policy's network rules, which
// hold for the address that is dialled.
func (a *App) ways(r resource.Rotator) (vault.Ways, error) {
	rules := r.Rules()
	options := dial.Options{RootCAs: a.cfg.RootCAs}
	w := vault.Ways{Programs: a.cfg.Rotators, Dial: func(ctx context.Context, address string, plain bool) (net.Conn, error) {
		return dial.Conn(ctx, rules, options, address, plain)
	}}
	if r.Kind == resource.RotatorExec {
		if _, ok := a.cfg.Rotators[r.Exec.Program]; !ok {
			return w, fault.Newf(fault.NotFound, "the server knows no program %s", fault.Quote(r.Exec.Program)).
				WithHint("its operator names one: serve --rotator %s=FILE", fault.Quote(r.Exec.Program))
		}
	}
	a.turning.mu.Lock()
	defer a.turning.mu.Unlock()
	name := fmt.Sprint(rules)
	pool := a.turning.pools[name]
	if pool == nil {
		var err error
		if pool, err = dial.Transport(rules, options); err != nil {
			return w, err
		}
		a.turning.pools[name] = pool
	}
	w.Base = pool
	return w, nil
}

// allStopped says that the kill switch is thrown for everything.
func (a *App) allStopped(ctx context.Context, t ident.Tenant) error {
	stops, err := a.store.Stops(ctx, t)
	if err != nil {
		return err
	}
	for _, s := range stops {
		if s.Kind == intent.StopAll {
			return &intent.Stopped{Stop: s}
		}
	}
	return nil
}

// Rotated says that a rotation was begun, or can go on.
func (a *App) Rotated() {
	select {
	case a.turning.kick <- struct{}{}:
	default: // it is known already
	}
}

// rotateSecrets makes what is due.
func (a *App) rotateSecrets(ctx context.Context) {
	t := time.NewTicker(rotateEvery)
	defer t.Stop()
	for {
		a.round(ctx, "rotations can't go on", func() error {
			err := a.Rotation.Advance(ctx, a.cfg.Tenant)
			if fault.KindOf(err) == fault.Unavailable { // stopped, or sealed: it goes on by itself
				a.log.DebugContext(ctx, "rotations wait", slog.Any("error", err))
				return nil
			}
			return err
		})
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-a.turning.kick:
		}
	}
}

// credentials tell the gate what has replaced a version.
type credentials struct {
	*rotation.Machine
	a *App
}

// Reopened makes an entry durable.
func (c credentials) Reopened(ctx context.Context, ev audit.Event) error {
	return c.a.store.RecordVault(ctx, []audit.Event{ev})
}

// Doctor looks at a tenant's Secrets.
func (a *App) Doctor(ctx context.Context, t ident.Tenant) ([]rotation.Finding, error) {
	w, err := a.World(t)
	if err != nil {
		return nil, err
	}
	secrets, err := a.Vault.List(ctx, t)
	if err != nil {
		return nil, err
	}
	policies, err := a.store.RotationPolicies(ctx, t)
	if err != nil {
		return nil, err
	}
	open, err := a.store.Rotations(ctx, t)
	if err != nil {
		return nil, err
	}
	uses, others := usesOf(w.Catalog)
	var kept []rotation.Kept
	for _, s := range secrets {
		if len(s.Versions) == 0 {
			continue // refused; the log has it
		}
		k := rotation.Kept{Secret: s, Uses: uses[s.Name], Others: others[s.Name], Said: a.Vault.Said(t, s.Name, s.Active), Resting: a.Vault.Resting(t, s.Name)}
		for _, p := range policies {
			if p.Secret == s.Name {
				k.Policy = &p.Spec
			}
			k.Others = k.Others || p.Spec.Rotator.Admin == s.Name || p.Spec.Hook == s.Name
		}
		if k.Last, err = a.lastUse(ctx, t, s.Name); err != nil {
			return nil, err
		}
		kept = append(kept, k)
	}
	left, err := a.Vault.LeasesLeft(ctx, t)
	return append(rotation.Lint(kept, open, a.now()), rotation.LintLeases(left, a.now())...), err
}

// lastUse is when a call was claimed with the Secret, by the audit log.
func (a *App) lastUse(ctx context.Context, t ident.Tenant, secret string) (time.Time, error) {
	found, err := a.QueryAudit(ctx, t, audit.Query{Secret: secret, Type: audit.IntentClaimed, Limit: 1})
	if err != nil || len(found.Uses) == 0 {
		return time.Time{}, err
	}
	return found.Uses[0].At, nil
}

// usesOf lists who refers to each Secret: Connections, and whether anything else does.
func usesOf(c *catalog.Snapshot) (uses map[string][]rotation.Use, others map[string]bool) {
	uses, others = map[string][]rotation.Use{}, map[string]bool{}
	for _, r := range c.Resources() {
		switch r := r.(type) {
		case *resource.Connection:
			name, _, err := r.Auth.Ref()
			if err != nil {
				continue
			}
			u := rotation.Use{Connection: r.Name, Integration: r.Integration, Reads: true}
			if i, ok := c.Integration(r.Integration); ok {
				u.Origin = i.Kind.Origin().String()
				for _, t := range i.Kind.Tools() {
					if slices.Contains(r.Tools, t.Name) && t.Effect != resource.Read {
						u.Reads = false
					}
				}
				u.Reads = u.Reads && i.Model == nil
			}
			uses[name] = append(uses[name], u)
		case *resource.Channel:
			others[channelSecret(r)] = true
		}
	}
	return uses, others
}

func channelSecret(c *resource.Channel) string {
	ref := ""
	switch {
	case c.Webhook != nil:
		ref = c.Webhook.Secret
	case c.Slack != nil:
		ref = c.Slack.Secret
	case c.SMTP != nil:
		ref = c.SMTP.Secret
	}
	name, _, _ := strings.Cut(ref, "@")
	return name
}
