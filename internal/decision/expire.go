package decision

import (
	"context"
	"errors"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func isUnrecorded(err error) bool {
	_, is := errors.AsType[*unrecorded](err)
	return is
}

// sweepPage is how many expired Decisions one transaction ends. More would hold the
// store's one writer longer than a person's verdict should wait.
const sweepPage = 100

// Expire ends the open Decisions of every tenant whose time is over, and says how
// many. They are ended by the page; where a page can't be, each by itself. It goes
// on after one that can't be ended, and returns the first such error; that one is
// looked at again next time.
//
// This one sweep is all that time does to what waits: no timer, goroutine or
// connection belongs to a Decision.
func (k *Desk) Expire(ctx context.Context, now time.Time) (n int, err error) {
	var after Decision
	for ctx.Err() == nil {
		ds, lerr := k.Store.OverdueDecisions(ctx, now, after, sweepPage)
		if lerr != nil {
			return n, lerr
		}
		if len(ds) == 0 {
			return n, err
		}
		after = ds[len(ds)-1]
		page := make([]Settlement, len(ds))
		for i, d := range ds {
			why := "nobody decided in time"
			if len(d.Votes) > 0 {
				why = "too few people decided in time"
			}
			d.State = Expired
			page[i] = ended(d, intent.Expired, why, "expired: "+why, "system:sweeper", now)
		}
		if k.settle(ctx, now, page...) == nil {
			n += len(page)
			continue
		}
		for _, s := range page {
			switch serr := k.settle(ctx, now, s); {
			case serr == nil:
				n++
			case err == nil && CodeOf(serr) == "" && !errors.Is(serr, ErrRaced): // those: somebody was faster
				err = serr
			}
		}
	}
	return n, fault.Wrap(fault.Unavailable, "looking for expired Decisions", ctx.Err())
}
