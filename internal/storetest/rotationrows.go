package storetest

import (
	"fmt"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/rotation"
)

// rotationIsStill says that nothing of a rotation goes on: it is neither read nor
// stepped, no other of its Secret begins while the store is open, and the log names the
// row. What was not touched goes on.
func (a *siege) rotationIsStill(r rotation.Rotation, was rotation.Rotation) {
	a.t.Helper()
	s := a.turning()
	if _, err := s.Rotation(a.ctx, acme, r.ID); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
		a.t.Errorf("it is read: %v", err)
	}
	for _, from := range []rotation.Rotation{r, was} {
		if _, err := step(a.ctx, s, from, rotation.Deleting); err == nil {
			a.t.Errorf("it goes on from revision %d", from.Rev)
		}
	}
	l, err := s.Rotations(a.ctx, acme)
	a.must(err)
	for _, o := range l {
		if o.ID == r.ID {
			a.t.Errorf("it is listed as %s", o.State)
		}
	}
	again := turn(acme, r.Secret, a.Now)
	// After a restart a row that is gone is in the log and nowhere else.
	if err := s.StartRotation(a.ctx, again, turnEvent(again, audit.RotationStarted)); err == nil && !a.between {
		a.t.Error("another of the Secret begins")
	}
	a.named("rotation", r.ID)
	a.turned(s, acme, "another")
	a.unharmed()
}

// rotationChanged alters a rotation that goes on.
func rotationChanged(set string) func(*siege) {
	return func(a *siege) {
		r := a.turned(a.turning(), acme, "crm")
		on, err := step(a.ctx, a.turning(), r, rotation.Trying)
		a.must(err)
		a.strike(fmt.Sprintf("UPDATE rotation SET %s WHERE id = '%s'", set, r.ID))
		a.rotationIsStill(on, r)
	}
}

// rotationPutBack puts the genuine row of an earlier step back.
func rotationPutBack(a *siege) {
	r := a.turned(a.turning(), acme, "crm")
	a.keep("rotation", "id = '"+r.ID+"'")
	on, err := step(a.ctx, a.turning(), r, rotation.Switching)
	a.must(err)
	a.strike("DELETE FROM rotation WHERE id = '"+r.ID+"'", "INSERT INTO rotation SELECT * FROM kept")
	a.rotationIsStill(on, r)
}

// endedRotationPutBack takes the steps of one that has ended once more.
func endedRotationPutBack(a *siege) {
	r := a.turned(a.turning(), acme, "crm")
	a.keep("rotation", "id = '"+r.ID+"'")
	_, err := step(a.ctx, a.turning(), r, rotation.Done)
	a.must(err)
	a.strike("DELETE FROM rotation WHERE id = '"+r.ID+"'", "INSERT INTO rotation SELECT * FROM kept")
	s := a.turning()
	if _, err := step(a.ctx, s, r, rotation.Deleting); err == nil {
		a.t.Error("it goes on")
	}
	if got, err := s.Rotation(a.ctx, acme, r.ID); !fault.Is(err, fault.Denied) {
		a.t.Errorf("it is read as %s: %v", got.State, err)
	}
	a.named("rotation", r.ID)
	a.unharmed()
}

func rotationRemoved(a *siege) {
	r := a.turned(a.turning(), acme, "crm")
	a.strike("DELETE FROM rotation WHERE id = '" + r.ID + "'")
	a.rotationIsStill(r, r)
}

// policyOfRotation attacks a policy: nobody rotates by it.
func policyOfRotation(attack func(a *siege, p rotation.Policy)) func(*siege) {
	return func(a *siege) {
		p := turnPolicy(acme, "crm", a.Now)
		a.must(a.turning().SetRotationPolicy(a.ctx, p, policyEvent(p)))
		attack(a, p)
		s := a.turning()
		if got, err := s.RotationPolicy(a.ctx, acme, "crm"); !fault.Is(err, fault.Denied) {
			a.t.Errorf("it is read as %+v: %v", got, err)
		}
		if l, err := s.RotationPolicies(a.ctx, acme); len(l) != 0 || err != nil {
			a.t.Errorf("it is listed: %+v, %v", l, err)
		}
		a.named("rotation_policy", "crm")
		a.unharmed()
	}
}

func policyChanged(a *siege, _ rotation.Policy) {
	a.strike(`UPDATE rotation_policy SET body = replace(body, 'ldap', 'evil') WHERE secret = 'crm'`)
}

func policyPutBack(a *siege, p rotation.Policy) {
	a.keep("rotation_policy", "secret = 'crm'")
	p.Rev, p.Spec.Every = 2, 0
	a.must(a.turning().SetRotationPolicy(a.ctx, p, policyEvent(p)))
	a.strike("DELETE FROM rotation_policy WHERE secret = 'crm'", "INSERT INTO rotation_policy SELECT * FROM kept")
}

func removedPolicyPutBack(a *siege, p rotation.Policy) {
	a.keep("rotation_policy", "secret = 'crm'")
	a.must(a.turning().RemoveRotationPolicy(a.ctx, p, policyEvent(p)))
	a.strike("INSERT INTO rotation_policy SELECT * FROM kept")
}

func policyOfAnother(a *siege, _ rotation.Policy) {
	p := turnPolicy(acme, "erp", a.Now)
	p.Spec.Rotator.Exec.Program = "erp-keys"
	a.must(a.turning().SetRotationPolicy(a.ctx, p, policyEvent(p)))
	a.strike(`UPDATE rotation_policy SET (body, mac) = (SELECT body, mac FROM rotation_policy WHERE secret = 'erp') WHERE secret = 'crm'`)
	_, err := a.turning().RotationPolicy(a.ctx, acme, "erp")
	a.must(err)
	a.must(a.turning().RemoveRotationPolicy(a.ctx, p, policyEvent(p)))
}
