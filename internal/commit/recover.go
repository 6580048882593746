package commit

import (
	"context"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Left is an attempt that an earlier process left behind.
type Left struct {
	Intent   intent.Intent
	Fence    int64
	Claimant string
}

// Sweep closes what an earlier process left behind, from the state alone:
// CLAIMED means that nothing was sent, so a write is handed back to be claimed
// again with a higher fence and a read fails (it will be read again); SENDING
// means that bytes may have left, so the outcome is UNKNOWN and the system will
// be asked. event and observe describe the step.
func (m *Machine) Sweep(ctx context.Context, left []Left,
	event func(intent.Intent, intent.State) audit.Event,
	observe func(intent.Intent, intent.State) explain.Observation,
) error {
	for _, l := range left {
		if l.Claimant == m.claimant {
			continue
		}
		s := Step{
			Tenant: l.Intent.Tenant, Intent: l.Intent.ID, Run: l.Intent.Run,
			From: l.Intent.State, Fence: l.Fence, At: m.now(),
		}
		switch {
		case l.Intent.State == intent.Sending:
			s.To = intent.Unknown
			s.Why = "the process stopped while the request was under way"
			s.Result = &intent.Result{State: intent.Unknown, Note: note(intent.Unknown, l.Intent.Effect, connector.Answer{})}
			s.Outbox = []Message{{Kind: MsgReconcile, Ref: l.Intent.ID, Due: s.At}}
		case l.Intent.Effect == resource.Write:
			// The Decision was for this attempt, and it was not used: nothing left.
			s.To, s.Claimant = intent.Claimed, m.claimant
			s.Outbox = []Message{{Kind: MsgDispatch, Ref: l.Intent.ID, Due: s.At}}
		default:
			s.To = intent.Failed
			s.Why = "the process stopped before the answer came; nothing was changed"
			s.Result = &intent.Result{State: intent.Failed, Note: "The read was cut by a restart. Read again."}
			s.Outbox = []Message{{Kind: MsgSegment, Ref: l.Intent.Run, Due: s.At}}
		}
		s.Events = []audit.Event{event(l.Intent, s.To)}
		s.Observe = []explain.Observation{observe(l.Intent, s.To)}
		if _, err := m.store.Step(ctx, s); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}
