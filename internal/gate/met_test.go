package gate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Two values of forms that nothing else has, made for this test.
const (
	minted  = "glpat-Zx81kQ0vT5mBn2WcY7ra"
	another = "glpat-Hw39pL6sD4jRf8UgE1tk"
)

// says makes the system answer with a JSON text.
func (w *world) says(body string) {
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json", Body: json.RawMessage(body)}
	}
}

// read makes a fresh read and gives the answer as the Worker sees it, and all
// that is on record.
func (w *world) read(who ident.Principal, tag string) (body, all string) {
	w.t.Helper()
	it := w.admit(who, find(tag))
	if it.State != intent.Committed {
		w.t.Fatalf("the read is %s: %s", it.State, it.Why)
	}
	b, err := json.Marshal([]any{it, w.stored(it.ID), w.rail(who.ID)})
	w.must(err)
	return string(it.Result.Body), string(b)
}

func TestASecretThatNobodyStoredIsTakenOutOfAnAnswerAndKept(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.says(`{"data":[{"id":1,"token":"` + minted + `"}],"note":"x"}`)
	body, all := w.read(who, "a")
	if strings.Contains(all, minted) || !strings.Contains(body, `"token":"[secret?:`) || !strings.Contains(body, `"note":"x"`) {
		t.Errorf("the Worker sees %s", body)
	}
	// What was met once is known from then on, in every encoding.
	w.says(fmt.Sprintf(`{"plain":%q,"hex":"%x"}`, minted, minted))
	body, all = w.read(who, "b")
	if strings.Contains(all, minted) || strings.Contains(all, fmt.Sprintf("%x", minted)) || !strings.Contains(body, "[secret:quarantined-") {
		t.Errorf("the Worker sees %s", body)
	}
}

func TestWhatAPersonCalledNoSecretPasses(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.says(`{"token":"` + minted + `","other":"` + another + `"}`)
	_, _ = w.read(who, "a")
	for _, name := range w.kept() {
		if w.realVault.Dismissed(acme, []byte(minted)) {
			break
		}
		_, err := w.realVault.Dismiss(t.Context(), acme, name, ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"})
		w.must(err)
	}
	body, _ := w.read(who, "b")
	for _, value := range []string{minted, another} {
		if dismissed := w.realVault.Dismissed(acme, []byte(value)); strings.Contains(body, value) != dismissed {
			t.Errorf("%s was dismissed: %v; the Worker sees %s", value, dismissed, body)
		}
	}
}

func TestAPlaceThatTheToolCallsNoSecretPasses(t *testing.T) {
	w := newWorld(t)
	tool := w.tools["findVendors"]
	tool.NotSecret = []string{"/items/*/secret", "/next~1token"}
	w.tools["findVendors"] = tool
	w.apply()
	const cursor = "q8Zk1vB7xN3mT5wR9yL2"
	w.says(`{"items":[{"secret":"` + cursor + `a"},{"secret":"` + cursor + `b","deep":{"secret":"` + cursor + `c"}}],"next/token":"` + cursor + `d","secret":"` + cursor + `e"}`)
	body, _ := w.read(w.start(), "a")
	for suffix, passes := range map[string]bool{"a": true, "b": true, "c": false, "d": true, "e": false} {
		if strings.Contains(body, cursor+suffix) != passes {
			t.Errorf("%s passes: %v in %s", suffix, !passes, body)
		}
	}
	// A known Secret is taken out there too.
	w.says(`{"items":[{"secret":"` + canary + `-erp-key"}]}`)
	if body, all := w.read(w.start(), "b"); strings.Contains(all, canary) {
		t.Errorf("the Worker sees %s", body)
	}
}

// The value that is kept is the one that would be used: without JSON's escapes.
func TestWhatIsKeptIsTheValueItself(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.says(`{"password":"Kq0\/Zx\u0041W4v81mPz"}`)
	if body, _ := w.read(who, "a"); strings.Contains(body, "W4v81mPz") {
		t.Errorf("the Worker sees %s", body)
	}
	names := w.kept()
	if len(names) != 1 {
		t.Fatalf("%v are kept", names)
	}
	_, err := w.realVault.Dismiss(t.Context(), acme, names[0], ident.Principal{Tenant: acme, Kind: ident.System, ID: "test"})
	w.must(err)
	if !w.realVault.Dismissed(acme, []byte("Kq0/ZxAW4v81mPz")) {
		t.Error("another value was kept")
	}
}

// A system can't fill the quarantine with one answer, and what does not fit is
// taken out all the same.
func TestAnAnswerFullOfSecretsIsTakenOutWhole(t *testing.T) {
	w := newWorld(t)
	var parts []string
	for i := range 100 {
		parts = append(parts, fmt.Sprintf(`"glpat-Zx81kQ0vT5mBn2WcY%03d"`, i))
	}
	w.says("[" + strings.Join(parts, ",") + "]")
	body, _ := w.read(w.start(), "a")
	if strings.Contains(body, "glpat") || len(w.kept()) == 0 || len(w.kept()) > 20 {
		t.Errorf("%d are kept; the Worker sees %.300s", len(w.kept()), body)
	}
}

// The quarantine is there to learn from; that it can't be written takes nothing
// from the masking.
func TestWithoutAQuarantineItIsTakenOutToo(t *testing.T) {
	w := newWorld(t)
	w.broken["Quarantine"] = errors.New("down")
	w.says(`{"token":"` + minted + `"}`)
	if body, all := w.read(w.start(), "a"); strings.Contains(all, minted) || body == "" {
		t.Errorf("the Worker sees %s", body)
	}
}

// What a model says is the Worker's own: an action in it must stay exact.
func TestWhatAModelWritesStaysExact(t *testing.T) {
	w := newWorld(t)
	w.says(`{"text":"` + minted + `"}`)
	it := w.admit(w.start(), intent.Proposal{Connection: "model", Tool: "complete", Args: json.RawMessage(`{"name":"x"}`)})
	if !strings.Contains(string(it.Result.Body), minted) || len(w.kept()) != 0 {
		t.Errorf("it is %s", it.Result.Body)
	}
}

// A system must not choose what is blanked out of others' pages: a line of a key
// that it made up can be anybody's account number.
func TestALineOfAKeyThatASystemMadeUpIsNotKnown(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	const iban = "DE89370400440532013000"
	w.says(`{"key":"-----BEGIN PRIVATE KEY-----\n` + iban + `\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKjMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDu\n-----END PRIVATE KEY-----\n"}`)
	if body, _ := w.read(who, "a"); strings.Contains(body, iban) || len(w.kept()) != 1 {
		t.Fatalf("%v are kept; the Worker sees %s", w.kept(), body)
	}
	w.says(`{"iban":"` + iban + `"}`)
	if body, _ := w.read(who, "b"); !strings.Contains(body, iban) {
		t.Errorf("the Worker sees %s", body)
	}
	w.admit(who, find(iban)) // and may use it
}

// One Run can't fill the quarantine, and each value that is kept has an incident
// through which a person judges it.
func TestWhatIsKeptHasAnIncidentOfItsOwn(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	for n := range 2 {
		var parts []string
		for i := range 15 {
			parts = append(parts, fmt.Sprintf(`"glpat-Zx81kQ0vT5mBn2Wc%02d%03d"`, n, i))
		}
		w.says("[" + strings.Join(parts, ",") + "]")
		_, _ = w.read(who, fmt.Sprint(n))
	}
	judged := map[string]bool{}
	for _, in := range w.incidents() {
		judged[in.Quarantine] = true
	}
	for _, name := range w.kept() {
		if !judged[name] {
			t.Errorf("%s has no incident", name)
		}
	}
	if n := len(w.kept()); n < 15 || n > 20 {
		t.Errorf("%d are kept", n)
	}
}

// A place is in the record for ever: no name in it may be a secret, nor look like
// one.
func TestNoPlaceHasASecretInIt(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	w.says(`{"k":{"postgres://u:Zx81kQ0vT5mBn2W@h/db":{"token":"` + minted + `"}},"` + canary + `-erp-key/x":{"t":"` + another + `"}}`)
	_, all := w.read(who, "a")
	record, err := json.Marshal([]any{all, w.incidents(), w.entries("")})
	w.must(err)
	for _, s := range []string{"Zx81kQ0vT5mBn2W@", canary, minted, another} {
		if strings.Contains(string(record), s) {
			t.Errorf("%s is in %s", s, record)
		}
	}
}

func TestOnlyTheMediaTypeOfAnAnswerIsKept(t *testing.T) {
	w := newWorld(t)
	w.answer = func(string, string) connector.Answer {
		return connector.Answer{Outcome: connector.Done, Status: 200, Type: "application/json; t=" + minted, Body: json.RawMessage(`{}`)}
	}
	if _, all := w.read(w.start(), "a"); strings.Contains(all, minted) || !strings.Contains(all, "application/json") {
		t.Errorf("the record is %s", all)
	}
}
