package rotation

import (
	"context"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// Standing is how it stands with a Secret that has a policy, or had one.
type Standing struct {
	Secret string
	Policy *Policy   // nil: none any more
	Last   *Rotation // the one that goes on, or the last that ended; nil: there was none
	Active int       // version; 0: none
	Since  time.Time // when that was made
	Next   time.Time // when a schedule replaces it, or should have; zero: by hand or event alone
	Idle   string    // why the policy does nothing; empty: it does what it says
	// Unbegun is what came after the last rotation and has begun none.
	Unbegun *Unbegun
}

// Standings lists them by name, those that wait for a person first.
func (m *Machine) Standings(ctx context.Context, t ident.Tenant) ([]Standing, error) {
	policies, err := m.Policies.RotationPolicies(ctx, t)
	if err != nil {
		return nil, err
	}
	all, err := m.Rotations.Rotations(ctx, t)
	if err != nil {
		return nil, err
	}
	by := map[string]*Standing{}
	at := func(secret string) *Standing {
		if by[secret] == nil {
			by[secret] = &Standing{Secret: secret}
		}
		return by[secret]
	}
	for _, p := range policies {
		at(p.Secret).Policy = &p
	}
	for _, r := range all {
		if s := at(r.Secret); s.Last == nil || s.Last.State.Final() {
			s.Last = &r
		}
	}
	out := make([]Standing, 0, len(by))
	for _, s := range by {
		if err := m.schedule(ctx, t, s); err != nil {
			return nil, err
		}
		s.Unbegun = m.notBegun(t, s)
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Standing) int {
		if a.Waits() != b.Waits() {
			if a.Waits() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Secret, b.Secret)
	})
	return out, nil
}

// Waits says that a person is needed.
func (s Standing) Waits() bool { return s.Last != nil && s.Last.State == NeedsPerson }

// schedule says when the active version is replaced.
func (m *Machine) schedule(ctx context.Context, t ident.Tenant, s *Standing) error {
	head, err := m.Vault.Show(ctx, t, s.Secret)
	switch {
	case fault.Is(err, fault.NotFound):
		head.Removed = true
	case fault.Is(err, fault.Denied) || fault.Is(err, fault.Unavailable): // tampered with, or sealed: the others are listed
		if s.Policy != nil {
			s.Idle = "the Secret can't be read: " + err.Error()
		}
		return nil
	case err != nil:
		return err
	}
	s.idle(head)
	if head.Removed || head.Active == 0 {
		return nil
	}
	s.Active, s.Since = head.Active, head.Versions[head.Active-1].CreatedAt
	if s.Policy == nil || s.Policy.Spec.Every == 0 || s.Idle != "" {
		return nil
	}
	every := s.Policy.Spec.Every.D(0)
	s.Next = s.Since.Add(every)
	if s.Last != nil {
		if rest := s.Last.Started.Add(min(24*time.Hour, every)); rest.After(s.Next) {
			s.Next = rest
		}
	}
	return nil
}

// idle notes why a policy does nothing; of no policy there is nothing to say.
func (s *Standing) idle(head vault.Secret) {
	switch {
	case s.Policy == nil:
	case head.Removed:
		s.Idle = "the Secret was removed"
	case head.Active == 0:
		s.Idle = "no version of the Secret is active"
	case head.Versions[head.Active-1].Pointer != nil:
		s.Idle = "the value is in the backend " + head.Versions[head.Active-1].Pointer.Backend + ", which rotates it"
	}
}

// Choice is a word that a rotation takes as it is, with what it means there.
type Choice struct {
	Word Word
	Text string
}

// Choices are a waiting rotation's; none where it waits for nobody.
func (m *Machine) Choices(ctx context.Context, r Rotation) (out []Choice, err error) {
	if r.State != NeedsPerson {
		return nil, nil
	}
	for _, w := range []Word{Again, GiveUp, Settled} {
		to, err := m.after(ctx, r, w)
		switch fault.KindOf(err) {
		case "":
			out = append(out, Choice{w, meaning(r, w, to)})
		case fault.Conflict, fault.Invalid: // not this one
		default:
			return nil, err
		}
	}
	return out, nil
}

// meaning is what a person says with a word.
func meaning(r Rotation, w Word, to State) string {
	chosen := r.Stuck == Making && r.Policy.Rotator.Chooses()
	switch {
	case w == Again && chosen:
		return "I looked for a credential that the system made for this rotation, and took it away there: make one"
	case w == Again:
		return "What stood in the way is mended: go on with " + string(r.Stuck)
	case w == GiveUp && chosen:
		return "I looked for a credential that the system made for this rotation, and took it away there: make none, the version before goes on"
	case w == GiveUp:
		return "The new version is not to be used: it is disabled here, and taken away at the system where the policy says how"
	case to == Done:
		return "What was left to do at the system was done by hand: the new version stays the active one"
	}
	return "What was left to do at the system was done by hand: the new version is not used"
}
