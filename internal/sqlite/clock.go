package sqlite

import (
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// checkClock refuses to record anything while the clock is behind the log's latest
// entry. With a clock that was set back, a Decision that has expired would be one
// again, and a code that was used; and the log's own order would say nothing. What
// can't be recorded does not happen, until the clock is right.
func (t *Tx) checkClock(tenant ident.Tenant) error {
	head, err := t.log.Head(tenant)
	if err != nil {
		return err
	}
	now := t.s.guard.Now().UTC()
	behind := time.UnixMilli(head.At).Sub(now)
	if behind <= audit.ClockSlack || t.rows.accepted[tenant] {
		return nil
	}
	if !t.s.guard.AcceptClock {
		return fault.Newf(fault.Unavailable, "this machine's clock is %s behind the audit log: nothing is done until it is right", behind.Round(time.Second)).
			WithHint("set the clock; if it is right now and was ahead before, start the server once with --accept-clock")
	}
	put(t.rows, t.rows.accepted, tenant, true)
	_, err = t.log.Append(audit.Event{Type: audit.LogClockAccepted, Tenant: tenant, At: now, Actor: "system:store",
		Fields: map[string]any{"why": "an operator says that the clock was " + behind.Round(time.Second).String() + " ahead"}})
	return err
}
