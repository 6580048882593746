package demo_test

import (
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/passkey/softkey"
)

// enrolPasskey gives a person a passkey, by an admin's link.
func (w *world) enrolPasskey(name string) *softkey.Key {
	w.t.Helper()
	ctx, who, dir := w.t.Context(), w.principal(name), w.App.Directory
	link, _, err := dir.OfferPasskey(ctx, w.principal("admin"), who.ID, w.People["admin"].Password, w.code("admin"), w.clock.now())
	w.must(err)
	c, err := dir.BeginPasskey(ctx, who, w.clock.now())
	w.must(err)
	party, err := dir.Party()
	w.must(err)
	k := softkey.New(party)
	att, client := k.Create(c.Challenge.Challenge)
	_, err = dir.EnrolPasskey(ctx, who, identity.Enrolling{Challenge: c.ID, Name: "a device", Attestation: att, ClientData: client, Link: link,
		Password: w.People[name].Password, Code: w.code(name)}, w.clock.now())
	w.must(err)
	return k
}
