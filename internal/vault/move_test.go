package vault_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/backend"
)

func TestAValueMovesToABackendAndBackUnderOneReference(t *testing.T) {
	f, s := withShelf(t)
	w := f.write(acme, "erp", canary2)
	w.Scope, w.AnyOrigin = &vault.Scope{Origins: []string{"https://erp.example"}}, false
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	move := func(p *vault.Pointer) (vault.Secret, error) {
		return f.Move(t.Context(), vault.Move{Tenant: acme, Name: "erp", To: p, Actor: admin(acme), Method: "password+code"})
	}
	refused := func(p *vault.Pointer, kind fault.Kind) {
		t.Helper()
		if _, err := move(p); !fault.Is(err, kind) || strings.Contains(err.Error(), canary2) {
			t.Errorf("moved to %+v: %v", p, err)
		}
	}
	refused(nil, fault.Conflict)                       // it is there already
	refused(to("corp", "team/crm", 0), fault.Conflict) // another value is there
	refused(to("corp", "team/erp", 0), fault.NotFound) // nothing is, and it takes none
	refused(to("open", "team/crm", 0), fault.Conflict) // it takes values, and overwrites none
	refused(&vault.Pointer{Backend: "open", Path: "x", Fields: map[string]string{"password": "value"}}, fault.Invalid)
	if s.created != 0 || s.values["team/crm"]["value"] != canary1 {
		t.Fatal("something was written there")
	}
	got, err := move(to("open", "team/erp", time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if s.values["team/erp"]["value"] != canary2 || got.Active != 2 || got.Versions[1].Pointer == nil || got.Versions[0].State != vault.Previous {
		t.Errorf("after the move: %+v", got)
	}
	if !slices.Equal(got.Versions[1].Scope.Origins, []string{"https://erp.example:443"}) {
		t.Errorf("its scope is %+v", got.Versions[1].Scope)
	}
	if f.call(spec(acme, "erp")) != "Bearer "+canary2 {
		t.Error("another credential arrived from there")
	}
	s.values["team/erp"]["value"] = canary3 // rotated there
	f.now = f.now.Add(time.Hour)
	if f.call(spec(acme, "erp")) != "Bearer "+canary3 {
		t.Error("the old credential arrived")
	}
	if got, err = move(nil); err != nil || got.Active != 3 || got.Versions[2].Pointer != nil {
		t.Fatalf("back: %+v, %v", got, err)
	}
	s.fails(backend.Fail(backend.Away, "gone"))
	f.restart()
	if f.call(spec(acme, "erp")) != "Bearer "+canary3 {
		t.Error("another credential arrived from the store")
	}
	opened := 0
	var moved []audit.Event
	for _, ev := range f.store.events {
		if ev.Type == audit.SecretOpened {
			opened++
		}
		if ev.Type == audit.SecretMoved {
			moved = append(moved, ev)
		}
	}
	if opened != 6 || len(moved) != 2 || moved[0].Fields["path"] != "team/erp" || moved[0].Fields["from"] != "store" || moved[1].Fields["kind"] != "store" {
		t.Errorf("on the record: %+v", moved)
	}
}

func TestAMoveThatCantBeRecordedFailsClosed(t *testing.T) {
	f, s := withShelf(t)
	f.set(acme, "erp", canary2)
	m := vault.Move{Tenant: acme, Name: "erp", To: to("open", "team/erp", 0), Actor: admin(acme)}
	f.store.fail = fault.New(fault.Unavailable, "the disk is full")
	if _, err := f.Move(t.Context(), m); !fault.Is(err, fault.Unavailable) || s.created != 0 {
		t.Errorf("the value left without an entry: %v", err)
	}
	if _, err := f.Move(t.Context(), m); err != nil || s.created != 1 {
		t.Errorf("after that: %v", err)
	}
}

func TestAMoveWhoseSwitchIsLostCanBeDoneAgain(t *testing.T) {
	f, s := withShelf(t)
	f.set(acme, "erp", canary2)
	s.values["team/erp"] = map[string]string{"value": canary2} // what the first try has left there
	if got, err := f.Move(t.Context(), vault.Move{Tenant: acme, Name: "erp", To: to("corp", "team/erp", 0), Actor: admin(acme)}); err != nil || got.Active != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
