package rotation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
)

// Act is what an admin confirms with a fresh proof: this policy, this start, or
// this word. The digest of nothing that can be described equals no other.
func Act(what string, who ident.Principal, secret string, detail any) intent.Digest {
	b, err := intent.Marshal(map[string]any{"act": what, "tenant": who.Tenant, "account": who.ID, "secret": secret, "detail": detail})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte("sallyport rotation v1\n"), b...))
	return intent.Digest(hex.EncodeToString(sum[:]))
}

// admin refuses everybody else.
func admin(who ident.Principal) error {
	if !who.Valid() || !who.Has(ident.Admin) {
		return fault.New(fault.Denied, "only an admin says how and when a Secret is rotated")
	}
	return nil
}

// SetPolicy sets a Secret's. factor is the id of the proof that was given for it.
func (m *Machine) SetPolicy(ctx context.Context, who ident.Principal, secret string, spec resource.Rotation, factor string) (Policy, error) {
	if err := admin(who); err != nil {
		return Policy{}, err
	}
	if err := spec.Check(); err != nil {
		return Policy{}, err
	}
	if spec.Rotator.Admin == secret || spec.Hook == secret {
		return Policy{}, fault.New(fault.Invalid, "the admin's Secret and the hook's key are others than the one that is rotated").
			WithHint("leave admin away where a version gives the order for its own replacement")
	}
	for _, name := range []string{secret, spec.Rotator.Admin, spec.Hook} {
		if name == "" {
			continue
		}
		if s, err := m.Vault.Show(ctx, who.Tenant, name); err != nil {
			return Policy{}, err
		} else if s.Removed || s.Quarantined != nil {
			return Policy{}, fault.Newf(fault.NotFound, "there is no secret %s to rotate", fault.Quote(name))
		} else if err := s.InStore(); err != nil {
			return Policy{}, err
		}
	}
	if spec.On != nil {
		if err := m.Vault.Watchable(who.Tenant, spec.On.Backend, spec.On.Path); err != nil {
			return Policy{}, err
		}
	}
	if _, err := m.Ways(spec.Rotator); err != nil {
		return Policy{}, err
	}
	if err := m.ownHook(ctx, who.Tenant, secret, spec.Hook); err != nil {
		return Policy{}, err
	}
	was, err := m.Policies.RotationPolicy(ctx, who.Tenant, secret)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Policy{}, err
	}
	p := Policy{Tenant: who.Tenant, Secret: secret, Spec: spec, By: who.String(), At: m.Now(), Rev: was.Rev + 1}
	b, err := intent.Marshal(spec)
	if err != nil {
		return Policy{}, fault.New(fault.Invalid, "the policy can't be described")
	}
	if m.Holds != nil && m.Holds(who.Tenant, b) {
		return Policy{}, fault.New(fault.Invalid, "the policy holds a known secret, and people can read it").
			WithHint("what gives the order is the Secret that admin names")
	}
	sum := sha256.Sum256(b)
	return p, m.Policies.SetRotationPolicy(ctx, p, audit.Event{Type: audit.RotationPolicySet, Tenant: who.Tenant, At: p.At, Actor: who.String(),
		Fields: map[string]any{"secret": secret, "digest": hex.EncodeToString(sum[:]), "revision": p.Rev, "kind": string(spec.Rotator.Kind), "factor": factor}})
}

// ownHook refuses a signing key that another policy has: a message that was sent for
// one Secret would be good for the other, to whoever has seen it.
func (m *Machine) ownHook(ctx context.Context, t ident.Tenant, secret, hook string) error {
	if hook == "" {
		return nil
	}
	all, err := m.Policies.RotationPolicies(ctx, t)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Spec.Hook == hook && p.Secret != secret {
			return fault.Newf(fault.Invalid, "the hook's key is the one of %s", p.Secret).WithHint("give each Secret a key of its own")
		}
	}
	return nil
}

// RemovePolicy takes it away. A rotation that goes on has its own copy.
func (m *Machine) RemovePolicy(ctx context.Context, who ident.Principal, secret, factor string) error {
	if err := admin(who); err != nil {
		return err
	}
	p, err := m.Policies.RotationPolicy(ctx, who.Tenant, secret)
	if err != nil {
		return err
	}
	return m.Policies.RemoveRotationPolicy(ctx, p, audit.Event{Type: audit.RotationPolicyRemoved, Tenant: who.Tenant, At: m.Now(), Actor: who.String(),
		Fields: map[string]any{"secret": secret, "factor": factor}})
}

// NoPolicy is the answer where a Secret that has none is to be rotated.
func NoPolicy(secret string) error {
	return fault.Newf(fault.NotFound, "the secret %s has no rotation policy", fault.Quote(secret)).
		WithHint("set one with: sallyport secret policy set NAME --file FILE; or rotate to a value that you have: sallyport secret rotate NAME")
}

// Start begins a rotation by hand. Its steps follow by themselves.
func (m *Machine) Start(ctx context.Context, who ident.Principal, secret, factor string) (Rotation, error) {
	if err := admin(who); err != nil {
		return Rotation{}, err
	}
	p, err := m.Policies.RotationPolicy(ctx, who.Tenant, secret)
	if fault.Is(err, fault.NotFound) {
		return Rotation{}, NoPolicy(secret)
	}
	if err != nil {
		return Rotation{}, err
	}
	return m.begin(ctx, p, who, ByHand, factor)
}

func (m *Machine) begin(ctx context.Context, p Policy, who ident.Principal, by Trigger, factor string) (Rotation, error) {
	if m.Stopped != nil {
		if err := m.Stopped(ctx, p.Tenant); err != nil {
			return Rotation{}, errStopped(err)
		}
	}
	s, err := m.Vault.Show(ctx, p.Tenant, p.Secret)
	if err != nil {
		return Rotation{}, err
	}
	if s.Active == 0 || s.Removed {
		return Rotation{}, fault.Newf(fault.Conflict, "the secret %s has no active version to rotate", p.Secret)
	}
	if err := s.InStore(); err != nil {
		return Rotation{}, err
	}
	now := m.Now()
	r := Rotation{Tenant: p.Tenant, ID: ident.New("rot"), Secret: p.Secret, State: Making, Was: s.Active, Policy: p.Spec, Trigger: by, By: who.String(),
		Due: now, Started: now, Updated: now, Rev: 1}
	ev := event(r, audit.RotationStarted, who, map[string]any{"trigger": string(by), "factor": factor})
	return r, m.Rotations.StartRotation(ctx, r, ev)
}

// Word is what a person says of a rotation that waits for one.
type Word string

// The words.
const (
	Again   Word = "again"   // go on where it stopped: what stood in the way is mended
	GiveUp  Word = "give_up" // the new version is not to be used
	Settled Word = "settled" // what is left to do at the system was done by hand
)

// Resolve takes a person's word on a rotation that waits. For a creation that may
// have been made twice, Again says that what the system had made was looked for and
// taken away. seen is the revision that the person has looked at; 0: whichever it is.
func (m *Machine) Resolve(ctx context.Context, who ident.Principal, id string, w Word, seen int64, factor string) (Rotation, error) {
	if err := admin(who); err != nil {
		return Rotation{}, err
	}
	r, err := m.Rotations.Rotation(ctx, who.Tenant, id)
	if err != nil {
		return r, err
	}
	if seen != 0 && seen != r.Rev {
		return r, fault.New(fault.Conflict, "the rotation has gone on meanwhile").WithHint("look at it again")
	}
	if r.State != NeedsPerson {
		return r, fault.Newf(fault.Conflict, "the rotation is %s: it waits for nobody", r.State)
	}
	to, err := m.after(ctx, r, w)
	if err == nil && to.Final() {
		err = m.close(ctx, &r, to)
	}
	if err != nil {
		return r, err
	}
	r.State, r.Stuck, r.Begun, r.Tries, r.Due, r.Updated, r.Rev = to, "", false, 0, m.Now(), m.Now(), r.Rev+1
	return r, m.Rotations.StepRotation(ctx, r, event(r, audit.RotationStepped, who, map[string]any{"from": string(NeedsPerson), "verdict": string(w), "factor": factor}))
}

// close ends the use of the version that a settled rotation leaves behind: also by
// its number nobody opens it any more.
func (m *Machine) close(ctx context.Context, r *Rotation, to State) error {
	left := r.Version
	if to == Done {
		left = r.Was
	}
	if left == 0 {
		return nil
	}
	j, err := m.job(r)
	if err != nil {
		return err
	}
	return m.Vault.EndVersion(ctx, j, left)
}

// after is the state that a word leads to. None leads to one in which no version
// is active, where one is.
func (m *Machine) after(ctx context.Context, r Rotation, w Word) (State, error) {
	s, err := m.Vault.Show(ctx, r.Tenant, r.Secret)
	if err != nil {
		return "", err
	}
	switched := r.Version != 0 && s.Active == r.Version
	switch {
	case w == Again:
		return r.Stuck, nil
	case w == GiveUp && (switched || r.Stuck == Disabling || r.Stuck == Deleting):
		return "", fault.New(fault.Conflict, "the new version is active already").WithHint("say again or settled; to go back: sallyport secret rollback")
	case w == GiveUp && r.Version == 0:
		return Failed, nil
	case w == GiveUp:
		return Discarding, nil
	case w == Settled && switched:
		return Done, nil
	case w == Settled && s.Active == r.Was:
		return Failed, nil
	case w == Settled:
		return Failed, nil // a person has chosen another version, or none: the Secret is disabled, or was removed
	}
	return "", fault.Newf(fault.Invalid, "%q is no word on this rotation", fault.Quote(string(w))).WithHint("say again, give_up or settled")
}

// startDue begins what schedules ask for. A version that could not be replaced is
// tried again after a day, not at once.
func (m *Machine) startDue(ctx context.Context, t ident.Tenant, all []Rotation) error {
	policies, err := m.Policies.RotationPolicies(ctx, t)
	if err != nil {
		return err
	}
	now := m.Now()
	for _, p := range policies {
		if p.Spec.Every == 0 {
			continue
		}
		s, err := m.Vault.Show(ctx, t, p.Secret)
		if err != nil || s.Active == 0 || s.Removed || s.InStore() != nil || since(now, s.Versions[s.Active-1].CreatedAt) < p.Spec.Every.D(0) {
			continue
		}
		rest := false
		for _, r := range all {
			rest = rest || r.Secret == p.Secret && (!r.State.Final() || since(now, r.Started) < min(24*time.Hour, p.Spec.Every.D(0)))
		}
		if rest {
			continue
		}
		if _, err := m.begin(ctx, p, System(t), BySchedule, ""); err != nil && !fault.Is(err, fault.Conflict) {
			m.Log.ErrorContext(ctx, "a rotation could not be begun", slog.String("secretName", p.Secret), slog.String("why", err.Error()))
		}
	}
	return nil
}
