package console_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

const iban = "DE89370400440532013000"

// weapon stores a Secret that stands in a waiting action. Without meant, the vault
// refuses it.
func (o *office) weapon(value string, meant bool) error {
	o.t.Helper()
	_, err := o.app.Vault.Set(o.t.Context(), vault.Write{Tenant: tenant, Name: "weapon", Actor: setup, AlthoughRecorded: meant, Fields: map[string][]byte{"token": []byte(value)}})
	return err
}

// The attack: an admin who wants a vendor's account approved unread stores the
// account's number as a Secret. They get no page on which it is blank: the vault
// refuses it, and where they insist, nobody approves.
func TestASecretThatWouldBlankOutAWaitingActionHoldsIt(t *testing.T) {
	for form, text := range map[string]string{
		"plain":  "to " + iban,
		"base64": "see " + base64.StdEncoding.EncodeToString([]byte("pay to "+iban+" at once")),
		"url":    "https://bank.example/?to=" + url.QueryEscape("ref/"+iban) + "&x=%44%4537040044",
		"spaces": "DE89 3704 0044 0532 0130 00",
	} {
		t.Run(form, func(t *testing.T) {
			o := open(t)
			sam, ann, adm, aud := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("adm", ident.Admin), o.hire("aud", ident.Auditor)
			o.furnish("ann")
			o.pass(time.Hour)
			args, _ := json.Marshal(map[string]string{"name": "Siemens AG", "note": text})
			it := o.park(sam, string(args), "it is new")
			path := "/decisions/" + it.Decision.ID
			ann.enter()
			page := ann.get(path).want(200, "Siemens AG", text, "Give this verdict")

			if err := o.weapon(iban, false); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "the Run "+it.Decision.Run) || strings.Contains(err.Error(), iban) {
				t.Fatalf("the weapon is stored: %v", err)
			}
			ann.get(path).want(200, text, "Give this verdict")
			o.must(o.weapon(iban, true))

			// From the page that was whole, from a new one, and from none.
			ann.post(path, verdict(page, "approve", ann.code())).want(409, "Nothing was decided", "Held: its page would be altered")
			held := ann.get(path).want(200, "Held: its page would be altered", "The action is not shown", "Give this verdict", "Reject").
				wantNot("Siemens", "it is new", iban, "weapon", `value="approve"`, "The evidence", "/vendors")
			ann.post(path, verdict(held, "approve", ann.code())).want(409, "Nothing was decided", "Held: its page would be altered")
			ann.get("/decisions").want(200, "held: its page would be altered", "yours").wantNot("weapon", "Siemens")
			ann.get("/").want(200, "held: its page would be altered")
			adm.enter().get(path).want(200, "Held: its page would be altered", "weapon").wantNot("Siemens", iban, "Give this verdict")
			aud.enter().get(path).want(200, "weapon").wantNot("Siemens")
			if n := o.created.Load(); n != 0 {
				t.Fatalf("%d vendors were made", n)
			}
			if es := o.entries(audit.DecisionHeld); len(es) != 1 || es[0].Fields["decision"] != it.Decision.ID {
				t.Errorf("the record has %+v", es)
			}

			// With the Secret gone it is what it was.
			o.must(o.app.Vault.Remove(t.Context(), tenant, "weapon", setup))
			healed := ann.get(path).want(200, "Siemens AG", text, "it is new", "Give this verdict").wantNot("[secret", "weapon")
			if healed.value("digest") != page.value("digest") {
				t.Error("it is another action")
			}
			ann.post(path, verdict(healed, "approve", ann.code())).want(303)
			o.until(it.Decision.Run, explain.ToolCall)
			if n := o.created.Load(); n != 1 {
				t.Errorf("%d vendors were made", n)
			}
		})
	}
}

func (o *office) entries(t audit.Type) []audit.Entry {
	o.t.Helper()
	l, err := o.app.API().Audit.List(o.t.Context(), tenant, audit.Filter{Type: t}, 0, 100)
	o.must(err)
	var out []audit.Entry
	for _, r := range l {
		e, err := audit.ParseEntry(r.Entry)
		o.must(err)
		out = append(out, e)
	}
	return out
}

// The form of a value that was recorded says why it is not stored, and takes the
// word of who means it.
func TestTheFormRefusesAValueThatWasRecordedUnlessItIsMeant(t *testing.T) {
	o := open(t)
	sam, ada := o.hire("sam", ident.Requester), o.hire("ada", ident.Admin).enter()
	o.furnish()
	it := o.park(sam, `{"name":"Siemens AG","note":"`+iban+`"}`, "it is new")
	form := url.Values{"name": {"bank"}, "form": {"token"}, "token": {iban}, "how": {"set"}, "anywhere": {"yes"}}
	ada.post("/secrets", form).want(400, "Nothing was stored", "The value stands in what was recorded", "the Run "+it.Decision.Run, "make a new value").wantNot(iban)
	form.Set("token", iban)
	form.Set("recorded", "yes")
	ada.post("/secrets", form).want(303)
	es := o.entries(audit.SecretSet)
	last := es[len(es)-1]
	why, _ := last.Fields["why"].(string)
	if last.Fields["recorded"] != true || !strings.Contains(why, it.Decision.Run) || strings.Contains(why, iban) {
		t.Errorf("the record has %+v", last)
	}
}

// The Secret comes when the action is approved: at every step before its first
// byte it ends as one of which nothing was sent, and never as one that is unknown.
func TestASecretThatComesAfterTheApprovalEndsTheActionClearly(t *testing.T) {
	for point, want := range map[commit.Point]intent.State{commit.BeforeClaim: intent.Denied, commit.AfterClaim: intent.Failed, commit.BeforeBytes: intent.Failed} {
		t.Run(string(point), func(t *testing.T) {
			o := open(t)
			sam, ann := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver)
			o.furnish("ann")
			o.pass(time.Hour)
			it := o.park(sam, `{"name":"Siemens AG","note":"to `+iban+`"}`, "it is new")
			path := "/decisions/" + it.Decision.ID
			came := make(chan error, 1)
			strike := func(p commit.Point) {
				if p == point {
					came <- o.weapon(iban, true)
				}
			}
			o.between.Store(&strike)
			ann.enter()
			ann.post(path, verdict(ann.get(path).want(200, iban), "approve", ann.code())).want(303)
			o.must(<-came)
			kind := explain.Problem
			if want == intent.Denied {
				kind = explain.Check
			}
			o.until(it.Decision.Run, kind)
			got, err := o.app.API().Store.Intent(t.Context(), tenant, it.Intent.ID)
			o.must(err)
			if got.State != want || got.Result == nil || !strings.Contains(got.Result.Note+got.Why, "carries a known secret") || strings.Contains(got.Result.Note+got.Why, "weapon") {
				t.Errorf("it is %s: %q, %+v", got.State, got.Why, got.Result)
			}
			if n := o.created.Load(); n != 0 {
				t.Errorf("%d vendors were made", n)
			}
		})
	}
}
