package commit

import (
	"context"
	"hash/fnv"
	"log/slog"
	"net/http"
	"time"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Within one attempt a call is made again a few times, when that can't repeat an
// effect. All of it together is bounded: a caller waits for it, and so does a
// server that is to end.
const (
	maxSends   = 3
	againFirst = 250 * time.Millisecond
	maxAgain   = 5 * time.Second  // before one more try, whatever a system asks for
	maxTrying  = 20 * time.Second // after that none is begun
)

// send makes the call, and makes it again as long as [harmless] says so, nobody
// has stopped it, the Boundary goes on, and there is a caller: a try that is under
// way is not cut, but nobody has to wait for one more that nobody waits for.
func (m *Machine) send(ctx, caller context.Context, p Plan, door http.RoundTripper) connector.Answer {
	began, renewed := m.now(), 0
	for n := 1; ; n++ {
		ans := p.Send(ctx, door)
		for ; renewed < maxRenewed && replaceable(p, ans); renewed++ {
			next := m.renew(ctx, caller, p, ans)
			if next == nil {
				break
			}
			door = next
			ans = p.Send(ctx, door)
		}
		if n == maxSends || !harmless(p.Intent.Effect, ans) {
			return ans
		}
		wait := againFirst<<(2*(n-1)) + jitter(p.Intent.ID)
		if ans.RetryAfter > wait {
			wait = ans.RetryAfter
		}
		if wait > maxAgain || m.now().Add(wait).Sub(began) > maxTrying {
			return ans
		}
		m.log.InfoContext(ctx, "a call is made again, which can't repeat an effect", slog.String("intent", p.Intent.ID), slog.Int("try", n+1), slog.Any("kind", fault.KindOf(ans.Err)))
		m.wait(caller, wait)
		if caller.Err() != nil || m.Halted() != nil || p.Stopped != nil && p.Stopped(ctx) != nil {
			return ans
		}
	}
}

// maxRenewed is how often the credential of one attempt is replaced by its
// successor: a system may be rotated again meanwhile.
const maxRenewed = 3

// replaceable says whether a call, also a write, may be made once more with the
// successor of its credential. 401 says that the request was not applied because its
// credential is not valid (RFC 9110, section 15.5.2): the same definite no by which
// the attempt would end as FAILED. It may not where bytes of the Intent left in an
// earlier attempt, of which the answer says nothing. 403 may be about the action. A 401
// to what a connector asks before the call, a list of tools, is one with nothing sent.
func replaceable(p Plan, ans connector.Answer) bool {
	definite := ans.Outcome == connector.Refused || ans.Outcome == connector.NotSent
	return p.Renew != nil && p.From != intent.Unknown && !p.Earlier && definite && ans.Status == http.StatusUnauthorized
}

// renew asks for the successor, as long as somebody waits for the answer and
// nobody has stopped it.
func (m *Machine) renew(ctx, caller context.Context, p Plan, ans connector.Answer) http.RoundTripper {
	next := p.Renew(caller, ans)
	if next == nil || caller.Err() != nil || m.Halted() != nil || p.Stopped != nil && p.Stopped(ctx) != nil {
		return nil
	}
	m.log.InfoContext(ctx, "a call is made again with the version of its Secret that has replaced the refused one", slog.String("intent", p.Intent.ID))
	return next
}

// jitter keeps callers from coming back all at once; less than the first wait.
func jitter(id string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()) % againFirst
}

// harmless says whether a call can be made again after this answer, and is worth
// it: what went wrong is of the moment, and either nothing of the call was written,
// because there was no connection, or it is a read. What a hostile or a broken
// system says is the same the next time, and costs only the wait.
func harmless(effect resource.Effect, ans connector.Answer) bool {
	switch ans.Outcome {
	case connector.NotSent:
		return ans.Passing
	case connector.Unclear, connector.Refused:
		return ans.Passing && effect == resource.Read
	case connector.Done:
	}
	return false
}

func (m *Machine) wait(ctx context.Context, d time.Duration) {
	if m.Wait != nil {
		m.Wait(ctx, d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
