package storetest

import (
	"fmt"
	"slices"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/passkey/softkey"
)

// keeper is somebody with a passkey that counts.
func (a *siege) keeper(name string) (*Human, *softkey.Key, string) {
	h := a.Human(acme, name, ident.Approver)
	k, p := h.enrol("laptop")
	a.Pass(48 * time.Hour)
	return h, k, p.ID
}

// useless says that no passkey of the person is listed or signs, and that the log
// names the row.
func (a *siege) useless(h *Human, k *softkey.Key, id string) {
	a.t.Helper()
	rows, err := a.Dir.Passkeys(a.ctx, h.Account.Principal(), h.Account.ID)
	if slices.ContainsFunc(rows, func(p identity.Passkey) bool { return p.ID == id }) || err != nil && !fault.Is(err, fault.Denied) {
		a.t.Errorf("it is listed: %+v, %v", rows, err)
	}
	if _, err := h.sign(k, act, nil); !fault.Is(err, fault.Denied) {
		a.t.Errorf("it signs: %v", err)
	}
	a.named("passkey", id)
	a.unharmed()
}

func otherKey(a *siege) {
	kim, _, id := a.keeper("kim")
	mal, evil, other := a.keeper("mal")
	a.strike(fmt.Sprintf(`UPDATE passkey SET public_key = (SELECT public_key FROM passkey WHERE id = '%s') WHERE id = '%s'`, other, id))
	a.useless(kim, evil, id)
	if !a.between { // a reset is the way out, for the person who was attacked
		_, err := a.Dir.Reset(a.ctx, Admin(acme), acme, kim.Account.ID, a.Now)
		a.must(err)
		l, err := a.Dir.Passkeys(a.ctx, Admin(acme), kim.Account.ID)
		if err != nil || len(l) != 0 {
			a.t.Errorf("after a reset there are %+v, %v", l, err)
		}
	}
	if !a.between {
		_, err := mal.sign(evil, act, nil)
		a.must(err)
	}
}

func movedPasskey(a *siege) {
	kim, _, _ := a.keeper("kim")
	_, evil, id := a.keeper("mal")
	a.strike(fmt.Sprintf(`UPDATE passkey SET account = '%s' WHERE id = '%s'`, kim.Account.ID, id))
	a.useless(kim, evil, id)
}

func shorterWait(a *siege) {
	kim := a.Human(acme, "kim", ident.Approver)
	k, p := kim.enrol("laptop")
	a.strike(`UPDATE passkey SET usable_at = created_at WHERE id = '` + p.ID + `'`)
	a.useless(kim, k, p.ID)
}

func passkeyPutBack(a *siege) {
	kim, k, id := a.keeper("kim")
	a.keep("passkey", "id = '"+id+"'")
	a.must(a.Dir.RemovePasskey(a.ctx, kim.Account.Principal(), kim.Account.ID, id, Password, kim.NextCode(), a.Now))
	a.strike("INSERT INTO passkey SELECT * FROM kept")
	a.useless(kim, k, id)
}

// Of what is hidden nobody can say what it was: its owner is told nothing at all.
func hiddenPasskey(a *siege) {
	kim, _, id := a.keeper("kim")
	a.strike(`DELETE FROM passkey WHERE id = '` + id + `'`)
	_, err := a.Dir.Passkeys(a.ctx, kim.Account.Principal(), kim.Account.ID)
	if !a.between && !fault.Is(err, fault.Denied) {
		a.t.Errorf("the list is whole: %v", err)
	}
	a.named("passkey", id)
}

func challengePutBack(a *siege) {
	kim, k, _ := a.keeper("kim")
	c, err := a.Dir.Challenge(a.ctx, kim.Account.Principal(), act, a.Now)
	a.must(err)
	a.keep("passkey_pending", "id = '"+c.ID+"'")
	answer := answerOf(c.ID, k.Get(c.Challenge))
	_, err = a.Dir.ConfirmPasskey(a.ctx, kim.Account.Principal(), answer, act, a.Now)
	a.must(err)
	a.strike("INSERT INTO passkey_pending SELECT * FROM kept")
	_, err = a.Dir.ConfirmPasskey(a.ctx, kim.Account.Principal(), answer, act, a.Now)
	a.wantKind(err, fault.Denied)
	if decision.CodeOf(err) != "" {
		a.t.Errorf("it was judged: %v", err)
	}
	a.named("passkey_pending", c.ID)
}
