package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strings"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// quarantinePrefix begins the names of values that nobody stored.
const quarantinePrefix = "quarantined-"

// Bounds of a tenant's quarantine. Systems fill it, so it has an end.
const (
	maxQuarantined = 500
	maxFromOne     = 20      // by one Run, or one person
	maxPassed      = 10_000  // with those that were promoted, dismissed or removed
	maxQuarantine  = 8 << 10 // bytes of one value
)

// quarantineField is the field that a quarantined value is kept in.
const quarantineField = "token"

// quarantinePrint is the keyed hash that names a quarantined value.
const quarantinePrint = "quarantine print"

// Quarantined is what is known of a value that nobody stored: a rule took it for
// a secret in what a system answered, or in what a person typed.
type Quarantined struct {
	Rule   string `json:"rule"`
	Family string `json:"family,omitempty"`
	Run    string `json:"run,omitempty"` // in which it was met; empty: a person handed it in
	// Sure says that the value alone has a form that nothing else has. One that is
	// not sure is kept and not scrubbed for: a system could blank out any word by
	// calling it a password.
	Sure bool `json:"sure,omitempty"`
	// Dismissed says that a person called it no secret: the value is destroyed,
	// and passes when it is met again.
	Dismissed bool `json:"dismissed,omitempty"`
}

// Found is a value for the quarantine. Its bytes are wiped.
type Found struct {
	Tenant ident.Tenant
	Value  []byte
	Note   string // for people: where it was met
	What   Quarantined
	Actor  ident.Principal
}

// Quarantine keeps a value that nobody stored, encrypted like every other and
// used by nobody, until a person promotes or dismisses it. It gives the name
// under which it is kept, which is the same for the same value. Invalid: it can't
// be protected. Limit: too many are kept. Conflict: it was dismissed.
func (v *Vault) Quarantine(ctx context.Context, f Found) (string, error) {
	defer clear(f.Value)
	if len(f.Value) > maxQuarantine {
		return "", fault.Newf(fault.Invalid, "the value is longer than %d bytes", maxQuarantine)
	}
	name, err := v.quarantineName(f.Tenant, f.Value)
	if err != nil {
		return "", err
	}
	w := Write{Tenant: f.Tenant, Name: name, Fields: map[string][]byte{quarantineField: bytes.Clone(f.Value)}, Description: f.Note, Scope: &Scope{}, AnyOrigin: true, Actor: f.Actor}
	defer w.wipe()
	if err := w.check(); err != nil {
		return "", err
	}
	_, err = v.commit(ctx, f.Tenant, name, f.Actor, true, func(c *change) error {
		h := &c.e.head
		switch q := h.Quarantined; {
		case q != nil && q.Dismissed:
			return fault.New(fault.Conflict, "the value was dismissed: it is no secret")
		case q != nil && !h.Removed && h.Versions[len(h.Versions)-1].State != Destroyed:
			return errKept
		}
		if err := c.ten.roomInQuarantine(f); err != nil {
			return err
		}
		h.Quarantined, h.Removed = &f.What, false
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		c.set(n, Disabled)
		c.event = audit.SecretQuarantined
		maps.Copy(c.fields, map[string]any{"secretVersion": n, "kind": f.What.Rule})
		return nil
	})
	if errors.Is(err, errKept) {
		err = nil
	}
	return name, err
}

// knownInQuarantine is what to scrub for of a quarantined value: the whole of a
// sure one, and no part of it. A system chose it, and would blank out an account's
// number by writing it as a line of a key.
func (v *Vault) knownInQuarantine(ten *tenant, e *entry, n int) ([]scrub.Secret, error) {
	if !e.head.Quarantined.Sure {
		return nil, nil
	}
	packed, fields, err := v.decrypt(ten, e, n)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(packed)
	value := plain.Bytes(fields[quarantineField])
	if shape, _ := parts(value); shape != "" && shape != shapeToken {
		return nil, nil // a block of text, which can hold anything
	}
	return []scrub.Secret{{Name: e.head.Name, Value: bytes.Clone(value)}}, nil
}

// errKept ends a change that would store what is stored.
var errKept = errors.New("kept already")

// roomInQuarantine refuses what a tenant, a Run or a person has too much of.
func (t *tenant) roomInQuarantine(f Found) error {
	kept, theirs, passed := 0, 0, 0
	for _, e := range t.secrets {
		if e.head.Quarantined == nil {
			continue
		}
		if passed++; e.head.Removed {
			continue
		}
		by := e.head.Versions[len(e.head.Versions)-1].CreatedBy
		if kept++; by == f.Actor.String() && e.head.Quarantined.Run == f.What.Run {
			theirs++
		}
	}
	if kept >= maxQuarantined || passed >= maxPassed || theirs >= maxFromOne {
		return fault.Newf(fault.Limit, "the quarantine is full: it has %d values", kept).
			WithHint("work through the open incidents; what is met meanwhile is taken out all the same")
	}
	return nil
}

// quarantineName is the name for a value: a keyed hash, so that the same value has
// the same name and the name says nothing of the value.
func (v *Vault) quarantineName(t ident.Tenant, value []byte) (name string, err error) {
	err = v.subkey(quarantinePrint, t, func(key []byte) {
		m := hmac.New(sha256.New, key)
		m.Write(value)
		name = quarantinePrefix + hex.EncodeToString(m.Sum(nil)[:10])
	})
	return name, err
}

// Dismissed reports whether a person called the value no secret.
func (v *Vault) Dismissed(t ident.Tenant, value []byte) bool {
	s := v.state.Load()
	if s == nil {
		return false
	}
	name, err := v.quarantineName(t, value)
	if err != nil {
		return false
	}
	_, e, err := s.entry(t, name)
	return err == nil && e.head.Quarantined != nil && e.head.Quarantined.Dismissed
}

// Promote makes a quarantined value the field of a Secret: version 1 and active
// under a new name, the next version and pending under one that exists, as with
// [Vault.Set]. w has no fields. What was in quarantine is destroyed.
func (v *Vault) Promote(ctx context.Context, from, field string, w Write) (Secret, error) {
	defer func() { w.wipe() }()
	switch {
	case len(w.Fields) > 0 || len(w.Sealed) > 0 || w.Pointer != nil:
		return Secret{}, fault.New(fault.Invalid, "a value from quarantine is promoted without another one")
	case strings.HasPrefix(w.Name, quarantinePrefix):
		return Secret{}, errReserved()
	case public(field):
		return Secret{}, fault.New(fault.Invalid, "what is in quarantine is a secret, and a user name is none")
	}
	if err := checkCaller(w.Tenant, w.Actor); err != nil {
		return Secret{}, err
	}
	value, err := v.lookInto(w.Tenant, from)
	if err != nil {
		return Secret{}, err
	}
	w.Fields = map[string][]byte{field: value}
	if err := w.check(); err != nil {
		return Secret{}, err
	}
	if err := w.checkShown(v.Scrub(w.Tenant)); err != nil {
		return Secret{}, err
	}
	trace, err := v.traced(ctx, &w)
	if err != nil {
		return Secret{}, err
	}
	return v.commit(ctx, w.Tenant, w.Name, w.Actor, true, func(c *change) error {
		q, err := c.quarantined(from) // still: another may have been faster
		if err != nil {
			return err
		}
		n, err := v.addVersion(c, &w)
		if err != nil {
			return err
		}
		c.activateFirst(n)
		c.release(q)
		c.event = audit.SecretSet
		c.fields["from"] = from
		maps.Copy(c.fields, trace.fields(&w))
		return c.describeVersion(n)
	})
}

// lookInto gives a copy of a quarantined value, for this package alone.
func (v *Vault) lookInto(t ident.Tenant, name string) ([]byte, error) {
	v.replacing.RLock()
	defer v.replacing.RUnlock()
	s, err := v.open()
	if err != nil {
		return nil, err
	}
	ten, e, err := s.entry(t, name)
	if err != nil || e.head.Quarantined == nil || e.head.Removed {
		return nil, notQuarantined(name)
	}
	packed, fields, err := v.decrypt(ten, e, len(e.head.Versions))
	if err != nil {
		return nil, err
	}
	defer plain.Wipe(packed)
	return bytes.Clone(plain.Bytes(fields[quarantineField])), nil
}

// Dismiss says that a quarantined value is no secret: it is destroyed, and passes
// when it is met again.
func (v *Vault) Dismiss(ctx context.Context, t ident.Tenant, name string, actor ident.Principal) (Secret, error) {
	return v.commit(ctx, t, name, actor, false, func(c *change) error {
		q, err := c.quarantined(name)
		if err != nil {
			return err
		}
		what := *q.head.Quarantined
		what.Dismissed = true
		q.head.Quarantined = &what
		c.release(q)
		c.event = audit.SecretDismissed
		c.fields["kind"] = what.Rule
		return nil
	})
}

// quarantined takes up an entry of the quarantine. NotFound.
func (c *change) quarantined(name string) (*entry, error) {
	e := c.ten.secrets[name]
	if e == nil || e.bad != nil || e.head.Quarantined == nil || e.head.Removed {
		return nil, notQuarantined(name)
	}
	if e != c.e {
		e = e.clone()
		c.ten.secrets[name], c.touched = e, append(c.touched, e)
	}
	return e, nil
}

// release destroys what an entry of the quarantine holds.
func (c *change) release(q *entry) {
	for i, ver := range q.head.Versions {
		if ver.State != Destroyed {
			c.shred = append(c.shred, VersionID{q.head.Name, ver.Version})
			q.head.Versions[i].State = Destroyed
			delete(q.keys, ver.Version)
		}
	}
	q.head.Removed = true
}

func notQuarantined(name string) error {
	return fault.Newf(fault.NotFound, "there is no %s in quarantine", fault.Quote(name)).WithHint("what was promoted or dismissed is no longer there")
}

func errReserved() error {
	return fault.Newf(fault.Invalid, "names that begin with %q are the quarantine's", quarantinePrefix)
}
