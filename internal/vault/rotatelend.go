package vault

import (
	"slices"
	"time"

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
	l := &loan{by: by, job: rotator.Job{Rotator: j.Rotator, Rotation: j.ID, Base: j.Ways.Base, Dial: j.Ways.Dial, Program: j.Ways.program}}
	take := func(e *entry, n int, admin bool) (rotator.Fields, error) {
		ver, ok := e.head.version(n)
		if !ok || ver.State == Destroyed {
			return nil, fault.Newf(fault.Denied, "version %d of the secret %s is not there any more", n, e.head.Name)
		}
		if err := ver.inStore(e.head.Name); err != nil {
			return nil, fault.Wrap(fault.Denied, "a rotation", err)
		}
		if err := ver.Scope.permitsRotation(j.Rotator, origin, v.cfg.Now(), admin); err != nil {
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
			l.job.Admin, err = take(admin, n, j.Rotator.Admin != "")
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
// or nil. Integrations and Missions are Workers' and narrow nothing here: no Worker
// has a part in a rotation. What gives orders has to name the one place where it
// may give them.
func (s Scope) permitsRotation(r resource.Rotator, to resource.Origin, now time.Time, admin bool) error {
	if admin && s.Expired(now) {
		return fault.New(fault.Denied, "its version has expired").WithHint("rotate it")
	}
	if r.Kind == resource.RotatorExec {
		return nil // a program has no origin: the operator says what it does
	}
	if admin && len(s.Origins) == 0 {
		return fault.Newf(fault.Denied, "it gives orders to a system, and its usage scope names none").
			WithHint("store a version with --origin %s", to)
	}
	if len(s.Origins) > 0 && !slices.Contains(s.Origins, to.String()) {
		return fault.Newf(fault.Denied, "its usage scope does not include %s", to).
			WithHint("a scope is part of a version: store a new version with another scope")
	}
	scheme, methods := resource.SchemeLogin, []string(nil)
	switch {
	case r.HTTP == nil:
		if r.Kind == resource.RotatorRefresh {
			return nil
		}
	case admin:
		scheme = r.HTTP.Auth.Scheme
		methods = append(methods, r.HTTP.Create.Method)
	default:
		scheme, methods = r.HTTP.TryAuth.Scheme, []string{r.HTTP.Try.Method}
	}
	if len(s.Schemes) > 0 && !slices.Contains(s.Schemes, scheme) {
		return fault.New(fault.Denied, "its usage scope does not include this place in the request")
	}
	for _, m := range methods {
		if len(s.Methods) > 0 && !slices.Contains(s.Methods, m) {
			return fault.Newf(fault.Denied, "its usage scope does not include the method %s", m)
		}
	}
	return nil
}
