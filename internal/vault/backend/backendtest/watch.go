package backendtest

import (
	"context"
	"testing"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/vault/backend"
)

// told is how long a change may take to be told of.
const told = 20 * time.Second

// watches holds that each change is told of after a watch has begun, and what ends it.
func watches(t *testing.T, w World) {
	b, ok := w.Backend.(backend.Watcher)
	if !ok {
		t.Skip("it tells of no change")
	}
	path := w.Path("watches")
	w.Put(t, path, kept(w, canary+"-0"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sights, ended := make(chan backend.Sight, 100), make(chan error, 1)
	crash.Go(func() { ended <- b.Watch(ctx, path, func(s backend.Sight) { sights <- s }) }, func(p *crash.Panic) { ended <- p })
	wait := func(want backend.Sight) {
		t.Helper()
		late := time.NewTimer(told)
		defer late.Stop()
		for {
			select {
			case s := <-sights:
				if s == want {
					return
				}
			case err := <-ended:
				t.Fatalf("the watch ended: %v", err)
			case <-late.C:
				t.Fatalf("nobody told that it %s", want)
			}
		}
	}
	wait(backend.Began)
	w.Put(t, path, kept(w, canary+"-one"))
	wait(backend.Changed)
	if got, _, err := fetch(t, w, backend.Ask{Path: path}); err != nil || !has(got, canary+"-one") {
		t.Errorf("after the first change: %v, %v", got, err)
	}
	w.Remove(t, path)
	wait(backend.Changed)
	w.Put(t, path, kept(w, canary+"-again"))
	wait(backend.Changed)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("who no longer looks is told: %v", err)
	}
}
