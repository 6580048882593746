package vault

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault/internal/box"
	"sallyport.dev/internal/vault/internal/plain"
)

// defaultProject is the one project that a tenant has.
const defaultProject = "default"

// newKey makes a random key.
func newKey() plain.Value {
	k := make([]byte, box.KeySize)
	_, _ = rand.Read(k) // never fails
	return plain.New(k)
}

// Associated data. What is listed is what a ciphertext can't be moved away from.

func projectAAD(p ProjectRow) box.AAD {
	return box.Bind("project key", string(p.Tenant), p.Project, strconv.Itoa(p.Term), strconv.FormatInt(p.CreatedAt.UnixMilli(), 10))
}

func keyAAD(t ident.Tenant, s *Secret, v Version) (box.AAD, error) {
	scope, err := v.Scope.digest()
	if err != nil {
		return nil, err
	}
	pointer, err := v.Pointer.parts()
	if err != nil {
		return nil, err
	}
	parts := []string{string(t), s.Project, s.ID, strconv.Itoa(v.Version), s.Name, strconv.Itoa(v.Term), scope}
	return box.Bind("data key", append(parts, pointer...)...), nil
}

func valueAAD(t ident.Tenant, s *Secret, v Version) box.AAD {
	what := "value"
	if v.Pointer != nil {
		what = "pointer"
	}
	return box.Bind(what, string(t), s.Project, s.ID, strconv.Itoa(v.Version))
}

// newProject makes a tenant's project key of a term.
func (v *Vault) newProject(t ident.Tenant, term int, now time.Time) (p ProjectRow, err error) {
	p = ProjectRow{Tenant: t, Project: defaultProject, Term: term, CreatedAt: now}
	key := newKey()
	defer plain.Wipe(key)
	err = v.withRoot(func(root []byte) (err error) {
		p.Wrapped, err = box.Seal(root, projectAAD(p), key)
		return err
	})
	return p, err
}

// withRoot lends the root key.
func (v *Vault) withRoot(f func(root []byte) error) error {
	page := v.root.Load()
	if page == nil {
		return errSealed
	}
	err := errSealed
	plain.Use(page, func(k []byte) {
		plain.Do(func() { err = f(k) })
	})
	return err
}

// projectKey opens a project key.
func (v *Vault) projectKey(p ProjectRow) (key plain.Value, err error) {
	err = v.withRoot(func(root []byte) (err error) {
		key, err = box.Open(root, projectAAD(p), p.Wrapped)
		return err
	})
	return key, err
}

// encrypt makes a version's ciphertexts under a fresh data key.
func (v *Vault) encrypt(p ProjectRow, s *Secret, ver Version, fields map[string][]byte) (row VersionRow, err error) {
	project, err := v.projectKey(p)
	if err != nil {
		return row, err
	}
	defer plain.Wipe(project)
	aad, err := keyAAD(p.Tenant, s, ver)
	if err != nil {
		return row, err
	}
	row = VersionRow{Tenant: p.Tenant, Name: s.Name, Version: ver.Version}
	data, packed := newKey(), pack(fields)
	defer plain.Wipe(data)
	defer plain.Wipe(packed)
	plain.Do(func() {
		if row.Key, err = box.Seal(plain.Bytes(project), aad, data); err == nil {
			row.Value, err = box.Seal(plain.Bytes(data), valueAAD(p.Tenant, s, ver), packed)
		}
	})
	return row, err
}

// decrypt opens a version. The fields share memory with the first return value,
// which the caller wipes when it is done with all of them.
func (v *Vault) decrypt(ten *tenant, e *entry, n int) (plain.Value, map[string]plain.Value, error) {
	none := plain.Value{}
	ver, _ := e.head.version(n)
	row, ok := e.keys[n]
	p, known := ten.projects[ver.Term]
	if !ok || !known {
		return none, nil, fault.New(fault.Denied, "the version's keys are gone")
	}
	project, err := v.projectKey(p)
	if err != nil {
		return none, nil, err
	}
	defer plain.Wipe(project)
	aad, err := keyAAD(p.Tenant, &e.head, ver)
	if err != nil {
		return none, nil, err
	}
	var packed plain.Value
	plain.Do(func() {
		var data plain.Value
		if data, err = box.Open(plain.Bytes(project), aad, row.Key); err == nil {
			packed, err = box.Open(plain.Bytes(data), valueAAD(p.Tenant, &e.head, ver), row.Value)
			plain.Wipe(data)
		}
	})
	if err != nil {
		return none, nil, err
	}
	fields, err := unpack(packed)
	return packed, fields, err
}

// pack writes fields as intake does.
func pack(fields map[string][]byte) plain.Value { return plain.New(intake.Pack(fields)) }

// unpack reads what pack wrote. The fields are slices of the one value.
func unpack(packed plain.Value) (map[string]plain.Value, error) {
	bad := fault.New(fault.Denied, "the decrypted version is not a list of fields")
	fields, err := intake.Unpack(plain.Bytes(packed))
	if err != nil {
		return nil, bad
	}
	out := make(map[string]plain.Value, len(fields))
	for name, value := range fields {
		if name == "" || strings.ContainsFunc(name, notFieldName) {
			return nil, bad
		}
		out[name] = plain.New(value)
	}
	return out, nil
}
