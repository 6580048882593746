package notify

import (
	"context"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// send hands a message to the Channel's receiver, once. Nil: it was accepted.
// Errors are fixed sentences with a hint, nothing of what the receiver says.
func (n *Notifier) send(ctx context.Context, snap *catalog.Snapshot, ch *resource.Channel, t ident.Tenant, m message) error {
	ctx, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	switch {
	case ch.Webhook != nil:
		return n.webhook(ctx, t, ch, m)
	case ch.Slack != nil:
		return n.slack(ctx, t, ch, m)
	case ch.SMTP != nil:
		return n.smtp(ctx, snap, t, ch, m)
	}
	return fault.New(fault.Internal, "a Channel without a way")
}

// Status is a Channel and how it does, for people.
type Status struct {
	Channel *resource.Channel `json:"channel"`
	State   string            `json:"state"`             // ok, failing, or unused: nothing was sent yet
	Waiting int               `json:"waiting"`           // messages that are due and not accepted
	Dropped int64             `json:"dropped,omitempty"` // messages that were given up
	Fails   int               `json:"fails,omitempty"`   // in a row
	Since   time.Time         `json:"since,omitzero"`    // when they began
	Problem string            `json:"problem,omitempty"` // the last failure
	Next    time.Time         `json:"next,omitzero"`     // nothing is sent before
	Tried   time.Time         `json:"tried,omitzero"`    // last
	Sent    time.Time         `json:"sent,omitzero"`     // when a message was last accepted
	Links   bool              `json:"links"`             // whether the server has a public URL to link to
}

// List gives every Channel of a tenant, by name.
func (n *Notifier) List(ctx context.Context, t ident.Tenant) ([]Status, error) {
	snap, err := n.Catalog(t)
	if err != nil {
		return nil, err
	}
	out := []Status{}
	for _, ch := range snap.Channels() {
		s, err := n.status(ctx, t, ch)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Show gives one; kind NotFound.
func (n *Notifier) Show(ctx context.Context, t ident.Tenant, name string) (Status, error) {
	_, ch, err := n.find(t, name)
	if err != nil {
		return Status{}, err
	}
	return n.status(ctx, t, ch)
}

func (n *Notifier) find(t ident.Tenant, name string) (*catalog.Snapshot, *resource.Channel, error) {
	snap, err := n.Catalog(t)
	if err != nil {
		return nil, nil, err
	}
	ch, ok := snap.Channel(name)
	if !ok {
		return nil, nil, fault.New(fault.NotFound, "there is no such Channel").WithHint("sallyport channel list says which there are")
	}
	return snap, ch, nil
}

func (n *Notifier) status(ctx context.Context, t ident.Tenant, ch *resource.Channel) (Status, error) {
	l := Lane{t, ch.Name}
	st, err := n.Store.ChannelState(ctx, l)
	if err != nil {
		return Status{}, err
	}
	waiting, err := n.Store.WaitingNotices(ctx, l, n.Now())
	s := Status{Channel: ch, State: "ok", Waiting: waiting, Dropped: st.Dropped, Fails: st.Fails, Since: st.Since, Problem: st.Problem,
		Tried: st.TriedAt, Sent: st.SentAt, Links: n.Links()}
	switch {
	case st.Fails > 0:
		s.State = "failing"
	case st.TriedAt.IsZero():
		s.State = "unused"
	}
	if st.NextAt.After(n.Now()) {
		s.Next = st.NextAt
	}
	return s, err
}

// Test sends a message that says it is a test, at once and once. The error says
// what is wrong with the Channel: of kind NotFound, Denied or Invalid for what
// somebody has to mend, else Unavailable. After a test that was accepted the
// Channel is held back no longer.
func (n *Notifier) Test(ctx context.Context, who ident.Principal, name string) error {
	snap, ch, err := n.find(who.Tenant, name)
	if err != nil {
		return err
	}
	l := Lane{who.Tenant, ch.Name}
	m := message{id: ident.New("msg"), event: eventTest, at: n.Now(), headline: "This is a test of the Sallyport Channel " + ch.Name + ". Nothing waits.", link: n.home()}
	if err := n.recordUse(ctx, l, ch, who.String(), "a test of the Channel "+ch.Name); err != nil {
		return err
	}
	sent := n.send(ctx, snap, ch, who.Tenant, m)
	fields := map[string]any{"name": ch.Name, "kind": kindOf(ch)}
	if sent != nil {
		fields["why"] = audit.Short(sent.Error())
	}
	if err := n.Store.Record(ctx, audit.Event{Type: audit.ChannelTested, Tenant: who.Tenant, At: n.Now(), Actor: who.String(), Fields: fields}); err != nil {
		return err
	}
	if sent != nil {
		return located(ch, sent)
	}
	return n.Store.Opened(ctx, l, n.Now())
}

// located adds where the receiver is to a failure that has no better hint: who
// tests a Channel looks there next.
func located(ch *resource.Channel, err error) error {
	o, bad := ch.Origin()
	if bad != nil || fault.HintOf(err) != "" || fault.KindOf(err) != fault.Unavailable {
		return err
	}
	return &fault.Error{Kind: fault.Unavailable, Err: err, Hint: "the Channel sends to " + o.String() + ": is that address right, and does something listen there?"}
}

// home is the link of a test.
func (n *Notifier) home() string {
	if n.public == "" {
		return ""
	}
	return n.public + "/decisions"
}
