package vault

import (
	"slices"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Fits says why every use that a Connection would make of the version is refused, as
// far as that is known without its value: by its usage scope, or since it lacks a field
// that the scheme takes. Methods count where d has one; Missions don't, since they are
// of a Run. Denied or Invalid.
func (m Meta) Fits(d DoorSpec, now time.Time) error {
	s := m.Scope
	s.Missions = nil
	if d.Method == "" {
		s.Methods = nil
	}
	if err := s.permits(d, now); err != nil {
		return fault.Wrap(fault.Denied, "the secret "+m.Name+" for "+d.Origin.String(), err)
	}
	for _, f := range needed(d.Auth) {
		if !slices.Contains(m.Fields, f) {
			return fault.Newf(fault.Invalid, "the secret %s has no field %q, which the scheme %s takes here", m.Name, fault.Quote(f), d.Auth.Scheme).
				WithHint("basic takes username and password, oauth-client takes client_id and client_secret, the others take the field token unless the Connection names another")
		}
	}
	return nil
}

// needed are the fields that a scheme takes.
func needed(a resource.Auth) (out []string) {
	switch a.Scheme {
	case resource.SchemeBasic:
		return []string{"username", "password"}
	case resource.SchemeOAuthClient:
		return []string{"client_id", "client_secret"}
	case resource.SchemeOAuthUser:
		return []string{"client_id"}
	case resource.SchemeEnv, resource.SchemeFile, resource.SchemeBearer, resource.SchemeHeader, resource.SchemeQuery, resource.SchemeSignature, resource.SchemeAddress:
		out = []string{a.Field}
		if len(a.Variables) > 0 {
			out = nil
			for _, f := range a.Variables {
				out = append(out, f)
			}
		}
	case resource.SchemeNone, resource.SchemeLogin: // none, or of a mail server
	}
	for i := range out {
		if out[i] == "" {
			out[i] = defaultField
		}
	}
	slices.Sort(out)
	return out
}
