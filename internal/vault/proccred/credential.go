package proccred

import (
	"bytes"
	"slices"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// defaultField is the field that the schemes take.
const defaultField = "token"

// secretPath is where a child finds what descriptor 3 has.
const secretPath = "/dev/fd/3" //nolint:gosec // G101: a path

// credential copies the one value that the scheme needs.
func credential(s Spec) (plain.Value, error) {
	switch s.Auth.Scheme {
	case resource.SchemeNone:
		return plain.Value{}, nil
	case resource.SchemeEnv, resource.SchemeFile:
	default:
		return plain.Value{}, fault.Newf(fault.Invalid, "a child can't be given a credential by the scheme %q", fault.Quote(string(s.Auth.Scheme))).
			WithHint("write file, env or none")
	}
	name := s.Auth.Field
	if name == "" {
		name = defaultField
	}
	v, ok := s.Fields[name]
	if !ok {
		return plain.Value{}, fault.Newf(fault.Invalid, "the secret has no field %q", fault.Quote(name)).
			WithHint("a child is given the field %q unless the Connection names another", defaultField)
	}
	if s.Auth.Scheme == resource.SchemeEnv && bytes.IndexByte(plain.Bytes(v), 0) >= 0 {
		return plain.Value{}, fault.New(fault.Invalid, "the secret's value has a zero byte, which an environment can't carry").
			WithHint("use the scheme file")
	}
	var out plain.Value
	plain.Do(func() { out = plain.New(slices.Clone(plain.Bytes(v))) })
	return out, nil
}

// environment is the child's whole environment: a home of its own, what the
// resource lists, and the credential or where it is. There is no PATH unless the
// resource has one.
func environment(s Spec, home string, value plain.Value) [][]byte {
	env := map[string][]byte{"HOME": []byte(home), "TMPDIR": []byte(home)}
	for name, v := range s.Stdio.Env {
		env[name] = []byte(v)
	}
	switch s.Auth.Scheme {
	case resource.SchemeEnv:
		env[s.Auth.Name] = plain.Bytes(value)
	case resource.SchemeFile:
		env[s.Auth.Name] = []byte(secretPath)
	default:
	}
	out := make([][]byte, 0, len(env))
	for name, v := range env {
		out = append(out, append([]byte(name+"="), v...))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}
