package vault

import (
	"bytes"
	"context"
	"maps"
	"net"
	"net/http"
	"slices"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rotator"
)

// The steps of a rotation that touch plaintext or a version's state. Which of them
// is next, and that each is on the record before it is made, is package rotation's
// business; here each can be made again after a crash, or says that it can't.

// RotationJob is one rotation, as each of its steps needs it.
type RotationJob struct {
	Tenant  ident.Tenant
	Secret  string
	ID      string // the rotation's, "rot_…"
	Was     int    // the version that was active when it began
	Rotator resource.Rotator
	Ways    Ways
	Actor   ident.Principal
}

// Ways are how systems are reached, by the network rules of the rotator.
type Ways struct {
	Base http.RoundTripper // without a credential; it follows no redirect
	// Dial connects to "host:port"; plain says that no TLS follows.
	Dial func(ctx context.Context, address string, plain bool) (net.Conn, error)
	// Programs are those that the server's operator gave names.
	Programs map[string]RotationProgram
}

// RotationProgram is a program that rotates, from the server's own file.
type RotationProgram struct {
	Path string            `json:"path"` // absolute
	Args []string          `json:"args,omitempty"`
	Env  map[string]string `json:"env,omitempty"` // all of it
}

// made finds the version that a rotation has made; 0: none.
func (s *Secret) made(rotation string) int {
	for _, ver := range s.Versions {
		if ver.Rotation == rotation && ver.State != Destroyed {
			return ver.Version
		}
	}
	return 0
}

// InStore refuses a Secret whose active version's value is in a backend: what a
// rotation made would end the pointer, and the backend would keep the old value.
// Kind Conflict.
func (s Secret) InStore() error {
	ver, _ := s.version(s.Active)
	return ver.inStore(s.Name)
}

func (ver Version) inStore(name string) error {
	if ver.Pointer == nil {
		return nil
	}
	return fault.Newf(fault.Conflict, "the value of the secret %s is in the backend %s, not in the store", name, ver.Pointer.Backend).
		WithHint("have the backend rotate it, whose new value is used by itself, or first: sallyport secret move %s --to store; what a backend makes for each Run has no value to rotate or to move", name)
}

// MakeVersion makes the next version, pending. Where we choose the value, it is
// stored and the system knows nothing of it yet; where the system chooses, it is
// asked. A version that the rotation has made before is that one. Errors: those of
// rotator.Rotator; Unknown and Invalid mean that the system may have a credential
// that nobody knows of.
func (v *Vault) MakeVersion(ctx context.Context, j RotationJob) (int, error) {
	head, err := v.Show(ctx, j.Tenant, j.Secret)
	if err != nil {
		return 0, err
	}
	if n := head.made(j.ID); n != 0 {
		return n, nil
	}
	was, ok := head.version(j.Was)
	if !ok || head.Active != j.Was {
		return 0, fault.New(fault.Conflict, "another version is active than when the rotation began")
	}
	l, err := v.lend(j, j.Was)
	if err != nil {
		return 0, err
	}
	defer l.wipe()
	w := Write{Tenant: j.Tenant, Name: j.Secret, Actor: j.Actor, AnyOrigin: true}
	scope := was.Scope
	if !scope.NotAfter.IsZero() { // never longer than the one before was to live
		scope.NotAfter = expiry(v.cfg.Now().Add(was.Scope.NotAfter.Sub(was.CreatedAt)))
	}
	w.Scope = &scope
	if !j.Rotator.Chooses() {
		if w.Fields, err = rotator.Next(j.Rotator, l.job.Before); err != nil {
			return 0, err
		}
		return v.keepMade(ctx, j, w, "")
	}
	return v.askForOne(ctx, j, w, l)
}

// askForOne has the system make a credential, and keeps it.
func (v *Vault) askForOne(ctx context.Context, j RotationJob, w Write, l *loan) (int, error) {
	m, err := l.by.Create(ctx, l.job)
	defer wipeAll(m.Fields)
	w.Fields = map[string][]byte{}
	for name, value := range m.Fields {
		w.Fields[name] = slices.Clone(plain.Bytes(value))
	}
	defer w.wipe()
	if err == nil {
		err = v.acceptable(j, m.Fields, l.job.Before)
	}
	var n int
	if err == nil {
		if n, err = v.keepMade(ctx, j, w, m.ID); err != nil && !fault.Is(err, fault.Invalid) {
			err = fault.Wrap(fault.Unknown, "what the system made could not be stored", err)
		}
	}
	if err == nil || m.ID == "" || !j.Rotator.Deletes() || !fault.Is(err, fault.Invalid) {
		return n, err
	}
	// It can't be used, and its id is known: it is taken away at once. But an answer
	// may name a credential that was there before, and which calls are made with.
	if head, gone := v.Show(ctx, j.Tenant, j.Secret); gone != nil || head.names(m.ID, j.Rotator) {
		return 0, fault.Newf(fault.Invalid, "%s; it has the id of a credential that was there before, so nothing was deleted", err.Error())
	}
	l.job.ID = m.ID
	if gone := l.by.Delete(ctx, l.job); gone != nil {
		return 0, err
	}
	return 0, fault.Newf(fault.Denied, "%s; what the system made was deleted again", err.Error())
}

// acceptable refuses a value of a system's that is no new one: somebody else's, or
// the old one again. Kind Invalid.
func (v *Vault) acceptable(j RotationJob, made, before rotator.Fields) error {
	fresh := false
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	s, err := v.open()
	if err != nil {
		return fault.Wrap(fault.Unknown, "comparing what the system made", err)
	}
	// Not the scrub set: that also finds values that have a long part in common, as
	// tokens of one issuer do.
	known, wipe, err := v.known(j.Tenant, s.tenants[j.Tenant])
	if err != nil {
		return fault.Wrap(fault.Unknown, "comparing what the system made", err)
	}
	defer wipe()
	for name, value := range made {
		b := plain.Bytes(value)
		if public(name) || bytes.Equal(b, plain.Bytes(before[name])) {
			continue
		}
		fresh = true
		for _, k := range known {
			if bytes.Equal(b, k.Value) || k.Name != j.Secret && bytes.Contains(b, k.Value) {
				return fault.Newf(fault.Invalid, "the system gave a value that is known already, of the secret %s", k.Name)
			}
		}
	}
	if !fresh {
		return fault.New(fault.Invalid, "the system gave the value that it had given before")
	}
	return nil
}

// keepMade stores what a rotation has made, pending.
func (v *Vault) keepMade(ctx context.Context, j RotationJob, w Write, id string) (int, error) {
	made := 0
	_, err := v.write(ctx, w, false, func(c *change, n int) {
		h := &c.e.head
		h.Versions[n-1].Rotation, h.Versions[n-1].Ref = j.ID, id
		c.event, made = audit.SecretSet, n
		c.fields["rotation"] = j.ID
	})
	return made, err
}

// ApplyVersion tells the system the value of a version that we chose. It can be
// repeated.
func (v *Vault) ApplyVersion(ctx context.Context, j RotationJob, n int) error {
	l, err := v.lend(j, n)
	if err != nil {
		return err
	}
	defer l.wipe()
	return l.by.Apply(ctx, l.job)
}

// TryVersion signs in with a version at its system. Denied: the system refuses it.
func (v *Vault) TryVersion(ctx context.Context, j RotationJob, n int) error {
	l, err := v.lend(j, n)
	if err != nil {
		return err
	}
	defer l.wipe()
	l.job.Said = func(words []string) { v.heard(j.Tenant, j.Secret, Said{Version: n, By: SaidRole, Words: words}) }
	return l.by.Try(ctx, l.job)
}

// DeleteVersion takes the credential of a version away at its system. It refuses
// the active one's, also under another version's number.
func (v *Vault) DeleteVersion(ctx context.Context, j RotationJob, n int) error {
	head, err := v.Show(ctx, j.Tenant, j.Secret)
	if err != nil {
		return err
	}
	if head.Active == n || head.Active == 0 {
		return fault.Newf(fault.Conflict, "version %d is the active one, or none is: nothing is deleted at the system", n)
	}
	l, err := v.lend(j, n)
	if err != nil {
		return err
	}
	defer l.wipe()
	active, err := v.lend(j, head.Active)
	if err != nil {
		return err
	}
	defer active.wipe()
	if l.job.ID != "" && l.job.ID == active.job.ID || j.Rotator.SQL != nil && slices.Equal(plain.Bytes(l.job.Version[userField]), plain.Bytes(active.job.Version[userField])) {
		return fault.New(fault.Conflict, "the system knows the active version by the same name: nothing is deleted there")
	}
	return l.by.Delete(ctx, l.job)
}

// names says whether an id is that of a version, by what the system called it or by
// what the policy says of the one that was stored by hand.
func (s *Secret) names(id string, r resource.Rotator) bool {
	return id == currentID(r) || slices.ContainsFunc(s.Versions, func(ver Version) bool { return ver.Ref == id })
}

func currentID(r resource.Rotator) string {
	if r.HTTP == nil {
		return ""
	}
	return r.HTTP.CurrentID
}

// ClearMade deletes at the system what a rotation has made there and no version
// has. It gives how many there were.
func (v *Vault) ClearMade(ctx context.Context, j RotationJob) (int, error) {
	head, err := v.Show(ctx, j.Tenant, j.Secret)
	if err != nil {
		return 0, err
	}
	l, err := v.lend(j, j.Was)
	if err != nil {
		return 0, err
	}
	defer l.wipe()
	ids, err := l.by.Find(ctx, l.job)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, id := range ids {
		if id == currentID(j.Rotator) {
			return n, fault.New(fault.Invalid, "the system lists the credential that was stored by hand as one that the rotation has made")
		}
		if head.names(id, j.Rotator) {
			continue
		}
		l.job.ID = id
		if err := l.by.Delete(ctx, l.job); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// SwitchVersion makes a rotation's version the active one, in place of the one that
// was when it began. Conflict: another one is, by somebody's hand.
func (v *Vault) SwitchVersion(ctx context.Context, j RotationJob, n int) error {
	return v.move(ctx, j, audit.SecretRotated, func(c *change) error {
		switch h := &c.e.head; {
		case h.Active == n:
			return errKept
		case h.Active != j.Was:
			return fault.New(fault.Conflict, "another version is active than when the rotation began")
		}
		if err := c.usable(n, Pending); err != nil {
			return err
		}
		c.set(n, Active)
		maps.Copy(c.fields, map[string]any{"secretVersion": n, "state": string(Active)})
		return nil
	})
}

// ReturnVersion makes the version before the active one again, and disables the
// rotation's, in one change.
func (v *Vault) ReturnVersion(ctx context.Context, j RotationJob, n int, why string) error {
	return v.move(ctx, j, audit.SecretRotated, func(c *change) error {
		switch h := &c.e.head; {
		case h.Active == j.Was && h.Versions[n-1].State == Disabled:
			return errKept
		case h.Active != n:
			return fault.New(fault.Conflict, "the version to roll back from is not the active one any more")
		}
		if err := c.usable(j.Was, Previous); err != nil {
			return err
		}
		c.set(j.Was, Active)
		c.set(n, Disabled)
		maps.Copy(c.fields, map[string]any{"secretVersion": j.Was, "state": string(Active), "why": why})
		return nil
	})
}

// EndVersion disables a version that is not the active one.
func (v *Vault) EndVersion(ctx context.Context, j RotationJob, n int) error {
	return v.move(ctx, j, audit.SecretDisabled, func(c *change) error {
		ver, ok := c.e.head.version(n)
		switch {
		case !ok || ver.State == Disabled || ver.State == Destroyed:
			return errKept
		case ver.State == Active:
			return fault.Newf(fault.Conflict, "version %d is the active one", n)
		}
		c.set(n, Disabled)
		maps.Copy(c.fields, map[string]any{"secretVersion": n, "state": string(Disabled)})
		return nil
	})
}

// move is one change of states; errKept: it was made before.
func (v *Vault) move(ctx context.Context, j RotationJob, event audit.Type, f func(*change) error) error {
	_, err := v.commit(ctx, j.Tenant, j.Secret, j.Actor, false, func(c *change) error {
		if err := c.e.notQuarantined(); err != nil {
			return err
		}
		if c.e.head.Removed {
			if event == audit.SecretDisabled {
				return errKept // all its versions are destroyed
			}
			return fault.Newf(fault.Conflict, "the secret %s was removed", j.Secret)
		}
		c.event, c.fields["rotation"] = event, j.ID
		return f(c)
	})
	if err == errKept { //nolint:errorlint // it is ours, and never wrapped
		return nil
	}
	return err
}

// usable refuses a version that is not in the state, or has expired.
func (c *change) usable(n int, want State) error {
	ver, ok := c.e.head.version(n)
	if !ok || ver.State != want {
		return fault.Newf(fault.Conflict, "version %d of the secret %s is not %s any more", n, c.e.head.Name, want)
	}
	return c.ready(n)
}

// ways gives the rotators theirs.
func (w Ways) program(name string) (rotator.Program, bool) {
	p, ok := w.Programs[name]
	if !ok {
		return rotator.Program{}, false
	}
	env := []string{}
	for _, k := range slices.Sorted(maps.Keys(p.Env)) {
		env = append(env, k+"="+p.Env[k])
	}
	return rotator.Program{Path: p.Path, Args: p.Args, Env: env}, true
}
