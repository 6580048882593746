package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// How the queue's page is kept as it is now.
const (
	queueEvery = time.Second      // at most so often is it made anew
	queueBeat  = 30 * time.Second // so often at least: ages and expiries move
)

// queueEvents streams a page of the queue as server-sent events, each the whole list
// ("queue"), made by the page's own template for who is signed in, when it is another
// than before. A client that does not ask for a stream gets it once.
func (v *visit) queueEvents() error {
	first, err := v.queueList()
	if err != nil {
		return err
	}
	return v.live("too many pages follow what happens", func(ctx context.Context, s stream) {
		if s.send("queue", "", string(first)) && strings.Contains(v.Header.Get("Accept"), eventStream) {
			s.queue(ctx, sha256.Sum256(first))
		}
	})
}

// queue sends the list whenever it is another, until the stream's time or the
// client's end.
func (s stream) queue(ctx context.Context, last [sha256.Size]byte) {
	for {
		changed := s.Rail.Any(s.who.Tenant)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(queueBeat):
		}
		select { // a busy tenant does not have it made for every step
		case <-ctx.Done():
			return
		case <-time.After(queueEvery):
		}
		list, err := s.queueList()
		if err != nil {
			return
		}
		if sum := sha256.Sum256(list); sum != last {
			if last = sum; !s.send("queue", "", string(list)) {
				return
			}
		}
	}
}

// queueList is the list alone, as markup.
func (v *visit) queueList() ([]byte, error) {
	p, err := v.queuePage()
	if err != nil {
		return nil, err
	}
	p.Now, p.Who = v.Now(), v.who
	var b bytes.Buffer
	if err := templates["queue"].ExecuteTemplate(&b, "waiting", p); err != nil {
		return nil, fault.Wrap(fault.Internal, "making the queue's list", err)
	}
	out, _ := v.Vault.Scrub(v.who.Tenant).Bytes(b.Bytes())
	return out, nil
}
