package vault_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// What every call would be refused for is known before one.
func TestAConnectionThatItsSecretDoesNotFitIsKnownBeforeACall(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	there, other := resource.Origin{Scheme: "https", Host: "crm.example:443"}, resource.Origin{Scheme: "https", Host: "other.example:443"}
	bearer, basic := resource.Auth{Scheme: resource.SchemeBearer}, resource.Auth{Scheme: resource.SchemeBasic}
	for name, c := range map[string]struct {
		fields []string
		scope  vault.Scope
		auth   resource.Auth
		method string
		want   fault.Kind
	}{
		"as it is meant":             {[]string{"token"}, vault.Scope{Origins: []string{there.String()}}, bearer, "", ""},
		"another origin":             {[]string{"token"}, vault.Scope{Origins: []string{other.String()}}, bearer, "", fault.Denied},
		"another place":              {[]string{"token"}, vault.Scope{Schemes: []resource.Scheme{resource.SchemeBasic}}, bearer, "", fault.Denied},
		"another Integration":        {[]string{"token"}, vault.Scope{Integrations: []string{"erp"}}, bearer, "", fault.Denied},
		"expired":                    {[]string{"token"}, vault.Scope{NotAfter: now.Add(-time.Hour)}, bearer, "", fault.Denied},
		"a method that is unknown":   {[]string{"token"}, vault.Scope{Methods: []string{"GET"}}, bearer, "", ""},
		"a method that is known":     {[]string{"token"}, vault.Scope{Methods: []string{"GET"}}, bearer, "POST", fault.Denied},
		"a Mission, which a Run has": {[]string{"token"}, vault.Scope{Missions: []string{"m"}}, bearer, "", ""},
		"basic with a token":         {[]string{"token"}, vault.Scope{}, basic, "", fault.Invalid},
		"basic":                      {[]string{"password", "username"}, vault.Scope{}, basic, "", ""},
		"another field":              {[]string{"token"}, vault.Scope{}, resource.Auth{Scheme: resource.SchemeHeader, Name: "X-Key", Field: "key"}, "", fault.Invalid},
		"variables": {[]string{"password", "username"}, vault.Scope{}, resource.Auth{Scheme: resource.SchemeEnv,
			Variables: map[string]string{"U": "username", "P": "password"}}, "", ""},
		"a variable too many": {[]string{"username"}, vault.Scope{}, resource.Auth{Scheme: resource.SchemeEnv,
			Variables: map[string]string{"U": "username", "P": "password"}}, "", fault.Invalid},
	} {
		m := vault.Meta{Name: "crm-token", Fields: c.fields, Scope: c.scope}
		err := m.Fits(vault.DoorSpec{Auth: c.auth, Origin: there, Integration: "crm", Method: c.method}, now)
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
