package demo_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"sallyport.dev/internal/incident"
)

// incite makes an incident of each kind that somebody without a system of their own
// can make: a Worker sends known secrets as values, as names on the way to a value
// and encoded; a requester types one into a form and as a key. One of them is closed
// with a note that would have a secret in it.
func (w *world) incite() {
	w.t.Helper()
	for n, d := range doors {
		secret := d.own().Value
		k := w.outside("requester", "vendor-onboarding", map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"})
		for _, args := range []map[string]any{
			{"name": "Acme", "notes": []any{1, map[string]any{"deep/er~": "it is " + secret}}},
			{"name": "Acme", "more": map[string]any{secret: map[string]any{"x": hex.EncodeToString([]byte(secret))}}},
		} {
			_, err := k.propose(map[string]any{"connection": "erp-write", "tool": "createVendor", "args": args, "reason": "x"})
			if problemOf(err).Kind != "denied" {
				w.t.Errorf("a proposal with the secret of %s: %v", d.name, err)
			}
		}
		w.must(k.call("POST", "/v1/runs/"+k.run+"/end", map[string]any{"verdict": "done"}, nil))
		start := map[string]any{"outside": true, "input": map[string]any{"name": "Acme " + secret, "country": "DE", "tax_id": "DE129274202"}}
		if n%2 == 0 {
			start = map[string]any{"outside": true, "input": map[string]any{"name": "Acme", "country": "DE", "tax_id": "DE129274202"}, "key": secret}
		}
		if err := w.as("requester").Call(w.t.Context(), "POST", "/v1/missions/vendor-onboarding/runs", start, nil); !strings.Contains(fmt.Sprint(problemOf(err).Kind), "denied") && problemOf(err).Kind != "invalid" {
			w.t.Errorf("a start with the secret of %s: %v", d.name, err)
		}
	}
	var l struct{ Incidents []incident.Incident }
	w.must(w.as("admin").Call(w.t.Context(), "GET", "/v1/incidents?limit=200", nil, &l))
	kinds := map[incident.Kind]int{}
	for _, i := range l.Incidents {
		kinds[i.Kind]++
	}
	if kinds[incident.Sent] < len(doors) || kinds[incident.Typed] == 0 {
		w.t.Fatalf("there are incidents of %v", kinds)
	}
	path := "/v1/incidents/" + l.Incidents[0].ID + "/close"
	if err := w.as("admin").Call(w.t.Context(), "POST", path, incident.Word{Outcome: incident.Explained, Note: "it was " + doors[0].own().Value}, nil); problemOf(err).Kind != "denied" {
		w.t.Errorf("a note with a secret: %v", err)
	}
	w.must(w.as("admin").Call(w.t.Context(), "POST", path, incident.Word{Outcome: incident.Explained, Note: "a test"}, nil))
	b, err := json.Marshal(l)
	w.must(err)
	for _, d := range doors {
		if strings.Contains(string(b), d.own().Value) {
			w.t.Errorf("the list of incidents has the secret of %s", d.name)
		}
	}
}
