package ident_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

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
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for form, next := range map[string]func() string{
		`^run_[a-z2-7]{26,}$`: func() string { return ident.New("run") },
		`^run_[a-z2-7]{33,}$`: func() string { return ident.At("run", now) },
	} {
		form, seen := regexp.MustCompile(form), map[string]bool{}
		for range 10_000 {
			id := next()
			if seen[id] || !form.MatchString(id) {
				t.Fatalf("%q was given before, or has another form", id)
			}
			seen[id] = true
		}
	}
}

func TestDatedIdsSortByTheirSecond(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	last := ident.At("run", now)
	for _, pause := range []time.Duration{time.Second, 31 * time.Second, time.Hour, 365 * 24 * time.Hour, 100 * 365 * 24 * time.Hour} {
		now = now.Add(pause)
		next := ident.At("run", now)
		if next <= last {
			t.Errorf("%s later %s comes after %s", pause, last, next)
		}
		if beside := ident.At("run", now.Add(time.Millisecond)); beside[:11] != next[:11] || beside[11:] == next[11:] {
			t.Errorf("in one second there were %s and %s", next, beside)
		}
		last = next
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
