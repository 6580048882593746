package app

import (
	"context"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
)

// It must see inside: it drives the rotations, as the soak does.

// What a policy names begins a rotation when it changes at its backend: not when the
// watch begins, not twice within an hour, and not where it isn't named.
func TestAChangeAtABackendBeginsARotation(t *testing.T) {
	e, k := newElsewhere(t), newKeyring(t, false, true)
	all := []ident.Tenant{"acme"}
	s := newSoak(t, backend.Entry{Name: "cluster", Tenants: all, Paths: []string{"crm"}, Backend: e}, backend.Entry{Name: "mute", Tenants: all, Backend: quiet{e.Backend}})
	s.web(k, 0)
	p, err := s.store.RotationPolicy(t.Context(), "acme", "crm")
	s.must(err)
	for _, on := range []resource.RotationOn{{Backend: "mute", Path: "crm"}, {Backend: "cluster", Path: "other"}, {Backend: "nothing", Path: "crm"}, {Backend: "cluster", Path: "../crm"}, {Backend: "cluster"}} {
		p.Spec.On = &on
		if _, err := s.Rotation.SetPolicy(t.Context(), soakAs, "crm", p.Spec, ""); err == nil {
			t.Errorf("%+v was taken", on)
		}
	}
	p.Spec.On = &resource.RotationOn{Backend: "cluster", Path: "crm"}
	s.policy("crm", p.Spec)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	s.must(s.rotateOn(ctx, nil)) // the vault is told what to watch
	wg.Go(func() { s.Vault.Watch(ctx) })
	watching := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.say != nil
	}
	look, late := time.NewTicker(5*time.Millisecond), time.NewTimer(time.Minute)
	defer look.Stop()
	defer late.Stop()
	for !watching() {
		select {
		case <-look.C:
		case <-late.C:
			t.Fatal("nobody watches")
		}
	}
	count := func() int {
		all, err := s.store.Rotations(t.Context(), "acme")
		s.must(err)
		return len(all)
	}
	select {
	case at := <-s.turning.there:
		t.Fatalf("the watch has begun, and %+v has changed", at)
	default:
	}
	e.put("a-signal-of-its-own-1")
	at := <-s.turning.there
	s.must(s.rotateOn(ctx, []vault.Spot{{Backend: "cluster", Path: "other"}, {Backend: "mute", Path: "crm"}}))
	if count() != 0 {
		t.Fatal("something else has begun one")
	}
	s.must(s.rotateOn(ctx, []vault.Spot{at, at}))
	s.must(s.rotateOn(ctx, []vault.Spot{at}))
	if count() != 1 {
		t.Errorf("%d rotations have begun, want 1", count())
	}
	r, err := s.store.Rotations(t.Context(), "acme")
	s.must(err)
	if r[0].Trigger != rotation.ByEvent || r[0].Secret != "crm" {
		t.Errorf("it is %+v", r[0])
	}
	s.must(s.Rotation.RemovePolicy(t.Context(), soakAs, "crm", ""))
	s.must(s.rotateOn(ctx, []vault.Spot{at}))
	if _, err := s.store.RotationPolicy(t.Context(), "acme", "crm"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the policy: %v", err)
	}
}

// A policy outlives the server's file: where the file no longer gives the tenant the
// backend or the path, what changes there, and is watched for somebody else, begins
// nothing.
func TestAChangeThatATenantMayNotSeeAnyMoreBeginsNothing(t *testing.T) {
	e, k := newElsewhere(t), newKeyring(t, false, true)
	s := newSoak(t, backend.Entry{Name: "theirs", Tenants: []ident.Tenant{"globex"}, Backend: e}, backend.Entry{Name: "narrow", Tenants: []ident.Tenant{"acme"}, Paths: []string{"else"}, Backend: e})
	s.web(k, 0)
	for _, on := range []resource.RotationOn{{Backend: "theirs", Path: "crm"}, {Backend: "narrow", Path: "crm"}} {
		p, err := s.store.RotationPolicy(t.Context(), "acme", "crm")
		s.must(err)
		p.Spec.On, p.Rev = &on, p.Rev+1
		s.must(s.store.SetRotationPolicy(t.Context(), p, audit.Event{Type: audit.RotationPolicySet, Tenant: "acme", At: p.At, Actor: soakAs.String(), Fields: map[string]any{"secret": "crm", "revision": p.Rev}}))
		s.must(s.rotateOn(t.Context(), []vault.Spot{{Backend: on.Backend, Path: on.Path}}))
		if all, err := s.store.Rotations(t.Context(), "acme"); err != nil || len(all) != 0 {
			t.Errorf("%+v has begun %d, %v", on, len(all), err)
		}
	}
}

// Who changes what a policy names a hundred times a second has the policies read once.
func TestManyChangesAreLookedAtOnceASecond(t *testing.T) {
	s := newSoak(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.rotateOnChange(ctx) })
	defer wg.Wait()
	defer cancel()
	var looked [3]time.Time
	look, late := time.NewTicker(time.Millisecond), time.NewTimer(time.Minute)
	defer look.Stop()
	defer late.Stop()
	for i := range looked {
		s.changedThere(vault.Spot{Backend: "cluster", Path: "crm"})
		for len(s.turning.there) > 0 {
			select {
			case <-look.C:
			case <-late.C:
				t.Fatal("nobody looks")
			}
		}
		looked[i] = time.Now() // what came is taken out when the rest is over
	}
	if d := looked[2].Sub(looked[1]); d < restThere/2 {
		t.Errorf("the changes were looked at %s after each other", d)
	}
}
