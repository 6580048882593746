package gate_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/incident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// incidents are all of the tenant, the newest first.
func (w *world) incidents() []incident.Incident {
	w.t.Helper()
	l, err := w.store.Incidents(w.t.Context(), acme, incident.Filter{Limit: 200})
	w.must(err)
	return l
}

// store keeps another Secret.
func (w *world) keep(name, value string) {
	w.t.Helper()
	_, err := w.realVault.Set(w.t.Context(), vault.Write{Tenant: acme, Name: name, Fields: map[string][]byte{"token": []byte(value)},
		Actor: ident.Principal{Tenant: acme, Kind: ident.System, ID: "setup"}})
	w.must(err)
}

// short is a value that is only found whole.
const short = "zX81kQ0vT5mBn2"

func TestAnIncidentSaysWhereTheSecretWas(t *testing.T) {
	secret, slashed := canary+"-erp-key", "q7/Zk~2Lw/"+canary+"/x9"
	args := func(s string) intent.Proposal {
		return intent.Proposal{Connection: "erp-write", Tool: "createVendor", Args: json.RawMessage(s)}
	}
	for name, c := range map[string]struct {
		p    intent.Proposal
		want string
	}{
		"a leaf":              {args(`{"a":"x","vendor":{"notes":["y","` + secret + `"]}}`), "arguments: /vendor/notes/1"},
		"an escape":           {args(`{"a/b":"\u0063` + secret[1:] + `"}`), "arguments: /a~1b"},
		"what can't be seen":  {args(`{"no\u202ete\n":["` + secret + `"]}`), `arguments: /no\u202ete\u000a/0`},
		"a member's name":     {args(`{"vendor":{"` + secret + `":1}}`), "arguments: /vendor"},
		"a name at the top":   {args(`{"` + secret + `":1}`), "arguments"},
		"a name with slashes": {args(`{"vendor":{"` + slashed + `":{"x":1}}}`), "arguments: /vendor"},
		"under such a name":   {args(`{"` + slashed + `":{"x":"` + slashed + `"}}`), "arguments"},
		"what is no JSON":     {args(`{"a":` + secret), "arguments"},
		"a text of JSON":      {args(`"` + secret + `"`), "arguments"},
		"the reason":          {intent.Proposal{Connection: "erp-read", Tool: "findVendors", Reason: secret}, "reason"},
		"the key":             {intent.Proposal{Connection: "erp-read", Tool: "findVendors", Key: secret}, "key"},
		"the Connection":      {intent.Proposal{Connection: secret, Tool: "x"}, "connection"},
		"the Tool":            {intent.Proposal{Connection: "x", Tool: secret}, "tool"},
		"both":                {intent.Proposal{Connection: "x", Tool: "y", Reason: secret, Args: json.RawMessage(`{"a":"` + secret + `"}`)}, "arguments: /a"},
		"over two texts":      {intent.Proposal{Connection: short[:7], Tool: short[7:]}, "reason, key, connection, tool"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.keep("slashed", slashed)
			w.keep("short", short)
			who := w.start()
			_, err := w.Admit(t.Context(), who, c.p)
			w.wantKind(err, fault.Denied)
			l := w.incidents()
			if len(l) != 1 || l[0].Place != c.want || l[0].Kind != incident.Sent || l[0].Run != who.ID || l[0].Worker != intent.Outside || l[0].Count != 1 {
				t.Fatalf("%+v", l)
			}
			all, err := json.Marshal([]any{l, w.entries(audit.WorkerIncident), w.rail(who.ID)})
			w.must(err)
			for _, s := range []string{canary, slashed[:8], strings.NewReplacer("~", "~0", "/", "~1").Replace(slashed)[:10]} {
				if strings.Contains(string(all), s) {
					t.Errorf("a part of it is on record: %s", all)
				}
			}
			if ev := w.entries(audit.WorkerIncident); len(ev) != 1 || ev[0].Fields["incident"] != l[0].ID || ev[0].Fields["place"] != c.want {
				t.Errorf("the entry is %+v", ev)
			}
		})
	}
}

// What the Worker and the requester get is the same, byte by byte, whichever
// Secret was met, of whichever Connection, and where; so is what is done for it.
func TestNobodyLearnsWhichSecretWasMet(t *testing.T) {
	values := map[string]string{"of-the-connection": "Pk3vX9s-Tq71LmZ0-wB5", "of-another": "jR8yU2d.Nc64HfE1.oK9", "of-another-team-and-longer": strings.Repeat("Gw5x", 3) + "-Va7bS0iYtC2eMzD4"}
	var mu sync.Mutex
	seen := map[string][]string{}
	t.Run("each", func(t *testing.T) {
		each(t, values, func(place, shown string) { mu.Lock(); seen[place] = append(seen[place], shown); mu.Unlock() })
	})
	for place, all := range seen {
		if slices.Sort(all); len(all) != 3 || len(slices.Compact(all)) != 1 {
			t.Errorf("in %s it shows which one it was:\n%s", place, strings.Join(all, "\n"))
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d places were tried", len(seen))
	}
}

// each sends every value in every place, and gives all that the Worker and the
// requester are shown.
func each(t *testing.T, values map[string]string, shows func(place, shown string)) {
	for name, value := range values {
		for place, send := range map[string]func(*world, ident.Principal) error{
			"arguments": func(w *world, who ident.Principal) error {
				_, err := w.Admit(w.t.Context(), who, create(value))
				return err
			},
			"a reason": func(w *world, who ident.Principal) error {
				p := find("x")
				p.Reason = value
				_, err := w.Admit(w.t.Context(), who, p)
				return err
			},
			"an observation": func(w *world, who ident.Principal) error {
				return w.Observe(w.t.Context(), who, explain.Inference, "I saw", value)
			},
			"a verdict": func(w *world, who ident.Principal) error { return w.EndRun(w.t.Context(), who, "done", value) },
			"the input": func(w *world, _ ident.Principal) error {
				_, err := w.StartRun(w.t.Context(), sam, gate.Start{Mission: "onboard", Outside: true, Input: json.RawMessage(`{"name":"` + value + `"}`)})
				return err
			},
		} {
			t.Run(name+" in "+place, func(t *testing.T) {
				w := newWorld(t)
				w.mission.Form = []resource.Field{{Name: "name"}}
				w.apply()
				for name, value := range values {
					w.keep(name, value)
				}
				who := w.start()
				before := len(w.entries(""))
				err := send(w, who)
				w.wantKind(err, fault.Denied)
				r, e := w.store.Run(t.Context(), acme, who.ID)
				w.must(e)
				rail := w.rail(who.ID)
				for i := range rail {
					rail[i].Run, rail[i].Intent = "", ""
				}
				shown, e := json.Marshal([]any{err.Error(), fault.KindOf(err), fault.HintOf(err), r.Incidents, r.State, rail[1:], len(w.entries("")) - before, w.looked})
				w.must(e)
				if strings.Contains(string(shown), name) {
					t.Errorf("they learn its name: %s", shown)
				}
				if l := w.incidents(); len(l) != 1 || l[0].Secret != name {
					t.Errorf("the record has %+v", l)
				}
				shows(place, string(shown))
			})
		}
	}
}

func TestAKnownSecretThatAPersonTypesIsAnIncident(t *testing.T) {
	w := newWorld(t)
	w.mission.Form = []resource.Field{{Name: "name"}, {Name: "comment"}}
	w.apply()
	secret := canary + "-erp-key"
	try := func(s gate.Start) {
		t.Helper()
		s.Mission, s.Outside = "onboard", true
		_, err := w.StartRun(t.Context(), sam, s)
		w.wantKind(err, fault.Denied)
		if text := err.Error() + fault.HintOf(err); strings.Contains(text, "erp-key") || strings.Contains(text, "comment") {
			t.Errorf("they learn more: %s", text)
		}
	}
	for range 30 {
		try(gate.Start{Input: json.RawMessage(`{"name":"x","comment":"use ` + secret + `"}`)})
	}
	try(gate.Start{Key: secret})
	l := w.incidents()
	if len(l) != 2 {
		t.Fatalf("%+v", l)
	}
	byPlace := map[string]incident.Incident{l[0].Place: l[0], l[1].Place: l[1]}
	if i := byPlace["input: /comment"]; i.Count != 30 || i.Kind != incident.Typed || i.Actor != sam.String() || i.Mission != "onboard" || i.Run != "" || i.Secret != "erp-key" {
		t.Errorf("%+v", i)
	}
	if byPlace["key"].Count != 1 {
		t.Errorf("%+v", byPlace)
	}
	if n := len(w.entries(audit.IncidentOpened)); n != 2 {
		t.Errorf("%d entries for 31 tries", n)
	}
	w.broken["Incident"] = errStore
	_, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard", Outside: true, Key: secret})
	w.wantKind(err, fault.Unavailable)
}

// pieces proposes a read whose rendered request has short, which its arguments have
// in two pieces.
func pieces(more string) intent.Proposal {
	return intent.Proposal{Connection: "erp-read", Tool: "findVendors", Args: json.RawMessage(fmt.Sprintf(`{"a":%q,"b":%q,"more":%q}`, short[:7], short[7:], more))}
}

func TestASecretInPiecesIsStoppedAtTheDoorAndCounted(t *testing.T) {
	w := newWorld(t)
	w.keep("in-pieces", short)
	w.joins = true
	who := w.start()
	for n := range 3 {
		it, err := w.Admit(t.Context(), who, pieces(fmt.Sprint(n)))
		w.must(err)
		if it.State != intent.Failed || strings.Contains(fmt.Sprint(it.Why, it.Result), "in-pieces") || !strings.Contains(it.Why, "the request carries a known secret") {
			t.Fatalf("it is %s: %s %+v", it.State, it.Why, it.Result)
		}
	}
	w.wantArrived(0)
	l := w.incidents()
	if len(l) != 1 || l[0].Kind != incident.Carried || l[0].Secret != "in-pieces" || l[0].Place != "request: URL" || l[0].Count != 3 || l[0].Connection != "erp-read" {
		t.Errorf("%+v", l)
	}
	r, err := w.store.Run(t.Context(), acme, who.ID)
	if w.must(err); r.State != intent.RunEnded || r.Verdict != "stopped" || r.Incidents != 3 {
		t.Errorf("the Run is %+v", r)
	}
	for _, o := range w.rail(who.ID) {
		if strings.Contains(o.Title+o.Text+string(o.Data), "in-pieces") {
			t.Errorf("the rail names it: %+v", o)
		}
	}
	if ev := w.entries(audit.IncidentOpened); len(ev) != 3 || ev[0].Intent == "" || ev[0].Fields["place"] != "request: URL" {
		t.Errorf("the record has %+v", ev)
	}
}

func TestASecretThatIsStoredWhileAnActionWaitsIsStoppedAtTheDoor(t *testing.T) {
	w := newWorld(t)
	const later = "cnry-44Tz0Qw8-stored-later"
	it := w.admit(w.start(), create(later))
	w.approve(it, nil)
	w.pass(time.Minute)
	w.keep("later", later)
	w.must(w.dispatch(it))
	w.wantArrived(0)
	l := w.incidents()
	if len(l) != 1 || l[0].Kind != incident.Carried || l[0].Place != "request: body" || l[0].Intent != it.ID {
		t.Errorf("%+v", l)
	}
	s, err := w.desk().Show(t.Context(), auditor, l[0].ID)
	if w.must(err); len(s.Story.Hypotheses) == 0 || s.Story.Hypotheses[0].Code != "after_proposal" {
		t.Errorf("it is told as %+v", s.Story.Hypotheses)
	}
}

func TestAnIncidentAtTheDoorThatCannotBeRecordedSaysSo(t *testing.T) {
	w := newWorld(t)
	w.keep("in-pieces", short)
	w.joins = true
	who := w.start()
	w.broken["Incident"] = errStore
	it, err := w.Admit(t.Context(), who, pieces(""))
	if err != nil || it.State != intent.Failed || !strings.Contains(it.Why, "recording an incident") {
		t.Errorf("%+v, %v", it, err)
	}
	w.wantArrived(0)
}

func TestWhatLooksLikeASecretIsAnIncident(t *testing.T) {
	w := newWorld(t)
	w.form()
	who := w.startForm()
	w.says(`{"data":[{"id":1,"token":"` + minted + `"}]}`)
	w.read(who, "a")
	_, err := w.HandIn(t.Context(), sam, handed(`{"name":"x","notes":"use `+another+`"}`))
	w.must(err)
	l := w.incidents()
	if len(l) != 2 {
		t.Fatalf("%+v", l)
	}
	by := map[incident.Kind]incident.Incident{l[0].Kind: l[0], l[1].Kind: l[1]}
	met, in := by[incident.Met], by[incident.HandedIn]
	if met.Place != "answer: /data/0/token" || met.Run != who.ID || met.Connection != "erp-read" || met.Confidence != "sure" || met.Intent == "" || met.NotKept != "" {
		t.Errorf("what was met: %+v", met)
	}
	if in.Place != "input: /notes" || in.Run != "" || in.Actor != sam.String() || in.Mission != "onboard" {
		t.Errorf("what was handed in: %+v", in)
	}
	if kept := w.kept(); len(kept) != 2 || !slices.Contains(kept, met.Quarantine) || !slices.Contains(kept, in.Quarantine) || met.Quarantine == in.Quarantine {
		t.Errorf("%v are kept, as %s and %s", kept, met.Quarantine, in.Quarantine)
	}
	r, err := w.store.Run(t.Context(), acme, who.ID)
	if w.must(err); r.Incidents != 0 {
		t.Error("what a system answered counts against the Run")
	}
	for _, i := range l {
		s, err := w.desk().Show(t.Context(), auditor, i.ID)
		if w.must(err); len(s.Story.Hypotheses) == 0 || !strings.Contains(fmt.Sprint(s.Story.Next), "incident promote "+i.ID) {
			t.Errorf("it is told as %+v", s.Story)
		}
	}
	admin := auditor
	admin.Roles = []ident.Role{ident.Admin}
	_, _, err = w.desk().Promote(t.Context(), admin, in.ID, incident.Promotion{Name: "handed-in", AnyOrigin: true, Scope: &vault.Scope{}}, w.now)
	w.must(err)
	_, err = w.desk().Dismiss(t.Context(), admin, met.ID, "", w.now)
	w.must(err)
	if !w.realVault.Dismissed(acme, []byte(minted)) || w.realVault.Dismissed(acme, []byte(another)) {
		t.Error("another value was let through")
	}
}

// startForm starts a Run of a Mission with a form.
func (w *world) startForm() ident.Principal {
	w.t.Helper()
	r, err := w.StartRun(w.t.Context(), sam, gate.Start{Mission: "onboard", Via: "api", Outside: true, Input: json.RawMessage(`{"name":"x"}`)})
	w.must(err)
	return worker(r)
}

// A system, or a person, can't fill the list or the record.
func TestManyThatLookLikeSecretsAreFewIncidents(t *testing.T) {
	w := newWorld(t)
	w.form()
	w.mission.Form[1].MaxLen = 20_000
	w.apply()
	who := w.startForm()
	var parts []string
	for i := range 300 {
		parts = append(parts, fmt.Sprintf(`"glpat-Zx81kQ0vT5mBn2WcY%03d"`, i))
	}
	w.says("[" + strings.Join(parts, ",") + "]")
	w.read(who, "a")
	w.read(who, "b")
	_, err := w.HandIn(t.Context(), sam, handed(`{"name":"x","notes":"`+strings.NewReplacer(`"`, "", "Zx81kQ0vT5mBn2WcY", "Hw39pL6sD4jRf8UgE").Replace(strings.Join(parts, " "))+`"}`))
	w.must(err)
	if l := w.incidents(); len(l) > 2*incident.MostAnHour || len(l) < incident.MostAnHour {
		t.Errorf("%d incidents", len(l))
	}
	if n := len(w.entries(audit.IncidentOpened)); n > 3*incident.MostAnHour {
		t.Errorf("%d entries", n)
	}
	if n := len(w.rail(who.ID)); n > 8 {
		t.Errorf("the rail has %d Observations", n)
	}
}

// What does not fit the form is looked through too.
func TestAKnownSecretInWhatDoesNotFitIsAnIncident(t *testing.T) {
	w := newWorld(t)
	w.form()
	for _, input := range []string{`{"nme":"` + canary + `-erp-key"}`, `{"name":"` + canary + `-erp-key"`, `["` + canary + `-erp-key"]`} {
		_, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard", Outside: true, Input: json.RawMessage(input)})
		w.wantKind(err, fault.Invalid)
	}
	if l := w.incidents(); len(l) != 3 {
		t.Errorf("%+v", l)
	}
}

// desk is where an auditor looks.
func (w *world) desk() *incident.Desk {
	w.t.Helper()
	d, err := incident.NewDesk(incident.Config{Store: w.store, Records: w.store, Audit: w.store.Audit(), Secrets: w.realVault, Quarantine: w.realVault,
		Goal: func(ident.Tenant, string) string { return w.mission.Goal }})
	w.must(err)
	return d
}

var auditor = ident.Principal{Tenant: acme, Kind: ident.Person, ID: "acc_aud", Name: "Aud", Roles: []ident.Role{ident.Auditor}}

// A value that was read, typed or said before anybody stored it as a Secret is in
// what is on record, and the story finds it there.
func TestTheStoryFindsWhatWasStoredLater(t *testing.T) {
	const answered, typed, said = "QeT81/Lm40x.Zp93v", "Hw39pL6s/D4jRf8Ug", "Bv52kN0r/X7cGy1Mq"
	w := newWorld(t)
	w.mission.Form, w.mission.Goal = []resource.Field{{Name: "name"}}, "Use "+said+" where it is asked for."
	w.apply()
	r, err := w.StartRun(t.Context(), sam, gate.Start{Mission: "onboard", Via: "api", Outside: true, Input: json.RawMessage(`{"name":"` + typed + `"}`)})
	w.must(err)
	w.says(`{"note":"it is ` + strings.ReplaceAll(answered, "/", `\/`) + `"}`)
	read := w.admit(worker(r), find("x"))
	w.pass(time.Minute)
	for name, value := range map[string]string{"answered": answered, "typed": typed, "said": said} {
		w.keep(name, value)
	}
	for _, value := range []string{answered, typed} {
		_, err := w.Admit(t.Context(), worker(r), create(value))
		w.wantKind(err, fault.Denied)
	}
	w.wantKind(w.Observe(t.Context(), worker(r), explain.Check, "", said), fault.Denied)
	want := map[string]string{"answered": "stored_later", "typed": "in_input", "said": "in_goal"}
	for _, i := range w.incidents() {
		s, err := w.desk().Show(t.Context(), auditor, i.ID)
		if w.must(err); s.Story.Hypotheses[0].Code != want[i.Secret] || s.Story.Hypotheses[0].Sure != incident.Certain {
			t.Errorf("%s is told as %+v", i.Secret, s.Story.Hypotheses)
		}
		if i.Secret == "answered" && s.Story.Hypotheses[0].Evidence[0].Intent != read.ID {
			t.Errorf("the answer is that of %+v", s.Story.Hypotheses[0].Evidence)
		}
		b, err := json.Marshal(s)
		w.must(err)
		for _, value := range []string{answered, typed, said} {
			if strings.Contains(string(b), value[:8]) {
				t.Errorf("the story of %s has a value: %s", i.Secret, b)
			}
		}
		delete(want, i.Secret)
	}
	if len(want) != 0 {
		t.Errorf("no incident of %v", want)
	}
}

// Who sends many guesses at once must not see from the time that it takes which one
// was right: as much is looked at wherever it is.
func TestAsMuchIsLookedAtWhereverTheSecretIs(t *testing.T) {
	looked := map[int]bool{}
	for at := range 50 {
		guesses := make([]string, 50)
		for i := range guesses {
			guesses[i] = fmt.Sprintf("guess%02d", i)
		}
		doc, err := json.Marshal(guesses)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		place := gate.PlaceIn("arguments", doc, func(b []byte) bool { n++; return string(b) == guesses[at] })
		if place != fmt.Sprintf("arguments: /%d", at) {
			t.Errorf("it is at %q", place)
		}
		looked[n] = true
	}
	if len(looked) != 1 {
		t.Errorf("so many texts were looked at: %v", looked)
	}
}

// FuzzPlaceIn: whatever a Worker sends, a place is short, visible, and has no secret
// in it, also not as the pointer's escapes write it.
func FuzzPlaceIn(f *testing.F) {
	const secret, escaped = "s3/cr~t", "s3~1cr~0t"
	for _, s := range []string{`{"a":"s3/cr~t"}`, `{"s3/cr~t":{"s3/cr~t":1}}`, `{"s3":{"cr~t":"s3/cr~t"}}`, `["s3\/cr~t"]`, `"s3/cr~t"`, `{"a":s3/cr~t`, `{"\u202e":["s3/cr~t"]}`,
		`{"s3~1cr~0t":"s3/cr~t"}`, `{"s3/":{"cr~t":"s3/cr~t"}}`, "{\"s3/\u00a0cr~t\":\"s3/cr~t\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		place := gate.PlaceIn("arguments", []byte(doc), func(b []byte) bool { return strings.Contains(string(b), secret) })
		if !strings.HasPrefix(place, "arguments") || len(place) > 1000 || strings.Contains(place, secret) {
			t.Errorf("%q is at %q", doc, place)
		}
		if strings.Contains(place, escaped) && !strings.Contains(doc, escaped) && !strings.Contains(doc, `\u`) {
			t.Errorf("%q is at %q", doc, place)
		}
		for _, r := range place {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is at %q", doc, place)
			}
		}
	})
}

// What an answer had taken out is named on the record, as far as the marks say; a
// system that writes marks of its own does not fill it.
func TestAnOutcomeNamesWhatWasTakenOut(t *testing.T) {
	w := newWorld(t)
	who := w.start()
	forged := ""
	for n := range 100 {
		forged += fmt.Sprintf("[secret:x%02d][secret:No Name][secret:-]", n)
	}
	w.answer = func(tool, _ string) connector.Answer {
		text := "it has " + canary + "-model-key and [secret:erp-key]"
		if tool == "createVendor" {
			text = forged
		}
		body, err := json.Marshal(text)
		w.must(err)
		return connector.Answer{Outcome: connector.Done, Status: http.StatusOK, Body: body}
	}
	w.policy(unattended)
	w.admit(who, find("x"))
	w.admit(who, create("y"))
	es := w.entries(audit.IntentOutcome)
	if got := fmt.Sprint(es[0].Fields["redacted"]); got != "[erp-key model-key]" {
		t.Errorf("the first names %s", got)
	}
	if got, _ := es[1].Fields["redacted"].([]string); len(got) != 20 || got[0] != "x00" {
		t.Errorf("the second names %v", got)
	}
}
