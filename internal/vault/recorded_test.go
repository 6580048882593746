package vault_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intake"
	"sallyport.dev/internal/vault"
)

const iban = "DE89370400440532013000"

// traffic has texts recorded for acme, each in a place that is named after it.
func (f *fixture) traffic(texts map[string]string) {
	f.recorded = func(_ context.Context, t ident.Tenant, contains func([]byte) bool) (vault.Trace, error) {
		var out vault.Trace
		for place, text := range texts {
			if t == acme && contains([]byte(text)) {
				out.Places = append(out.Places, place)
			}
		}
		return out, nil
	}
}

// encrypted is a write as it comes from the command line.
func (f *fixture) encrypted(w vault.Write) vault.Write {
	f.t.Helper()
	k, err := f.IntakeKey(w.Tenant, w.Actor)
	if err != nil {
		f.t.Fatal(err)
	}
	about, err := vault.About{Scope: w.Scope, AnyOrigin: w.AnyOrigin, AlthoughRecorded: w.AlthoughRecorded}.Text()
	if err != nil {
		f.t.Fatal(err)
	}
	if w.Sealed, err = intake.Seal(k, intake.Target{Tenant: w.Tenant, Name: w.Name, About: about}, w.Fields); err != nil {
		f.t.Fatal(err)
	}
	w.Fields = nil
	return w
}

// wantRefused fails unless a value was refused because it was recorded, nothing
// was stored, and nobody was told the value.
func (f *fixture) wantRefused(err error, before int, place string) {
	f.t.Helper()
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), place) || !strings.Contains(fault.HintOf(err), "--although-recorded") {
		f.t.Errorf("the refusal is %v (%s)", err, fault.HintOf(err))
	}
	if len(f.store.events) != before {
		f.t.Errorf("it was stored: %+v", f.store.events[before:])
	}
	if err != nil && len(knows(f.t, iban).Contains([]byte(err.Error()+fault.HintOf(err)+f.log.String()))) > 0 {
		f.t.Errorf("somebody is told the value: %v\n%s", err, f.log)
	}
}

// The weapon: a Secret that is an account number, to blank it out of every page.
func TestAValueThatStandsInRecordedTrafficIsRefusedInEveryForm(t *testing.T) {
	for form, text := range map[string]string{
		"plain":       `{"iban":"` + iban + `"}`,
		"base64":      "body " + base64.StdEncoding.EncodeToString([]byte("pay "+iban+" now")),
		"url":         "https://bank.example/?to=" + url.QueryEscape("DE89 3704 0044 0532 0130 00") + "&iban=%44E8937040044053201300%30",
		"hex":         hex.EncodeToString([]byte(iban)),
		"lower case":  "to " + strings.ToLower(iban),
		"in one word": "refDE89370400440532013000x",
	} {
		t.Run(form, func(t *testing.T) {
			f := start(t)
			f.set(acme, "bank", canary1)
			f.traffic(map[string]string{"the Run run_1, observation 12": text})
			before := len(f.store.events)
			_, err := f.Set(t.Context(), f.write(acme, "weapon", iban))
			f.wantRefused(err, before, "the Run run_1, observation 12")
			_, err = f.Rotate(t.Context(), f.write(acme, "bank", iban))
			f.wantRefused(err, before, "the Run run_1, observation 12")
			_, err = f.Set(t.Context(), f.encrypted(f.write(acme, "weapon", iban)))
			f.wantRefused(err, before, "the Run run_1, observation 12")
			if len(f.Scrub(acme).Contains([]byte(iban))) > 0 {
				t.Error("it is scrubbed for")
			}
			f.set(acme, "other", canary2) // what stands nowhere
		})
	}
}

func TestTheTrafficOfOthersSaysNothingAboutAValue(t *testing.T) {
	f := start(t)
	f.traffic(map[string]string{"the Run run_1": iban})
	f.set(globex, "bank", iban)
}

// Each field and each part: what the scrubber would look for, and no more.
func TestEachPartOfAValueIsLookedFor(t *testing.T) {
	for what, c := range map[string]struct {
		fields  map[string]string
		text    string
		refused bool
	}{
		"one of several fields":  {map[string]string{"token": canary1, "backup": iban}, iban, true},
		"a password in a DSN":    {map[string]string{"dsn": "postgres://app:" + canary1 + "@db.example/x"}, "the password is " + canary1, true},
		"a line of several":      {map[string]string{"key": canary1 + "-line-of-a-key\n" + canary2 + "-line-of-a-key"}, canary2 + "-line-of-a-key", true},
		"the header of a login":  {map[string]string{"username": "svc", "password": canary1}, "Basic " + base64.StdEncoding.EncodeToString([]byte("svc:"+canary1)), true},
		"the user name is known": {map[string]string{"username": "svc-onboarding-prod", "password": canary1}, "svc-onboarding-prod did it", false},
		"the host of a DSN":      {map[string]string{"dsn": "postgres://app:" + canary1 + "@db.example/x"}, "db.example is down", false},
	} {
		f := start(t)
		f.traffic(map[string]string{"there": c.text})
		w := f.write(acme, "bank", "")
		w.Fields = map[string][]byte{}
		for k, v := range c.fields {
			w.Fields[k] = []byte(v)
		}
		if _, err := f.Set(t.Context(), w); fault.Is(err, fault.Invalid) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatIsMeantIsStoredAndOnTheRecord(t *testing.T) {
	f := start(t)
	f.recorded = func(_ context.Context, _ ident.Tenant, contains func([]byte) bool) (vault.Trace, error) {
		if !contains([]byte(iban)) {
			t.Error("the value is not looked for")
		}
		return vault.Trace{Places: []string{"the Run run_1, observation 3"}, Partly: true}, nil
	}
	w := f.write(acme, "bank", iban)
	w.AlthoughRecorded = true
	if _, err := f.Set(t.Context(), f.encrypted(w)); err != nil {
		t.Fatal(err)
	}
	ev := f.store.events[len(f.store.events)-1]
	if ev.Type != audit.SecretSet || ev.Fields["recorded"] != true || ev.Fields["partly"] != true || ev.Fields["why"] != "it stands in the Run run_1, observation 3" {
		t.Errorf("the record has %+v", ev)
	}
	// Said by somebody else on the way, it does not open what was encrypted.
	sealed := f.encrypted(f.write(acme, "weapon", iban))
	sealed.AlthoughRecorded = true
	if _, err := f.Set(t.Context(), sealed); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "recorded") {
		t.Errorf("the word of somebody on the way counted: %v", err)
	}
	f.recorded = nil
	f.rotate(acme, "bank", canary1)
	if ev := f.store.events[len(f.store.events)-1]; ev.Fields["recorded"] != nil || ev.Fields["partly"] != nil || ev.Fields["why"] != nil {
		t.Errorf("a plain one's record has %+v", ev)
	}
}

// What a store quotes when it fails, and what a place is called, may be the value.
func TestALookThatFailsFailsClosedAndTellsNobodyTheValue(t *testing.T) {
	f := start(t)
	f.recorded = func(context.Context, ident.Tenant, func([]byte) bool) (vault.Trace, error) {
		return vault.Trace{}, fault.New(fault.Unavailable, "near \""+iban+"\": syntax error").WithHint("look at %s", iban)
	}
	before := len(f.store.events)
	_, err := f.Set(t.Context(), f.write(acme, "bank", iban))
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error()+fault.HintOf(err)+f.log.String(), iban) || len(f.store.events) != before {
		t.Errorf("%v, the hint is %q", err, fault.HintOf(err))
	}
	f.traffic(map[string]string{"the Policy " + iban: iban})
	_, err = f.Set(t.Context(), f.write(acme, "bank", iban))
	f.wantRefused(err, before, "the Policy [secret")
}

// It takes a second where there is much: nobody else waits for it.
func TestTheVaultIsNotLockedWhileItLooks(t *testing.T) {
	f := start(t)
	f.set(acme, "other", canary2)
	inside := false
	f.recorded = func(ctx context.Context, t ident.Tenant, _ func([]byte) bool) (vault.Trace, error) {
		if inside {
			return vault.Trace{}, nil
		}
		inside = true
		_, err := f.Rotate(ctx, f.write(t, "other", canary3))
		return vault.Trace{}, err
	}
	f.set(acme, "bank", canary1)
	if s, err := f.Show(t.Context(), acme, "other"); err != nil || s.Active != 2 || !inside {
		t.Errorf("%+v, %v", s, err)
	}
}

// The answer is no oracle: whom the vault would refuse anyway never gets to it.
func TestNobodyElseCanAskWhatWasRecorded(t *testing.T) {
	f := start(t)
	f.recorded = func(context.Context, ident.Tenant, func([]byte) bool) (vault.Trace, error) {
		t.Error("it was looked for")
		return vault.Trace{}, nil
	}
	stranger, nobody, short := f.write(acme, "bank", iban), f.write(acme, "bank", iban), f.write(acme, "bank", "abc")
	stranger.Actor.Tenant = globex
	nobody.Actor = ident.Principal{}
	sealed := f.write(acme, "bank", "")
	sealed.Fields, sealed.Sealed = nil, []byte("not one of ours, whatever it may be: it has the wrong form and no nonce at all")
	for what, w := range map[string]vault.Write{"another tenant's admin": stranger, "nobody": nobody, "a value that is too short": short, "a ciphertext of no nonce": sealed} {
		if _, err := f.Set(t.Context(), w); err == nil {
			t.Errorf("%s is let through", what)
		}
	}
	f.Seal()
	if _, err := f.Set(t.Context(), f.write(acme, "bank", iban)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a sealed vault says %v", err)
	}
}
