package resource_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/resource"
)

func TestVariablesOfACredentialAreOfTheSchemeEnvAlone(t *testing.T) {
	good := resource.Auth{Scheme: resource.SchemeEnv, Secret: "db", Variables: map[string]string{"DB_USER": "username", "DB_PASSWORD": "password"}}
	check := func(a resource.Auth) error {
		c := resource.Connection{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindConnection, Name: "db-read"}, Integration: "db", Tools: []string{"query"}, Auth: a}
		return c.Check()
	}
	if err := check(good); err != nil {
		t.Error(err)
	}
	if place, field := good.Place(); place != "DB_PASSWORD,DB_USER" || field != "password,username" {
		t.Errorf("an approver sees %q and %q", place, field)
	}
	if place, field := (resource.Auth{Name: "X-Key", Field: "key"}).Place(); place != "X-Key" || field != "key" {
		t.Errorf("of one place: %q and %q", place, field)
	}
	for what, change := range map[string]func(*resource.Auth){
		"the scheme file":  func(a *resource.Auth) { a.Scheme = resource.SchemeFile },
		"a bearer token":   func(a *resource.Auth) { a.Scheme = resource.SchemeBearer },
		"a name too":       func(a *resource.Auth) { a.Name = "DSN" },
		"a field too":      func(a *resource.Auth) { a.Field = "password" },
		"a loader":         func(a *resource.Auth) { a.Variables = map[string]string{"LD_PRELOAD": "password"} },
		"a list in a name": func(a *resource.Auth) { a.Variables = map[string]string{"A,B": "password"} },
		"an assignment":    func(a *resource.Auth) { a.Variables = map[string]string{"A=B": "password"} },
		"a list of fields": func(a *resource.Auth) { a.Variables = map[string]string{"A": "username,password"} },
		"no field":         func(a *resource.Auth) { a.Variables = map[string]string{"A": ""} },
		"too many": func(a *resource.Auth) {
			a.Variables = map[string]string{}
			for i := range 11 {
				a.Variables[strings.Repeat("A", i+1)] = "password"
			}
		},
	} {
		a := good
		change(&a)
		if check(a) == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
}
