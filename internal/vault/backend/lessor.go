package backend

import (
	"context"
	"time"
)

// Lessor is a Backend that makes a value for who asks, which works until it is revoked
// or its lease ends. Its Fetch makes one on trial and revokes it at once: so it is
// tried that one could be had.
//
// A holder comes first, and the value then: whoever knows the holder's handle can end
// all that was made for it, also when the answer with the value was lost.
type Lessor interface {
	// Engage makes a holder for one user of values. name is a plain word for the
	// backend's own record. Refused: we may not.
	Engage(ctx context.Context, name string) (Holder, error)
	// Revoke ends a holder, by its handle, and a lease, by its id; one of the two can
	// be empty. No error: the value doesn't work any more. What had ended before is
	// no error.
	Revoke(ctx context.Context, handle, lease string) error
	// Where names what makes the values, so that another server under the same name is
	// not taken for it: what it knows nothing of is not revoked by that.
	Where() string
}

// Holder is one for whom a Lessor makes values. Safe for concurrent use.
type Holder interface {
	// Handle is by what it can be revoked: printable, and no secret; and when it
	// ends by itself, with all that was made for it, unless it is renewed. Empty: it
	// has none, and a value whose answer is lost lives until its lease ends.
	Handle() (handle string, until time.Time)
	// Make makes a value. The answer has a Lease, and NotAfter is when it ends. With an
	// error it has no value, and the Lease if there is one to be revoked.
	Make(ctx context.Context, a Ask) (Answer, error)
	// Renew asks for more time, and gives the lease as it is then, with its NotAfter in
	// the answer, which has no fields. Missing: there is no such lease any more.
	Renew(ctx context.Context, l Lease) (Answer, error)
	// Look asks whether a lease is still good, and changes nothing. Missing: there is no
	// such lease any more, and that is certain. Any other error says nothing of it.
	Look(ctx context.Context, l Lease) error
}
