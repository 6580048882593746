package vault_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
)

func TestAMoveFindsTheOneValueUnderWhateverNameItHas(t *testing.T) {
	f, s := withShelf(t)
	point := &vault.Pointer{Backend: "open", Path: "team/crm"} // without --pick: its one value is "value"
	if _, err := f.Set(t.Context(), vault.Write{Tenant: acme, Name: "erp", Actor: admin(acme), AnyOrigin: true, Pointer: point}); err != nil {
		t.Fatal(err)
	}
	move := func(to *vault.Pointer) (vault.Secret, error) {
		return f.Move(t.Context(), vault.Move{Tenant: acme, Name: "erp", To: to, Actor: admin(acme)})
	}
	if _, err := move(nil); err != nil {
		t.Fatal(err)
	}
	got, err := move(&vault.Pointer{Backend: "open", Path: "team/crm"})
	if err != nil || got.Versions[2].Pointer.Fields["token"] != "value" || s.created != 0 {
		t.Fatalf("back to where it was: %+v, %v, hint %q", got, err, fault.HintOf(err))
	}
	if _, err := move(nil); err != nil {
		t.Fatal(err)
	}
	if got, err = move(&vault.Pointer{Backend: "open", Path: "team/new"}); err != nil || s.values["team/new"]["token"] != canary1 {
		t.Fatalf("to a new path: %+v, %v", got, err)
	}
	if _, err := move(nil); err != nil {
		t.Fatal(err)
	}
	s.values["team/two"] = map[string]string{"user": "svc-crm", "value": canary1}
	for pick, want := range map[string]struct{ words, hint string }{
		"":            {`no text named token`, "--pick token=NAME"},
		"token=valu":  {`no text named valu`, "--pick token=NAME"},
		"value=token": {"fields are not those", "it has token"},
	} {
		to := &vault.Pointer{Backend: "open", Path: "team/two"}
		if ours, theirs, ok := strings.Cut(pick, "="); ok {
			to.Fields = map[string]string{ours: theirs}
		}
		if _, err := move(to); err == nil || !strings.Contains(err.Error(), want.words) || !strings.Contains(fault.HintOf(err), want.hint) || strings.Contains(err.Error()+fault.HintOf(err), canary1) {
			t.Errorf("--pick %s: %v, hint %q", pick, err, fault.HintOf(err))
		}
	}
	if _, err := move(&vault.Pointer{Backend: "open", Path: "team/two", Fields: map[string]string{"token": "value"}}); err != nil {
		t.Errorf("with the right one: %v", err)
	}
}

func TestWhatCantBeAPointersFieldsIsSaidWithTheField(t *testing.T) {
	f, s := withShelf(t)
	s.values["numbers"] = map[string]string{} // what is no text is not given at all
	s.values["short"] = map[string]string{"user": "svc", "password": canary2}
	many := map[string]string{}
	for c := 'a'; c <= 'z'; c++ {
		many[string(c)] = canary2
	}
	s.values["many"] = many
	for path, want := range map[string]struct{ words, hint string }{
		"numbers": {"has no texts", "as a text"}, "short": {"of the field user there can't be protected", "--pick"}, "many": {"26 texts", "--pick"},
	} {
		_, err := f.Set(t.Context(), vault.Write{Tenant: acme, Name: "x", Actor: admin(acme), AnyOrigin: true, Pointer: &vault.Pointer{Backend: "open", Path: path}})
		if err == nil || !strings.Contains(err.Error(), want.words) || !strings.Contains(fault.HintOf(err), want.hint) || strings.Contains(err.Error(), canary2) {
			t.Errorf("%s: %v, hint %q", path, err, fault.HintOf(err))
		}
	}
}
