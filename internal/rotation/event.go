package rotation

import (
	"context"
	"log/slog"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// minBetween is how long after the last rotation of a Secret, whatever began it and
// however it ended, an event begins one.
const minBetween = time.Hour

// sayAgain is how often it is logged that events of a Secret begin nothing: who has
// the hook's key may send as many as it likes.
const sayAgain = time.Minute

// Unbegun is an event that was one, and has begun no rotation. It is in memory alone:
// a restart forgets it.
type Unbegun struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
	// Times is how many there were since the last that has begun one.
	Times int `json:"times"`

	said time.Time // when it was logged
}

// Event begins a rotation that a signed message or a change at a backend asks for.
// False without an error: it begins none, and why is logged and listed, for who may
// read that; the sender is told nothing of it. Unavailable: it may come again later.
func (m *Machine) Event(ctx context.Context, p Policy) (begun bool, err error) {
	err = m.event(ctx, p)
	m.note(ctx, p, err)
	if fault.Is(err, fault.Unavailable) {
		return false, fault.New(fault.Unavailable, "no rotation is begun now").WithHint("say it again later")
	}
	return err == nil, nil
}

func (m *Machine) event(ctx context.Context, p Policy) error {
	all, err := m.Rotations.Rotations(ctx, p.Tenant)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "reading the rotations", err)
	}
	for _, r := range all {
		if r.Secret != p.Secret {
			continue
		}
		if ago := since(m.Now(), r.Started); ago < minBetween {
			return fault.Newf(fault.Conflict, "the rotation %s of this secret was begun %s ago, by %s, and is %s; after one, whatever began it, an event begins none for an hour",
				r.ID, ago.Round(time.Second), r.Trigger, r.State)
		}
		if !r.State.Final() {
			return fault.Newf(fault.Conflict, "the rotation %s of this secret goes on: it is %s", r.ID, r.State)
		}
	}
	_, err = m.begin(ctx, p, System(p.Tenant), ByEvent, "")
	return err
}

// note keeps what an event came to, and logs that it begins nothing.
func (m *Machine) note(ctx context.Context, p Policy, err error) {
	if u, say := m.count(key{p.Tenant, p.Secret}, err); say {
		m.Log.WarnContext(ctx, "an event begins no rotation", slog.String("secretName", p.Secret), slog.String("why", u.Why), slog.Int("times", u.Times))
	}
}

func (m *Machine) count(k key, err error) (u Unbegun, say bool) {
	now := m.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.unbegun, k)
		return u, false
	}
	u = m.unbegun[k]
	u.At, u.Why, u.Times = now, err.Error(), u.Times+1
	if say = u.Times == 1 || since(now, u.said) >= sayAgain; say {
		u.said = now
	}
	m.unbegun[k] = u
	return u, say
}

// notBegun is the last event that has begun nothing; nil: there was none since the
// last rotation.
func (m *Machine) notBegun(t ident.Tenant, s *Standing) *Unbegun {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.unbegun[key{t, s.Secret}]
	if !ok || s.Policy == nil || s.Last != nil && s.Last.Started.After(u.At) {
		return nil
	}
	return &u
}
