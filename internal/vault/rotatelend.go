package vault

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rotator"
)

// loan is what a rotator gets for one step. Who has it wipes it.
type loan struct {
	by     rotator.Rotator
	job    rotator.Job
	packed []plain.Value
}

func (l *loan) wipe() {
	for _, p := range l.packed {
		plain.Wipe(p)
	}
}

func wipeAll(f rotator.Fields) {
	for _, v := range f {
		plain.Wipe(v)
	}
}

// lend decrypts what a step about version n needs: it, the version that is
// replaced, and what gives the order. Denied: a version is not to be used, or may
// not go where the rotator would send it.
func (v *Vault) lend(j RotationJob, n int) (*loan, error) {
	by, err := rotator.For(j.Rotator.Kind)
	if err != nil {
		return nil, err
	}
	origin, err := j.Rotator.Origin()
	if err != nil {
		return nil, err
	}
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	s, err := v.open()
	if err != nil {
		return nil, err
	}
	ten, e, err := s.entry(j.Tenant, j.Secret)
	if err != nil {
		return nil, err
	}
	l := &loan{by: sturdy{by, v.cfg.Log}, job: rotator.Job{Rotator: j.Rotator, Rotation: j.ID, Base: j.Ways.Base, Dial: j.Ways.Dial, Program: j.Ways.program}}
	take := func(e *entry, n int, orders bool) (rotator.Fields, error) {
		ver, ok := e.head.version(n)
		if !ok || ver.State == Destroyed {
			return nil, fault.Newf(fault.Denied, "version %d of the secret %s is not there any more", n, e.head.Name)
		}
		if err := ver.inStore(e.head.Name); err != nil {
			return nil, fault.Wrap(fault.Denied, "a rotation", err)
		}
		if err := ver.Scope.permitsRotation(j.Rotator, origin, v.cfg.Now(), orders); err != nil {
			return nil, fault.Wrap(fault.Denied, "the secret "+e.head.Name, err)
		}
		packed, fields, err := v.decrypt(ten, e, n)
		l.packed = append(l.packed, packed)
		return fields, err
	}
	if l.job.Version, err = take(e, n, false); err == nil {
		l.job.Before, err = take(e, j.Was, false)
	}
	if err == nil {
		admin, n := e, e.head.Active // the active version gives the order for its own Secret
		if j.Rotator.Admin != "" {
			if _, admin, err = s.entry(j.Tenant, j.Rotator.Admin); err == nil {
				n = admin.head.Active
			}
		}
		if err == nil {
			l.job.Admin, err = take(admin, n, true)
		}
	}
	if err != nil {
		l.wipe()
		return nil, err
	}
	ver, _ := e.head.version(n)
	if l.job.ID = ver.Ref; ver.Rotation == "" && j.Rotator.HTTP != nil {
		l.job.ID = j.Rotator.HTTP.CurrentID
	}
	return l, nil
}

// permitsRotation says why a version may not go where its rotator would send it,
// or nil. It has to name that place, and every request that it is sent with; orders
// says that it is what gives the order, be it for its own replacement. Integrations
// and Missions are Workers' and narrow nothing here: no Worker has a part in a
// rotation.
func (s Scope) permitsRotation(r resource.Rotator, to resource.Origin, now time.Time, orders bool) error {
	if orders && s.Expired(now) {
		return fault.New(fault.Denied, "its version has expired").WithHint("rotate it")
	}
	if len(s.Origins) == 0 {
		return fault.Newf(fault.Denied, "its usage scope names no origin, and a rotation sends it to %s", to).
			WithHint("store a version with --origin %s", to)
	}
	if !slices.Contains(s.Origins, to.String()) {
		return fault.Newf(fault.Denied, "its usage scope does not include %s", to).
			WithHint("a scope is part of a version: store a new version with another scope")
	}
	scheme, methods := resource.SchemeLogin, []string(nil)
	switch r.Kind {
	case resource.RotatorExec, resource.RotatorRefresh:
		return nil // no place in a request of ours
	case resource.RotatorHTTP:
		scheme, methods = r.HTTP.Sends(orders)
	case resource.RotatorPostgres, resource.RotatorMySQL:
	}
	if len(s.Schemes) > 0 && !slices.Contains(s.Schemes, scheme) {
		return fault.Newf(fault.Denied, "its usage scope does not include the place in the request %s", scheme)
	}
	for _, m := range methods {
		if len(s.Methods) > 0 && !slices.Contains(s.Methods, m) {
			return fault.Newf(fault.Denied, "its usage scope does not include the method %s", m)
		}
	}
	return nil
}

// sturdy is a rotator whose fault ends one step, and not the round of all: libraries
// read what a hostile system says. What it had done by then is not known.
type sturdy struct {
	by  rotator.Rotator
	log crash.Logger
}

func (s sturdy) guard(ctx context.Context, f func() error) error {
	err := crash.Try(ctx, s.log, f)
	if p, ok := errors.AsType[*crash.Panic](err); ok {
		return fault.Wrap(fault.Unknown, "a rotator", p)
	}
	return err
}

func (s sturdy) Create(ctx context.Context, j rotator.Job) (m rotator.Made, err error) {
	err = s.guard(ctx, func() (err error) { m, err = s.by.Create(ctx, j); return err })
	return m, err
}

func (s sturdy) Apply(ctx context.Context, j rotator.Job) error {
	return s.guard(ctx, func() error { return s.by.Apply(ctx, j) })
}

func (s sturdy) Try(ctx context.Context, j rotator.Job) error {
	return s.guard(ctx, func() error { return s.by.Try(ctx, j) })
}

func (s sturdy) Delete(ctx context.Context, j rotator.Job) error {
	return s.guard(ctx, func() error { return s.by.Delete(ctx, j) })
}

func (s sturdy) Find(ctx context.Context, j rotator.Job) (ids []string, err error) {
	err = s.guard(ctx, func() (err error) { ids, err = s.by.Find(ctx, j); return err })
	return ids, err
}
