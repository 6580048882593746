package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// turn is how many messages of one Channel are sent before another may have the
// worker.
const turn = 50

// work sends what a Channel has due, one after the other.
func (n *Notifier) work(ctx context.Context, l Lane) {
	for range turn {
		if ctx.Err() != nil {
			return
		}
		next, err := n.Store.NextNotice(ctx, l, n.Now())
		if err == nil {
			err = n.carry(ctx, next)
		}
		if fault.Is(err, fault.NotFound) {
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				n.Log.ErrorContext(ctx, "a message of a Channel can't be carried out", slog.String("channel", l.Channel), slog.Any("kind", fault.KindOf(err)))
				select { // a store that fails is not asked without a pause
				case <-ctx.Done():
				case <-time.After(firstWait):
				}
			}
			return
		}
	}
}

// carry sends one message and stores what became of it. The error is the
// store's; that of the receiver is an outcome.
func (n *Notifier) carry(ctx context.Context, no Notice) error {
	snap, err := n.Catalog(no.Tenant)
	if err != nil {
		return unless(err)
	}
	ch, ok := snap.Channel(no.Channel)
	if !ok || !ch.Serves(no.Event, no.Team) {
		return n.Store.DropNotice(ctx, no) // it was changed or removed in the meantime
	}
	msg, ok, err := n.compose(ctx, snap, ch, no)
	if err != nil {
		return unless(err)
	}
	if !ok {
		return n.Store.DropNotice(ctx, no)
	}
	if no.Tries == 0 {
		if err := n.recordUse(ctx, no.Lane, ch, "system:notify", "a message of the Channel "+ch.Name+": "+no.ID); err != nil {
			return unless(err)
		}
	}
	sent := n.send(ctx, snap, ch, no.Tenant, msg)
	if sent != nil && ctx.Err() != nil {
		return nil // it is stopping: that says nothing about the Channel, and the message stays
	}
	ctx = context.WithoutCancel(ctx) // what was accepted is not sent again because of a stop
	if sent == nil && n.Sent != nil {
		n.Sent(no)
	}
	st, err := n.Store.ChannelState(ctx, no.Lane)
	if err != nil {
		return unless(err)
	}
	t := n.outcome(no, ch, st, sent)
	if len(t.Events) > 0 && sent != nil {
		n.Log.WarnContext(ctx, "a Channel fails", slog.String("channel", ch.Name), slog.String("why", t.State.Problem))
	}
	return unless(n.Store.Tried(ctx, t))
}

// unless hides that something was not found from who takes that for the end of
// the work.
func unless(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Internal, "carrying out a message", errors.New("what it refers to is gone"))
	}
	return err
}

// outcome is what follows from a try; failed nil: the receiver has accepted it.
func (n *Notifier) outcome(no Notice, ch *resource.Channel, st State, failed error) Try {
	now := n.Now()
	t := Try{Notice: no, Sent: failed == nil, State: st}
	t.State.TriedAt = now
	event := func(typ audit.Type, fields map[string]any) audit.Event {
		fields["name"], fields["kind"] = ch.Name, kindOf(ch)
		return audit.Event{Type: typ, Tenant: no.Tenant, At: now, Actor: "system:notify", Fields: fields}
	}
	if failed == nil {
		t.State.Fails, t.State.Since, t.State.NextAt, t.State.SentAt, t.State.Problem = 0, time.Time{}, time.Time{}, now, ""
		if st.Failing {
			t.State.Failing = false
			t.Events = append(t.Events, event(audit.ChannelRecovered, map[string]any{}))
		}
		return t
	}
	t.State.Fails++
	t.State.Problem = audit.Short(failed.Error())
	if st.Fails == 0 {
		t.State.Since = now
	}
	t.Again = now.Add(n.wait(no.Tries))
	if t.State.Fails >= patience {
		t.State.NextAt = now.Add(n.wait(t.State.Fails - patience))
	}
	if after := afterOf(failed); after > 0 { // it said so, and means all of us
		t.State.NextAt = now.Add(after)
	}
	t.GiveUp = now.Add(-giveUp)
	t.Dropped = event(audit.ChannelDropped, map[string]any{})
	if !st.Failing && (st.ToldAt.IsZero() || now.Sub(st.ToldAt) >= tellEvery) {
		t.State.Failing, t.State.ToldAt = true, now
		t.Events = append(t.Events, event(audit.ChannelFailed, map[string]any{"why": t.State.Problem}))
	}
	return t
}

// wait grows with the failures before, to an hour; up to half of it is left to
// chance, so that Channels which failed together are not tried together.
func (n *Notifier) wait(before int) time.Duration {
	w := min(firstWait<<min(before, 10), maxWait)
	return w/2 + time.Duration(n.Random()*float64(w/2))
}

// recordUse puts the use of a Channel's credential into the audit log, before it
// is used.
func (n *Notifier) recordUse(ctx context.Context, l Lane, ch *resource.Channel, actor, why string) error {
	ref := ch.SecretRef()
	if ref == "" {
		return nil
	}
	name, version, err := (resource.Auth{Secret: ref}).Ref()
	if err != nil {
		return err
	}
	fields := map[string]any{"secret": name, "why": why}
	if meta, err := n.Vault.Head(ctx, l.Tenant, ref); err == nil {
		version = meta.Version
	}
	if version != 0 {
		fields["secretVersion"] = version
	}
	return n.Store.Record(ctx, audit.Event{Type: audit.SecretOpened, Tenant: l.Tenant, At: n.Now(), Actor: actor, Fields: fields})
}

// kindOf is the word for a Channel's way.
func kindOf(c *resource.Channel) string {
	switch {
	case c.Webhook != nil:
		return "webhook"
	case c.Slack != nil:
		return "slack"
	}
	return "smtp"
}

// refusal is a receiver's no.
type refusal struct {
	why   *fault.Error
	after time.Duration // that it wants to be left alone; 0: it did not say
}

// Error is the fault's.
func (r *refusal) Error() string { return r.why.Error() }

// Unwrap gives the fault, for its kind and hint.
func (r *refusal) Unwrap() error { return r.why }

func afterOf(err error) time.Duration {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.after
	}
	return 0
}
