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

// credential copies what the scheme needs: of env the variables with their values, a
// zero byte between two.
func credential(s Spec) (plain.Value, error) {
	give := map[string]string{s.Auth.Name: s.Auth.Field}
	switch s.Auth.Scheme {
	case resource.SchemeNone:
		return plain.Value{}, nil
	case resource.SchemeEnv:
		if len(s.Auth.Variables) > 0 {
			give = s.Auth.Variables
		}
	case resource.SchemeFile:
	default:
		return plain.Value{}, fault.Newf(fault.Invalid, "a child can't be given a credential by the scheme %q", fault.Quote(string(s.Auth.Scheme))).
			WithHint("write file, env or none")
	}
	size := 0
	values := map[string]plain.Value{}
	for name, field := range give {
		if field == "" {
			field = defaultField
		}
		v, ok := s.Fields[field]
		if !ok {
			return plain.Value{}, fault.Newf(fault.Invalid, "the secret has no field %q", fault.Quote(field)).
				WithHint("a child is given the field %q unless the Connection names another", defaultField)
		}
		if s.Auth.Scheme == resource.SchemeEnv && bytes.IndexByte(plain.Bytes(v), 0) >= 0 {
			return plain.Value{}, fault.New(fault.Invalid, "the secret's value has a zero byte, which an environment can't carry").
				WithHint("use the scheme file")
		}
		values[name] = v
		size += len(name) + len("=\x00") + len(plain.Bytes(v))
	}
	var out plain.Value
	plain.Do(func() {
		b := make([]byte, 0, size) // never grown: no part of it is left behind
		for name, v := range values {
			if s.Auth.Scheme == resource.SchemeEnv {
				if len(b) > 0 {
					b = append(b, 0)
				}
				b = append(append(b, name...), '=')
			}
			b = append(b, plain.Bytes(v)...)
		}
		out = plain.New(b)
	})
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
		for _, v := range bytes.Split(plain.Bytes(value), []byte{0}) {
			name, is, _ := bytes.Cut(v, []byte{'='})
			env[string(name)] = is
		}
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
