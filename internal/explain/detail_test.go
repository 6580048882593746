package explain_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/origin"
)

// everywhere is a Detail with a text at every place that can have one.
func everywhere(s string) *explain.Detail {
	v, _ := json.Marshal(map[string]string{s: s})
	return &explain.Detail{
		Label: s, Goal: &explain.Purpose{Mission: s, Goal: s, Starter: s, Via: s, Worker: s},
		Intent: &explain.Proposal{Connection: s, Tool: s, Reason: s, Source: s, Args: intent.SHA256(nil), Origins: []origin.Origin{{At: s, Part: s, Where: s}}},
		Rule:   &explain.Rule{Effect: "ask", Why: s, Statements: []explain.Statement{{ID: s, Title: s}}, Approvers: []string{s}},
		Decision: &explain.Decided{ID: s, By: s, Needs: []string{s}, Digest: intent.SHA256(nil), Votes: []explain.Vote{{By: s, Team: s}},
			Edits: []intent.Change{{Path: s, Was: v, Is: v}}},
		Use: &explain.KeyUse{Secret: s, Connection: s, Place: s}, Outcome: &explain.Outcome{State: s, Edited: s}, WhyNot: &explain.WhyNot{Why: s, Hint: s}, Withheld: s,
	}
}

func TestEveryTextOfADetailIsScrubbed(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	for name, s := range map[string]string{"known": canary, "looks like one": "glpat-Zx81kQ0vT5mBn2WcY7ra"} {
		d := r.Clean(explain.Observation{Tenant: "acme", Detail: everywhere("a " + s + " b")}).Detail
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), s) || d.WhyNot == nil || d.Use == nil || !strings.HasPrefix(d.WhyNot.Why, "a [secret") || d.Intent.Args != intent.SHA256(nil) || d.Decision.Digest != intent.SHA256(nil) {
			t.Errorf("%s: it is %s", name, text)
		}
	}
	if d := r.Clean(explain.Observation{Tenant: "acme"}).Detail; d != nil {
		t.Errorf("nothing became %+v", d)
	}
}

// A number in a changed argument can be a secret too, and then it is no number.
func TestADetailIsBounded(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	d := &explain.Detail{Rule: &explain.Rule{}, Decision: &explain.Decided{}, Intent: &explain.Proposal{}}
	for range 50 {
		d.Intent.Origins = append(d.Intent.Origins, origin.Origin{At: "/x"})
		d.Decision.Edits = append(d.Decision.Edits, intent.Change{Path: "/x", Is: json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)})
	}
	d = r.Clean(explain.Observation{Tenant: "acme", Detail: d}).Detail
	if len(d.Intent.Origins) != 20 || !d.Intent.Cut || len(d.Decision.Edits) != 21 || string(d.Decision.Edits[0].Is) != `{"bytes":5002,"truncated":true}` {
		t.Errorf("%d origins, %d edits, %.80s", len(d.Intent.Origins), len(d.Decision.Edits), d.Decision.Edits[0].Is)
	}
	if d := r.Clean(explain.Observation{Tenant: "acme", Detail: everywhere(strings.Repeat("word ", 2000))}).Detail; d.Withheld != "it is too long" || d.WhyNot != nil {
		t.Errorf("what is too long is %+v", d)
	}
}

func TestOnlyPeopleAndTheBoundaryAreTrusted(t *testing.T) {
	r := explain.New(&memory{}, knows(t))
	for _, k := range explain.Kinds {
		want := k == explain.Goal || k == explain.Use || k == explain.Check || k == explain.Decision || k == explain.Inference
		if o := r.Clean(explain.Observation{Tenant: "acme", Kind: k, Title: "x"}); o.Trusted != want || o.From == "" {
			t.Errorf("%s of the Boundary: %t, of %s", k, o.Trusted, o.From)
		}
		if o := r.Clean(explain.Observation{Tenant: "acme", Kind: k, Title: explain.Said("x"), Trusted: true, From: explain.FromPerson}); o.Trusted || o.From != explain.FromWorker {
			t.Errorf("%s of a Worker is trusted", k)
		}
	}
}

func TestARailThatIsTooLongTakesNoMoreOfItsWorker(t *testing.T) {
	m := &memory{obs: map[string][]explain.Observation{"acme/run_1": make([]explain.Observation, 10_000)}}
	for i := range m.obs["acme/run_1"] {
		m.obs["acme/run_1"][i].Seq = int64(i + 1)
	}
	r := explain.New(m, knows(t))
	if err := r.HasRoom(t.Context(), "acme", "run_1"); !fault.Is(err, fault.Limit) {
		t.Errorf("it says %v", err)
	}
	if err := r.HasRoom(t.Context(), "acme", "run_2"); err != nil {
		t.Error(err)
	}
}

func TestTheDocumentHasALineForEveryKindAndPart(t *testing.T) {
	doc, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range explain.Kinds {
		if !strings.Contains(string(doc), "\n| `"+string(k)+"` |") {
			t.Errorf("docs/explain.md has no line for the kind %s", k)
		}
	}
	var parts map[string]any
	b, err := json.Marshal(everywhere("x"))
	if err == nil {
		err = json.Unmarshal(b, &parts)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name := range parts {
		if !strings.Contains(string(doc), "\n| `"+name+"` |") {
			t.Errorf("docs/explain.md has no line for the part %s", name)
		}
	}
}

// FuzzDetail: whatever the texts are, what comes out is JSON, bounded, and has no
// known secret; and cleaning it again changes nothing.
func FuzzDetail(f *testing.F) {
	for _, s := range []string{"", "x", canary, `\"` + canary, "a\x00b", "\xff", strings.Repeat("y", 20_000), "1e999", `{"a":1}`} {
		f.Add(s)
	}
	set, err := buildSet()
	if err != nil {
		f.Fatal(err)
	}
	r := explain.New(&memory{}, set)
	f.Fuzz(func(t *testing.T, s string) {
		o := r.Clean(explain.Observation{Tenant: "acme", Detail: everywhere(s)})
		b, err := json.Marshal(o.Detail)
		if err != nil || len(b) > 17<<10 || strings.Contains(string(b), canary) || !utf8.Valid(b) {
			t.Fatalf("%v: %d bytes: %.200s", err, len(b), b)
		}
		again, err := json.Marshal(r.Clean(o).Detail)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%v: again it is %.200s, and was %.200s", err, again, b)
		}
	})
}
