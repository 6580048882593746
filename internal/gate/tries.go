package gate

import (
	"context"
	"sync"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// What one caller can have searched in an hour. A refusal for a known secret says
// that a guess was right; these keep guessing from being worth it. A restart
// forgets them; incidents and refusals, which a Run ends with, are stored.
const (
	maxHits   = 10      // known secrets that a person typed
	maxMisses = 100     // inputs of a person that were refused or handed in
	maxSaid   = 4 << 20 // bytes that a Run's Worker says beside its proposals
)

// tries counts by what and by whom. Its zero value is ready.
type tries struct {
	mu sync.Mutex
	m  map[string]*tally
}

type tally struct {
	since time.Time
	n     int
}

// maxTallies bounds how many are remembered: then those of an hour ago go.
const maxTallies = 10_000

// add counts n more and gives the sum of this hour.
func (t *tries) add(key string, n int, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[string]*tally{}
	}
	if len(t.m) >= maxTallies {
		for k, old := range t.m {
			if now.Sub(old.since) >= time.Hour {
				delete(t.m, k)
			}
		}
	}
	c := t.m[key]
	if c == nil || now.Sub(c.since) >= time.Hour {
		c = &tally{since: now}
		t.m[key] = c
	}
	c.n += n
	return c.n
}

func callerKey(what string, who ident.Principal) string {
	return what + "\n" + string(who.Tenant) + "\n" + who.String()
}

// mayType refuses a person, or an outside Worker at a start, who has typed too much that could not be taken.
func (g *Gate) mayType(who ident.Principal) error {
	if who.Kind != ident.Person && who.Kind != ident.Worker {
		return nil
	}
	now := g.Now()
	if g.tries.add(callerKey("hit", who), 0, now) < maxHits && g.tries.add(callerKey("miss", who), 0, now) < maxMisses {
		return nil
	}
	return fault.New(fault.Limit, "too many of your inputs were refused, so none is taken for an hour").
		WithHint("an admin sees why among the incidents; credentials are never part of an input")
}

// typedInVain counts an input that was not taken, and gives its refusal back.
func (g *Gate) typedInVain(who ident.Principal, err error) error {
	if err != nil && (who.Kind == ident.Person || who.Kind == ident.Worker) {
		g.tries.add(callerKey("miss", who), 1, g.Now())
	}
	return err
}

// maySay refuses what a Worker says beside its proposals when it is too much: at
// once, or over the hour. What is refused counts against the Run.
func (g *Gate) maySay(ctx context.Context, who ident.Principal, r intent.Run, tooLong bool, texts ...string) error {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	if g.tries.add(callerKey("said", who), n, g.Now()) > maxSaid {
		return g.refuse(ctx, ofRun(r), fault.New(fault.Limit, "the Worker says too much"))
	}
	if tooLong {
		return g.refuse(ctx, ofRun(r), fault.New(fault.Invalid, "what the Worker says is too long"))
	}
	return nil
}
