package rotation

import (
	"context"
	"fmt"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

// outcome is what an act came to.
type outcome struct {
	to   State // "": the same again, later
	why  string
	wait time.Duration // before the next one
	// unmade says that nothing of the act has happened: it is as if it had not begun.
	unmade bool
}

// maxTries is how often an act that can be repeated is tried before a person is
// asked: some hours, with the pauses between.
const maxTries = 40

// act makes the state's act. again says that an earlier process, or an earlier try,
// may have made it, or a part of it.
func (m *Machine) act(ctx context.Context, r *Rotation, again bool) outcome {
	j, err := m.job(r)
	if err != nil {
		return m.person(r, err)
	}
	switch r.State {
	case Making:
		return m.make(ctx, r, j, again)
	case Applying:
		return m.apply(ctx, r, j)
	case Trying:
		return m.try(ctx, r, j)
	case Switching:
		return m.turn(ctx, r, j)
	case Grace:
		if m.jumped(r) {
			return outcome{to: Returning, why: "calls with the new version are refused: " + m.figures(r)}
		}
		return outcome{to: Disabling}
	case Disabling:
		return m.disable(ctx, r, j)
	case Deleting:
		return m.repeat(r, m.Vault.DeleteVersion(ctx, j, r.Was), outcome{to: Done})
	case Returning:
		r.Back = true
		return m.repeat(r, m.Vault.ReturnVersion(ctx, j, r.Version, "rolled back"), outcome{to: Discarding, why: r.Why})
	case Discarding:
		return m.discard(ctx, r, j)
	case NeedsPerson, Done, Failed, RolledBack:
	}
	return m.person(r, errOver(*r))
}

// knownFor is how long a system is trusted to know a request again: the shortest that
// providers promise.
const knownFor = 24 * time.Hour

// make gets the next version. A system that chooses is asked once, unless asking
// again makes no second credential, or what was made is found and taken away.
func (m *Machine) make(ctx context.Context, r *Rotation, j vault.RotationJob, again bool) outcome {
	rot := &r.Policy.Rotator
	if s, err := m.Vault.Show(ctx, r.Tenant, r.Secret); err != nil {
		return m.repeat(r, err, outcome{})
	} else if n := madeBy(s, r.ID); n != 0 {
		r.Version = n // the vault has it: what was begun was done
		return outcome{to: m.afterMaking(r)}
	}
	if known := rot.Once() && since(m.Now(), r.Started) < knownFor; again && rot.Chooses() && !known {
		if !rot.Finds() {
			return m.person(r, fault.New(fault.Unknown, "the system may have made a credential that nobody knows of"))
		}
		if _, err := m.Vault.ClearMade(ctx, j); err != nil {
			return m.repeat(r, err, outcome{})
		}
	}
	n, err := m.Vault.MakeVersion(ctx, j)
	switch {
	case err == nil:
		r.Version = n
		return outcome{to: m.afterMaking(r)}
	case fault.Is(err, fault.Unavailable): // nothing was sent
		o := m.repeat(r, err, outcome{})
		o.unmade = !again
		return o
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Conflict), fault.Is(err, fault.NotFound), !rot.Chooses():
		return outcome{to: Failed, why: err.Error()}
	case fault.Is(err, fault.Unknown) && (rot.Once() || rot.Finds()):
		return m.repeat(r, err, outcome{})
	case rot.Finds(): // made, and of no use
		gone, no := m.Vault.ClearMade(ctx, j)
		if no == nil && m.Vault.TryVersion(ctx, j, r.Was) == nil {
			return outcome{to: Failed, why: fmt.Sprintf("%s; of what the system made %d were deleted again", err, gone)}
		}
	}
	return m.person(r, err)
}

func madeBy(s vault.Secret, rotation string) int {
	for _, v := range s.Versions {
		if v.Rotation == rotation && v.State != vault.Destroyed {
			return v.Version
		}
	}
	return 0
}

func (m *Machine) afterMaking(r *Rotation) State {
	if r.Policy.Rotator.Chooses() {
		return Trying
	}
	return Applying
}

// apply tells the system the value. That a try is refused says nothing about the
// tries before it: which of the two values the system knows is asked.
func (m *Machine) apply(ctx context.Context, r *Rotation, j vault.RotationJob) outcome {
	err := m.Vault.ApplyVersion(ctx, j, r.Version)
	if err == nil {
		return outcome{to: Trying}
	}
	if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
		return m.repeat(r, err, outcome{})
	}
	if m.Vault.TryVersion(ctx, j, r.Version) == nil {
		return outcome{to: Switching, why: "the system knows the new version already"}
	}
	if m.Vault.TryVersion(ctx, j, r.Was) == nil {
		return outcome{to: Discarding, why: err.Error()}
	}
	return m.person(r, err)
}

// try signs in with the new version. Where that is refused, it is not switched to;
// where it ended the one before, that one's value is told to the system again if
// it is ours to tell.
func (m *Machine) try(ctx context.Context, r *Rotation, j vault.RotationJob) outcome {
	err := m.Vault.TryVersion(ctx, j, r.Version)
	rot := &r.Policy.Rotator
	switch {
	case err == nil:
		return outcome{to: Switching}
	case !fault.Is(err, fault.Denied):
		return m.repeat(r, err, outcome{})
	case !rot.Ends():
		return outcome{to: Discarding, why: "the new version was refused when it was tried: " + err.Error()}
	case !rot.Chooses() && m.Vault.ApplyVersion(ctx, j, r.Was) == nil && m.Vault.TryVersion(ctx, j, r.Was) == nil:
		return outcome{to: Discarding, why: "the new version was refused when it was tried, and the one before was set again: " + err.Error()}
	}
	return m.person(r, fault.Wrap(fault.KindOf(err), "the new version was refused when it was tried, and the system has ended the one before", err))
}

// turn makes the new version the active one.
func (m *Machine) turn(ctx context.Context, r *Rotation, j vault.RotationJob) outcome {
	err := m.Vault.SwitchVersion(ctx, j, r.Version)
	switch {
	case err == nil && r.Policy.Rotator.Ends():
		return outcome{to: Disabling, wait: r.Policy.Grace.D(0)}
	case err == nil:
		return outcome{to: Grace, wait: r.Policy.Grace.D(0)}
	case fault.Is(err, fault.Conflict) && !r.Policy.Rotator.Ends():
		return outcome{to: Discarding, why: err.Error()} // a person has chosen another
	}
	return m.repeat(r, err, outcome{})
}

// disable ends the version before, here.
func (m *Machine) disable(ctx context.Context, r *Rotation, j vault.RotationJob) outcome {
	next := outcome{to: Done}
	if r.Policy.Rotator.Deletes() {
		next.to = Deleting
	}
	return m.repeat(r, m.Vault.EndVersion(ctx, j, r.Was), next)
}

// discard ends the new version: here, then at the system where it deletes.
func (m *Machine) discard(ctx context.Context, r *Rotation, j vault.RotationJob) outcome {
	end := outcome{to: Failed, why: r.Why}
	if r.Back {
		end.to = RolledBack
	}
	if err := m.Vault.EndVersion(ctx, j, r.Version); err != nil {
		return m.repeat(r, err, end)
	}
	if !r.Policy.Rotator.Deletes() {
		return end
	}
	o := m.repeat(r, m.Vault.DeleteVersion(ctx, j, r.Version), end)
	if o.to == "" {
		o.why = end.why // what led here, not what it waits for
	}
	return o
}

// repeat is an act that can be made again: it is, until it has been for long.
// What will be no other at the next try is for a person.
func (m *Machine) repeat(r *Rotation, err error, next outcome) outcome {
	switch {
	case err == nil:
		return next
	case r.Tries < maxTries && (fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Unknown) || fault.Is(err, fault.Internal)):
		return outcome{why: err.Error()}
	}
	return m.person(r, err)
}

// person is what nobody but a person can end.
func (m *Machine) person(r *Rotation, err error) outcome {
	return outcome{to: NeedsPerson, why: string(r.State) + ": " + err.Error()}
}
