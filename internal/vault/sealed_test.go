package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault"
)

// sealedWrite is a write whose value is encrypted, by who may.
func (f *fixture) sealedWrite(t ident.Tenant, name, token string, scope *vault.Scope) vault.Write {
	f.t.Helper()
	w := vault.Write{Tenant: t, Name: name, Scope: scope, AnyOrigin: scope == nil, Actor: admin(t)}
	k, err := f.IntakeKey(t, admin(t))
	if err != nil {
		f.t.Fatal(err)
	}
	about, err := vault.About{Scope: w.Scope, AnyOrigin: w.AnyOrigin}.Text()
	if err != nil {
		f.t.Fatal(err)
	}
	w.Sealed, err = intake.Seal(k, intake.Target{Tenant: t, Name: name, About: about}, map[string][]byte{"token": []byte(token)})
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

func TestAnEncryptedValueIsStoredAndUsed(t *testing.T) {
	f := start(t)
	w := f.sealedWrite(acme, "erp", canary1, &vault.Scope{Origins: []string{"https://erp.example"}})
	if len(knows(t, canary1).Contains(w.Sealed)) != 0 {
		t.Fatal("it can be read on its way")
	}
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Rotate(t.Context(), f.sealedWrite(acme, "erp", canary2, nil)); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if f.call(spec(acme, "erp")) != "Bearer "+canary2 {
		t.Error("another credential arrived")
	}
}

func TestTheIntakeKeyStaysAndIsTheTenantsOwn(t *testing.T) {
	f := start(t)
	key := func(t ident.Tenant) intake.Key {
		k, err := f.IntakeKey(t, admin(t))
		if err != nil {
			f.t.Fatal(err)
		}
		return k
	}
	before, other, again := key(acme), key(globex), key(acme)
	if before.ID == other.ID || before.PublicKey == other.PublicKey || before.ID != again.ID || before.Nonce == again.Nonce {
		t.Errorf("the keys are %s, %s and %s", before.ID, other.ID, again.ID)
	}
	f.restart()
	if after := key(acme); after.ID != before.ID || after.PublicKey != before.PublicKey {
		t.Error("after a restart it is another")
	}
	f.Seal()
	if _, err := f.IntakeKey(acme, admin(acme)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while sealed: %v", err)
	}
	if _, err := f.IntakeKey(acme, admin(globex)); !fault.Is(err, fault.Denied) {
		t.Errorf("for somebody of another tenant: %v", err)
	}
}

// What was captured on the way is of no use to who captured it.
func TestACapturedCiphertextIsGoodForNothing(t *testing.T) {
	f := start(t)
	scope := func() *vault.Scope { return &vault.Scope{Origins: []string{"https://erp.example"}} }
	other := admin(acme)
	other.ID = "acc_2"
	for name, c := range map[string]struct {
		do   func(*vault.Write)
		kind fault.Kind
	}{
		"under another name":   {func(w *vault.Write) { w.Name = "crm" }, fault.Invalid},
		"in another tenant":    {func(w *vault.Write) { w.Tenant, w.Actor = globex, admin(globex) }, fault.Conflict},
		"by somebody else":     {func(w *vault.Write) { w.Actor = other }, fault.Conflict},
		"with a wider scope":   {func(w *vault.Write) { w.Scope.Origins = append(w.Scope.Origins, "https://evil.example") }, fault.Invalid},
		"with another scope":   {func(w *vault.Write) { w.Scope, w.AnyOrigin = &vault.Scope{}, true }, fault.Invalid},
		"without its expiry":   {func(w *vault.Write) { w.Expires = f.now.AddDate(1, 0, 0) }, fault.Invalid},
		"beside a clear value": {func(w *vault.Write) { w.Fields = map[string][]byte{"token": []byte(canary2)} }, fault.Invalid},
		"with a changed nonce": {func(w *vault.Write) { w.Sealed[3] ^= 1 }, fault.Conflict},
		"with a changed byte":  {func(w *vault.Write) { w.Sealed[len(w.Sealed)-1] ^= 1 }, fault.Invalid},
		"cut off":              {func(w *vault.Write) { w.Sealed = w.Sealed[:100] }, fault.Invalid},
		"empty":                {func(w *vault.Write) { w.Sealed = []byte{} }, fault.Invalid},
		"later":                {func(*vault.Write) { f.now = f.now.Add(10 * time.Minute) }, fault.Conflict},
	} {
		w := f.sealedWrite(acme, "erp", canary1, scope())
		c.do(&w)
		_, err := f.Set(t.Context(), w)
		if !fault.Is(err, c.kind) || len(knows(t, canary1).Contains([]byte(err.Error()+fault.HintOf(err)))) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := f.List(t.Context(), acme); err != nil || len(l) != 0 {
		t.Errorf("something was stored: %v %v", l, err)
	}
	w := f.sealedWrite(acme, "erp", canary1, scope())
	f.restart()
	if _, err := f.Set(t.Context(), w); !fault.Is(err, fault.Conflict) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestAnEncryptedValueIsTakenOnce(t *testing.T) {
	f := start(t)
	w := f.sealedWrite(acme, "erp", canary1, nil)
	again := w
	again.Sealed = slices.Clone(w.Sealed)
	if _, err := f.Set(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	f.rotate(acme, "erp", canary2)
	for _, store := range []func(context.Context, vault.Write) (vault.Secret, error){f.Set, f.Rotate} {
		if _, err := store(t.Context(), again); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "before") {
			t.Errorf("the old value was taken again: %v", err)
		}
		if !strings.Contains(f.log.String(), "was sent before") || !strings.Contains(f.log.String(), "acc_1") {
			t.Error("the log does not say so")
		}
	}
	// Also what was refused the first time is spent.
	short := f.sealedWrite(acme, "erp", "abc", nil)
	for _, kind := range []fault.Kind{fault.Invalid, fault.Conflict} {
		if _, err := f.Set(t.Context(), short); !fault.Is(err, kind) {
			t.Errorf("%v, want %s", err, kind)
		}
	}
	if f.call(spec(acme, "erp")) != "Bearer "+canary2 {
		t.Error("another credential arrived")
	}
}

// FuzzSealed hands the vault any bytes as an encrypted value with a good nonce.
func FuzzSealed(f *testing.F) {
	fx := start(f)
	good := fx.sealedWrite(acme, "erp", canary1, nil)
	f.Add(good.Sealed[41:])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{4}, 200))
	f.Fuzz(func(t *testing.T, box []byte) {
		k, err := fx.IntakeKey(acme, admin(acme))
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := base64.StdEncoding.DecodeString(k.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		w := vault.Write{Tenant: acme, Name: "erp", AnyOrigin: true, Actor: admin(acme), Sealed: slices.Concat([]byte{1}, nonce, box)}
		if _, err := fx.Set(t.Context(), w); !fault.Is(err, fault.Invalid) {
			t.Fatalf("%v", err)
		}
	})
}
