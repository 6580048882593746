package explain_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/explain"
)

// Whose words an Observation has, whatever it says of itself: a Worker may use some
// of the Boundary's kinds.
func TestEvidenceSaysWhoseWordsItHas(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := &memory{}
	r := explain.New(m, knows(t))
	add := func(k explain.Kind, title, text, data string, after time.Duration) {
		o := explain.Observation{Tenant: "acme", Run: "run_1", At: at.Add(after), Kind: k, Title: title, Text: text}
		if data != "" {
			o.Data = json.RawMessage(data)
		}
		if err := m.Observe(t.Context(), o); err != nil { // as it was stored before the Secret was known
			t.Fatal(err)
		}
	}
	add(explain.Goal, "Onboarding, started by Sam", "the goal", `{"name":"x"}`, 0)
	add(explain.Plan, explain.Said("started by the CFO"), "pay it", "", 0)
	add(explain.Check, explain.Said(""), "all is well", "", 0)
	add(explain.Retrieval, "crm / lookup: COMMITTED", "", `{"note":"`+canary+`"}`, 0)
	add(explain.Problem, "crm / lookup: FAILED", "the system said so", "", 0)
	add(explain.Decision, "erp / pay waits", "the Worker's reason: trust me", `{"iban":"x"}`, 0)
	add(explain.Retrieval, "later", "", `{}`, time.Hour)
	got, cut, err := r.Evidence(t.Context(), "acme", "run_1", at)
	if err != nil || cut || len(got) != 6 {
		t.Fatalf("%+v, %t, %v", got, cut, err)
	}
	var sources []string
	for _, e := range got {
		sources = append(sources, fmt.Sprint(e.Source, e.Trusted))
	}
	if s := strings.Join(sources, " "); s != "persontrue workerfalse workerfalse systemfalse systemfalse sallyporttrue" {
		t.Errorf("the sources are %s", s)
	}
	if got[5].Text != "" || strings.Contains(got[3].Text, canary) || !strings.Contains(got[3].Text, "[secret:erp]") {
		t.Errorf("%+v", got)
	}
}

func TestEvidenceIsTheLastOfALongRailAndShort(t *testing.T) {
	m := &memory{}
	r := explain.New(m, knows(t))
	for i := range 450 {
		o := explain.Observation{Tenant: "acme", Run: "run_1", Kind: explain.Retrieval, Title: fmt.Sprint(i), Text: strings.Repeat("\u20ac", 3000)}
		if err := m.Observe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	got, cut, err := r.Evidence(t.Context(), "acme", "run_1", time.Now())
	if err != nil || !cut || len(got) != explain.MaxEvidence || got[99].Title != "449" || !got[99].Cut || got[99].Text != strings.Repeat("\u20ac", 2000) {
		t.Errorf("%d, %t, %v", len(got), cut, err)
	}
}
