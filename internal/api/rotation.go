package api

import (
	"context"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
)

// Rotator keeps rotations of Secrets.
type Rotator interface {
	// Doctor looks at a tenant's Secrets.
	Doctor(ctx context.Context, t ident.Tenant) ([]rotation.Finding, error)
	// Rotated says that a rotation was begun, or can go on.
	Rotated()
}

// Rotations are those that go on and the last of each Secret, with the policies.
type Rotations struct {
	Rotations []rotation.Rotation `json:"rotations"`
	Policies  []RotationPolicy    `json:"policies"`
}

// RotationPolicy is a Secret's policy, and what it comes to now.
type RotationPolicy struct {
	rotation.Policy
	// Next is when its schedule replaces the active version; in the past: as soon as
	// nothing stands in the way. None without a schedule, and where it does nothing.
	Next time.Time `json:"next,omitzero"`
	Idle string    `json:"idle,omitempty"` // why it does nothing
	// Unbegun is the last event since the last rotation, which has begun none.
	Unbegun *rotation.Unbegun `json:"unbegun,omitempty"`
}

// SetRotation sets how a Secret is rotated, with a fresh proof of exactly that.
type SetRotation struct {
	Policy resource.Rotation `json:"policy"`
	Fresh
}

// ResolveRotation is an admin's word on a rotation that waits for one.
type ResolveRotation struct {
	Word rotation.Word `json:"word"` // again, give_up or settled
	// Revision is the one that the word is about; 0: whichever it is.
	Revision int64 `json:"revision,omitempty"`
	Fresh
}

// Findings are what the doctor found.
type Findings struct {
	Findings []rotation.Finding `json:"findings"`
}

func (a *API) rotations() {
	handle(a, "GET", "/v1/rotations", "List how Secrets are rotated, the rotations that go on, and the last of each", readsSecrets, func(c *call, _ none) (out Rotations, err error) {
		if out.Rotations, err = a.Rotation.Rotations.Rotations(c.Context(), c.who.Tenant); err != nil {
			return out, err
		}
		all, err := a.Rotation.Standings(c.Context(), c.who.Tenant)
		for _, s := range all {
			if s.Policy != nil {
				out.Policies = append(out.Policies, RotationPolicy{*s.Policy, s.Next, s.Idle, s.Unbegun})
			}
		}
		out.Rotations, out.Policies = emptied(out.Rotations), emptied(out.Policies)
		return out, err
	})
	handle(a, "GET", "/v1/doctor/secrets", "List what somebody should look at about Secrets", readsSecrets, func(c *call, _ none) (Findings, error) {
		l, err := a.Rotator.Doctor(c.Context(), c.who.Tenant)
		return Findings{emptied(l)}, err
	})
	handle(a, "POST", "/v1/secrets/{secret}/rotation-policy", "Set how a Secret is rotated, with password and one-time code", with(ident.Admin), a.setRotation)
	handle(a, "POST", "/v1/secrets/{secret}/rotation-policy/remove", "Take a Secret's rotation policy away, with password and one-time code", with(ident.Admin), func(c *call, in Fresh) (none, error) {
		f, err := a.proof(c, in, rotation.Act("policy.remove", c.who, c.PathValue("secret"), nil))
		if err != nil {
			return none{}, err
		}
		return none{}, a.Rotation.RemovePolicy(c.Context(), c.who, c.PathValue("secret"), f)
	})
	handle(a, "POST", "/v1/secrets/{secret}/rotation", "Rotate a Secret now, by its policy, with password and one-time code", with(ident.Admin), func(c *call, in Fresh) (rotation.Rotation, error) {
		f, err := a.proof(c, in, rotation.Act("start", c.who, c.PathValue("secret"), nil))
		if err != nil {
			return rotation.Rotation{}, err
		}
		defer a.Rotator.Rotated()
		return a.Rotation.Start(c.Context(), c.who, c.PathValue("secret"), f)
	})
	handle(a, "POST", "/v1/rotations/{rotation}/resolve", "Give a person's word on a rotation that waits for one, with password and one-time code", with(ident.Admin), func(c *call, in ResolveRotation) (rotation.Rotation, error) {
		f, err := a.proof(c, in.Fresh, rotation.Act("resolve", c.who, c.PathValue("rotation"), string(in.Word)))
		if err != nil {
			return rotation.Rotation{}, err
		}
		defer a.Rotator.Rotated()
		return a.Rotation.Resolve(c.Context(), c.who, c.PathValue("rotation"), in.Word, in.Revision, f)
	})
	handle(a, "POST", "/v1/hooks/rotation/{secret}", "Rotate a Secret by an event: a message signed with the hook's key of its policy (Standard Webhooks)", anybody, a.rotationHook)
}

// proof takes a fresh factor for exactly one act, and gives its id for the record.
func (a *API) proof(c *call, f Fresh, act intent.Digest) (string, error) {
	if f.Password == "" || f.Code == "" {
		return "", fault.New(fault.Denied, "this takes the password and a one-time code")
	}
	got, err := a.Directory.Authorize(c.Context(), c.who, f.Password, f.Code, act, a.Now())
	return got.ID, err
}

func (a *API) setRotation(c *call, in SetRotation) (rotation.Policy, error) {
	if err := in.Policy.Check(); err != nil { // before a proof is spent on it
		return rotation.Policy{}, err
	}
	f, err := a.proof(c, in.Fresh, rotation.Act("policy.set", c.who, c.PathValue("secret"), in.Policy))
	if err != nil {
		return rotation.Policy{}, err
	}
	return a.Rotation.SetPolicy(c.Context(), c.who, c.PathValue("secret"), in.Policy, f)
}

// rotationHook begins a rotation that a signed message asks for. A Secret without a
// hook, and a message that was not signed with its key, get one answer: strangers
// learn no names. Who has the key gets one answer too, whether it begins a rotation or
// not: why not is in the log and in the list.
func (a *API) rotationHook(c *call, _ none) (none, error) {
	body, err := c.message()
	if err != nil {
		return none{}, err
	}
	name := c.PathValue("secret")
	p, err := a.Rotation.Policies.RotationPolicy(c.Context(), a.Tenant, name)
	if ident.CheckName(name) != nil || err != nil || p.Spec.Hook == "" {
		p.Spec.Hook = "" // the name of nothing
	}
	if err := a.Vault.CheckHook(a.Tenant, p.Spec.Hook, c.Header, body); err != nil {
		return none{}, err
	}
	begun, err := a.Rotation.Event(c.Context(), p)
	if begun {
		a.Rotator.Rotated()
	}
	return none{}, err
}
