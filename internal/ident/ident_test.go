package ident_test

import (
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

func TestNames(t *testing.T) {
	for _, s := range []string{"a", "erp-read", "a1", "v2-b-3", strings.Repeat("a", 40)} {
		if err := ident.CheckName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "-a", "a-", "a--b", "1a", "A", "erp_read", "erp read", "erp/read", "../erp", ".", "a.b", "a\x00", "a\n", "é", "аcme", "a@v2", "a%2f", strings.Repeat("a", 41), "a;drop", "*",
	} {
		err := ident.CheckName(s)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", s, err)
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("the error repeats %q", s)
		}
	}
}

// A name is safe in a path, a URL, SQL and a log line without any escaping.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"erp-read", "a--b", "é", "A", strings.Repeat("a", 41), "a-", "\xff"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	f.Fuzz(func(t *testing.T, s string) {
		ok := len(s) <= 40 && form.MatchString(s)
		if err := ident.CheckName(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestIdsAreNeverTheSame(t *testing.T) {
	form := regexp.MustCompile(`^run_[a-z2-7]{26,}$`)
	seen := map[string]bool{}
	for range 10_000 {
		id := ident.New("run")
		if seen[id] || !form.MatchString(id) {
			t.Fatalf("%q was given before, or has another form", id)
		}
		seen[id] = true
	}
}

func TestAPrincipalIsWholeOrNobody(t *testing.T) {
	whole := ident.Principal{Tenant: "acme", Kind: ident.Person, ID: "acc_1", Name: "Ann"}
	if !whole.Valid() || whole.String() != "person:acc_1" {
		t.Errorf("%v is valid: %v", whole, whole.Valid())
	}
	for name, p := range map[string]ident.Principal{
		"nobody": {}, "no tenant": {Kind: ident.Person, ID: "acc_1"}, "no kind": {Tenant: "acme", ID: "acc_1"}, "no id": {Tenant: "acme", Kind: ident.Person, Name: "Ann"},
	} {
		if p.Valid() {
			t.Errorf("%s is somebody", name)
		}
	}
}

func TestRolesArePeoples(t *testing.T) {
	for _, kind := range []ident.Kind{ident.Person, ident.Run, ident.System, "", "PERSON"} {
		p := ident.Principal{Tenant: "acme", Kind: kind, ID: "x", Roles: []ident.Role{ident.Builder}}
		for _, r := range ident.Roles {
			if p.Has(r) != (kind == ident.Person && r == ident.Builder) {
				t.Errorf("a %q that has the role builder has %s: %v", kind, r, p.Has(r))
			}
		}
	}
	if (ident.Principal{Kind: ident.Person}).Has("") {
		t.Error("nobody has no role")
	}
}
