package sqlite

import (
	"context"
	"encoding/json"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/rotation"
)

var (
	_ rotation.Policies  = (*Store)(nil)
	_ rotation.Rotations = (*Store)(nil)
)

func policyOf(x *row) (p rotation.Policy, err error) {
	p = rotation.Policy{Tenant: x.tenant(), Secret: x.text("secret"), By: x.text("by"), At: x.instant("at"), Rev: x.number("revision")}
	if json.Unmarshal([]byte(x.text("body")), &p.Spec) != nil {
		err = fault.New(fault.Denied, "a stored rotation policy can't be read")
	}
	return p, err
}

// RotationPolicy gives a Secret's; kind NotFound.
func (s *Store) RotationPolicy(ctx context.Context, t ident.Tenant, secret string) (p rotation.Policy, err error) {
	err = s.read(ctx, func(r *reader) error {
		x, err := r.byKey(tbRotationPolicy, t, secret)
		if err != nil {
			return err
		}
		p, err = policyOf(x)
		return err
	})
	return p, err
}

// RotationPolicies lists a tenant's. One that is refused is left out: its Secret is
// rotated by nobody.
func (s *Store) RotationPolicies(ctx context.Context, t ident.Tenant) (out []rotation.Policy, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		return r.known(tbRotationPolicy, t, func(x *row) error {
			p, err := policyOf(x)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// known reads every live row of a table, and leaves out what is refused.
func (r *reader) known(tb *table, t ident.Tenant, f func(*row) error) error {
	if r.t != nil {
		if _, err := r.t.rows.of(t); err != nil {
			return err
		}
	}
	for _, id := range r.ids(tb, t, "") {
		x, err := r.byKey(tb, id.parts()...)
		if err == nil {
			err = f(x)
		} else {
			err = r.leaveOut(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetRotationPolicy stores one in place of the revision before.
func (s *Store) SetRotationPolicy(ctx context.Context, p rotation.Policy, ev audit.Event) error {
	body, err := json.Marshal(p.Spec)
	if err != nil {
		return fault.New(fault.Internal, "encoding a rotation policy")
	}
	c := cols{"tenant": p.Tenant, "secret": p.Secret, "body": string(body), "by": p.By, "at": p.At, "revision": p.Rev}
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRotationPolicy, p.Tenant, p.Secret)
		switch {
		case fault.Is(err, fault.NotFound) && p.Rev == 1:
			x, err = t.insert(tbRotationPolicy, c)
		case err == nil && x.number("revision") == p.Rev-1:
			err = t.put(x, c)
		case err == nil || fault.Is(err, fault.NotFound):
			err = fault.New(fault.Conflict, "the rotation policy was changed meanwhile")
		}
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// RemoveRotationPolicy takes it away; kind NotFound.
func (s *Store) RemoveRotationPolicy(ctx context.Context, p rotation.Policy, ev audit.Event) error {
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRotationPolicy, p.Tenant, p.Secret)
		if err != nil {
			return err
		}
		if err := t.remove(x); err != nil {
			return err
		}
		return t.Audit(ev)
	})
}

func rotationOf(x *row) (r rotation.Rotation, err error) {
	if json.Unmarshal([]byte(x.text("body")), &r) != nil || r.ID != x.text("id") || r.Secret != x.text("secret") || string(r.State) != x.text("state") {
		err = fault.New(fault.Denied, "a stored rotation can't be read")
	}
	r.Tenant, r.Rev = x.tenant(), x.number("revision")
	return r, err
}

func rotationCols(r rotation.Rotation) (cols, error) {
	body, err := json.Marshal(r) //nolint:gosec // G117: the Secret's name
	if err != nil {
		return nil, fault.New(fault.Internal, "encoding a rotation")
	}
	return cols{"tenant": r.Tenant, "id": r.ID, "secret": r.Secret, "state": r.State, "body": string(body), "revision": r.Rev}, nil
}

// Rotations lists those that go on, and of each Secret the last that ended. One
// that is refused is left out, and nothing of it goes on.
func (s *Store) Rotations(ctx context.Context, t ident.Tenant) (out []rotation.Rotation, err error) {
	err = s.read(ctx, func(r *reader) error {
		out = nil
		add := func(x *row) error {
			rot, err := rotationOf(x)
			out = append(out, rot)
			return err
		}
		if err := r.known(tbRotation, t, add); err != nil {
			return err
		}
		ended, err := r.good(tbRotation, "WHERE tenant = $1 AND NOT ("+rotationGoesOn+") ORDER BY id", t)
		for _, x := range ended {
			if err == nil {
				err = add(x)
			}
		}
		return err
	})
	return out, err
}

// Rotation gives one; kind NotFound.
func (s *Store) Rotation(ctx context.Context, t ident.Tenant, id string) (rot rotation.Rotation, err error) {
	err = s.read(ctx, func(r *reader) error {
		x, err := r.byKey(tbRotation, t, id)
		if err != nil {
			return err
		}
		rot, err = rotationOf(x)
		return err
	})
	return rot, err
}

// StartRotation stores a new one in place of the last that ended. Which go on is
// known, and not asked of the table: what is refused or gone keeps another from
// beginning, as it may have left something at the system.
func (s *Store) StartRotation(ctx context.Context, rot rotation.Rotation, ev audit.Event) error {
	c, err := rotationCols(rot)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *Tx) error {
		if _, err := t.rows.of(rot.Tenant); err != nil {
			return err
		}
		if len(t.reader().ids(tbRotation, rot.Tenant, rot.Secret)) > 0 {
			return fault.Newf(fault.Conflict, "a rotation of %s goes on", rot.Secret).WithHint("sallyport secret rotation list shows it")
		}
		if _, err := t.Exec("DELETE FROM rotation WHERE tenant = $1 AND secret = $2 AND NOT ("+rotationGoesOn+")", string(rot.Tenant), rot.Secret); err != nil {
			return storeErr("removing an ended rotation", err)
		}
		x, err := t.insert(tbRotation, c)
		if err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}

// StepRotation stores a step in place of the revision before.
func (s *Store) StepRotation(ctx context.Context, rot rotation.Rotation, ev audit.Event) error {
	c, err := rotationCols(rot)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *Tx) error {
		x, err := t.reader().byKey(tbRotation, rot.Tenant, rot.ID)
		if err != nil {
			return err
		}
		if x.number("revision") != rot.Rev-1 || x.text("secret") != rot.Secret || !x.alive() {
			return fault.New(fault.Conflict, "the rotation has gone on meanwhile")
		}
		if err := t.put(x, c); err != nil {
			return err
		}
		return t.auditRow(ev, x, nil)
	})
}
