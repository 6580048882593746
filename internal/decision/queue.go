package decision

import (
	"context"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Queue lists a page of Decisions with their Intents, the oldest first. One that
// is held has nothing of its action. One that can't be shown has its place in the
// list with nothing but why ([Decision.Refused]): it must neither hide the others
// nor go missing. An error is one that concerns all of them.
func (k *Desk) Queue(ctx context.Context, tenant ident.Tenant, f Filter) ([]Item, error) {
	switch {
	case f.Limit <= 0:
		f.Limit = 50
	case f.Limit > 200:
		f.Limit = 200
	}
	f.Refused = true
	ds, err := k.Store.Decisions(ctx, tenant, f)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(ds))
	for _, d := range ds {
		it, err := k.listed(ctx, d)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// listed is one item of a list.
func (k *Desk) listed(ctx context.Context, d Decision) (Item, error) {
	if d.Refused != "" {
		return Item{Decision: d}, nil
	}
	it := Item{Decision: d}
	i, err := k.Facts.Intent(ctx, d.Tenant, d.Intent)
	if err == nil {
		if it, err = k.with(ctx, Item{Decision: k.asking(d), Intent: i}); err == nil {
			it, err = k.look(ctx, it)
		}
	}
	switch {
	case err == nil:
		return it, nil
	case isUnrecorded(err):
		return unshown(d, Unrecorded), nil
	case fault.Is(err, fault.Denied), fault.Is(err, fault.NotFound), fault.Is(err, fault.Internal):
		return unshown(d, "what is stored about its action is not what was written"), nil
	}
	return Item{}, err // of the store or the vault as a whole: nobody can say what may be shown
}

// Unrecorded is why a Decision is not shown that is held, where that could not be
// written down.
const Unrecorded = "it is held, and that could not be recorded"

// unshown is an item of which nothing is shown.
func unshown(d Decision, why string) Item {
	return Item{
		Decision: Decision{Tenant: d.Tenant, ID: d.ID, Intent: d.Intent, Run: d.Run, Revision: d.Revision, State: d.State, CreatedAt: d.CreatedAt, ExpiresAt: d.ExpiresAt, Refused: why},
		Intent:   intent.Intent{Tenant: d.Tenant, ID: d.Intent, Run: d.Run, State: intent.Parked},
	}
}

// unrecorded is that one Decision could not be marked as held: it is not shown, and
// the others are.
type unrecorded struct{ error }

// Unwrap gives what went wrong.
func (u *unrecorded) Unwrap() error { return u.error }
