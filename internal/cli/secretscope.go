package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// scopeFlags say where, and how long, a version may be used.
type scopeFlags struct {
	origins, integrations, schemes, methods, missions []string
	anyOrigin                                         bool
	expires                                           string
}

func (s *scopeFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&s.origins, "origin", nil, "where it may be sent, like https://crm.example.com; give it again for several (a known name keeps its usage scope unless a part of one is given)")
	f.BoolVar(&s.anyOrigin, "any-origin", false, "it may be sent wherever a Connection says: whoever applies Connections can then send it to themselves")
	f.StringArrayVar(&s.integrations, "integration", nil, "the Integration that it may be used for; give it again for several")
	f.StringArrayVar(&s.schemes, "scheme", nil, "the place in the request: bearer, basic, header or query, or of a Channel signature, address or login; give it again for several")
	f.StringArrayVar(&s.methods, "method", nil, "the HTTP method that it may be used with; give it again for several")
	f.StringArrayVar(&s.missions, "mission", nil, "the Mission whose Runs may use it; give it again for several")
	f.StringVar(&s.expires, "expires", "", "when this version ends: 90d, 12h, 2027-03-01 or 2027-03-01T12:00:00Z")
	c.MarkFlagsMutuallyExclusive("origin", "any-origin")
}

// scope is the usage scope that was given, or nil.
func (s *scopeFlags) scope() *vault.Scope {
	if !s.anyOrigin && len(s.origins)+len(s.integrations)+len(s.schemes)+len(s.methods)+len(s.missions) == 0 {
		return nil
	}
	out := &vault.Scope{Origins: s.origins, Integrations: s.integrations, Missions: s.missions}
	for _, m := range s.methods {
		out.Methods = append(out.Methods, strings.ToUpper(m))
	}
	for _, sch := range s.schemes {
		out.Schemes = append(out.Schemes, resource.Scheme(sch))
	}
	return out
}

// into adds it to a body.
func (s *scopeFlags) into(b *api.SecretValue, now time.Time) (err error) {
	b.Scope, b.AnyOrigin = s.scope(), s.anyOrigin
	b.Expires, err = expiry(s.expires, now)
	return err
}

// expiry reads when a version ends: a span from now on in hours, days or weeks, or
// a day (its first moment in UTC), or a time. Zero: never.
func expiry(s string, now time.Time) (time.Time, error) {
	bad := &usageError{"that is no time to expire at", "write it like 90d, 12h, 2027-03-01 or 2027-03-01T12:00:00Z"}
	if s == "" {
		return time.Time{}, nil
	}
	for suffix, unit := range map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || n > 100*366*24 || time.Duration(n) > 100*366*24*time.Hour/unit {
				return time.Time{}, bad
			}
			return now.Add(time.Duration(n) * unit).UTC().Truncate(time.Second), nil
		}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			if !t.After(now) {
				return time.Time{}, &usageError{"the time to expire at has passed", bad.hint}
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, bad
}

// soon is how long before its end a version is warned about.
const soon = 14 * 24 * time.Hour

// expires is a version's end as a list shows it, and a warning where it is near
// or has passed.
func expires(v vault.Version, now time.Time) (cell, warning string) {
	end := v.Scope.NotAfter
	left := end.Sub(now)
	switch {
	case end.IsZero():
		return "", ""
	case left <= 0:
		return "expired " + when(end), "has expired"
	case left < 24*time.Hour:
		return when(end), "expires in less than a day"
	case left < 48*time.Hour:
		return when(end), "expires in a day"
	case left <= soon:
		return when(end), "expires in " + strconv.Itoa(int(left/(24*time.Hour))) + " days"
	}
	return when(end), ""
}
