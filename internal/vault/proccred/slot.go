package proccred

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/internal/plain"
)

// slot is the place of one credential's child, which outlives it: a child that
// ended is followed by another at the next call. Its fields are under Children.mu,
// but for tail.
type slot struct {
	at       place
	child    *child // nil: there is none
	failures int    // ends soon after the start, one after another
	earliest time.Time
	hello    json.RawMessage // params of the initialize that a child of it took; nil: none did
	tail     *tail
}

// child gives a running child for one call, and counts the call; whoever has it
// calls release. Unavailable and Limit: nothing was started.
func (c *Children) child(ctx context.Context, d *door) (*child, error) {
	for {
		ch, wait, err := c.claim(d)
		if err != nil {
			return nil, err
		}
		if ch != nil {
			select {
			case <-ch.ready:
			case <-ctx.Done():
				ch.release()
				return nil, ctx.Err()
			}
			if ch.failed != nil {
				ch.release()
				return nil, ch.failed
			}
			return ch, nil
		}
		select { // for one that makes room
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claim gives the slot's child, a new one, or what to wait for.
func (c *Children) claim(d *door) (ch *child, wait <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, fault.New(fault.Unavailable, "the server ends")
	}
	if d.spec.Good != nil && !d.spec.Good() {
		return nil, nil, fault.New(fault.Unavailable, "the Run's own credential has ended").
			WithHint("nothing was sent")
	}
	s := c.slot(d)
	if s.child != nil {
		if s.child.take() {
			return s.child, nil, nil
		}
		if s.child.dying() { // how it ended decides when the next one is started
			return nil, s.child.gone, nil
		}
	}
	if left := s.earliest.Sub(c.cfg.Now()); left > 0 {
		return nil, nil, fault.Newf(fault.Unavailable, "the server's process ended %d times right after its start; it is started again in %s", s.failures, left.Round(time.Second)).
			WithHint("the server's log has its last words")
	}
	if len(c.live) >= c.cfg.Most {
		wait, err = c.room()
		return nil, wait, err
	}
	ch = newChild(c, s)
	s.child = ch
	c.live[ch] = struct{}{}
	ch.take()
	own := plain.New(slices.Clone(plain.Bytes(d.value)))
	c.minds.Go(func() { ch.live(d.spec, own) })
	return ch, nil, nil
}

// slot finds or makes the door's. Those of the same Connection that it replaces (an
// older version of the Secret, another command) are taken out of use. Those that have
// credentials of Runs stand beside each other: each ends with its credential.
func (c *Children) slot(d *door) *slot {
	if s := c.slots[d.at]; s != nil {
		return s
	}
	for at, s := range c.slots {
		same := at.key.Tenant == d.at.key.Tenant && at.key.Connection == d.at.key.Connection
		if beside := at.key.Run != "" && d.at.key.Run != "" && at.key.Secret == d.at.key.Secret && at.key.Version == d.at.key.Version; beside && at.spec == d.at.spec {
			continue
		}
		if same && (at.key.Secret != d.at.key.Secret || at.key.Version < d.at.key.Version || at.key.Version == d.at.key.Version) {
			c.retire(s)
		}
	}
	s := &slot{at: d.at, tail: &tail{known: d.spec.Known}}
	c.slots[d.at] = s
	return s
}

// room ends the child that has been idle for longest, and gives its end to wait for.
func (c *Children) room() (<-chan struct{}, error) {
	var oldest *child
	var since time.Time
	for ch := range c.live {
		if at, idle := ch.idleSince(); idle && (oldest == nil || at.Before(since)) {
			oldest, since = ch, at
		}
	}
	if oldest == nil {
		return nil, fault.Newf(fault.Limit, "%d servers run as children, all of them with calls", len(c.live)).
			WithHint("try again when one of them is done")
	}
	oldest.drain()
	return oldest.gone, nil
}

// ended takes a child that is gone off the books. Of one that failed soon after its
// start, the next start waits, each time longer.
func (c *Children) ended(ch *child, lived time.Duration, why string) {
	asked := ch.wanted // it is finished: nobody changes it
	c.mu.Lock()
	s := ch.slot
	delete(c.live, ch)
	if s.child == ch {
		s.child = nil
	}
	switch {
	case asked:
	case lived < steady:
		if s.failures++; s.failures > 1 { // the first may be chance
			s.earliest = c.cfg.Now().Add(min(time.Second<<min(s.failures-2, 10), maxBackoff))
		}
	default:
		s.failures = 0
	}
	if asked || lived >= steady {
		s.earliest = time.Time{}
	}
	c.mu.Unlock()
	log, ctx := c.cfg.Log.With(slog.String("connection", s.at.key.Connection), slog.String("how", why)), context.Background()
	if asked {
		log.InfoContext(ctx, "a server's process ended")
		return
	}
	log.WarnContext(ctx, "a server's process ended by itself", slog.Any("last", s.tail.lines()))
}
