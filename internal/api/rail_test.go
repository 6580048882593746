package api_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/gate"
)

// A Worker outside says what it wants people to know; whatever kind it chooses, it
// is marked as its words.
func TestAWorkerOutsidePutsItsWordsOnItsOwnRail(t *testing.T) {
	o := open(t, "requester", "auditor")
	s := o.run()
	path := "/v1/runs/" + s.Run.ID + "/observations"
	for _, k := range explain.WorkerKinds {
		o.call(s.Token, "POST", path, map[string]any{"kind": k, "title": "approved", "text": "because"}, 204, nil)
	}
	for _, k := range explain.Kinds {
		if w := o.do(s.Token, "POST", path, map[string]any{"kind": k, "title": "x"}); (w.Code == 204) != strings.Contains(fmt.Sprint(explain.WorkerKinds), string(k)) {
			t.Errorf("%s: %d %s", k, w.Code, w.Body)
		}
	}
	if w := o.do(o.as("requester"), "POST", path, map[string]any{"kind": "plan", "title": "x"}); w.Code != 403 {
		t.Errorf("a person writes on it: %d", w.Code)
	}
	var page api.Observations
	o.call(o.as("auditor"), "GET", path, nil, 200, &page)
	labels := 0
	for _, x := range page.Observations[1:] {
		if !strings.HasPrefix(x.Title, "The Worker says") || x.Trusted || x.From != explain.FromWorker {
			t.Errorf("it is taken for another's: %+v", x)
		}
		if x.Detail != nil && x.Detail.Label == explain.NotProof {
			labels++
		}
	}
	if labels != 8 || page.Observations[0].Kind != explain.Goal || !page.Observations[0].Trusted {
		t.Errorf("%d labels: %+v", labels, page.Observations[0])
	}
}

// A reader who was cut off goes on with the id of the last event, misses none and
// gets none twice.
func TestARailGoesOnWithLastEventID(t *testing.T) {
	o := open(t, "requester", "auditor")
	s := o.run()
	for i := range 5 {
		o.call(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/observations", map[string]any{"kind": "plan", "title": strconv.Itoa(i), "text": "a\nb"}, 204, nil)
	}
	o.call(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/end", map[string]any{"verdict": "done"}, 204, nil)
	read := func(query string, headers ...string) (ids []string, kinds []string) {
		w := o.do(o.as("auditor"), "GET", "/v1/runs/"+s.Run.ID+"/follow"+query, nil, append(headers, "Accept", "text/event-stream")...)
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		o.must(client.ReadEvents(w.Body, func(e client.Event) error {
			var x explain.Observation
			ids, kinds = append(ids, e.ID), append(kinds, e.Name)
			return json.Unmarshal(e.Data, &x)
		}))
		return ids, kinds
	}
	ids, kinds := read("")
	if fmt.Sprint(ids) != "[1 2 3 4 5 6 7]" || kinds[0] != "goal" || kinds[6] != "verdict" {
		t.Errorf("all of it: %v, %v", ids, kinds)
	}
	if ids, _ = read("", "Last-Event-ID", "4"); fmt.Sprint(ids) != "[5 6 7]" {
		t.Errorf("after 4: %v", ids)
	}
	if ids, _ = read("?after=1", "Last-Event-ID", "6"); fmt.Sprint(ids) != "[7]" {
		t.Errorf("the header is the later of the two: %v", ids)
	}
	var page api.Observations
	for query, want := range map[string]string{"before=0&limit=2": "[6 7]", "before=6&limit=2": "[4 5]", "before=1": "[]", "after=5": "[6 7]"} {
		o.call(o.as("auditor"), "GET", "/v1/runs/"+s.Run.ID+"/observations?"+query, nil, 200, &page)
		got := []int64{}
		for _, x := range page.Observations {
			got = append(got, x.Seq)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

func TestAReplayOverTheAPI(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "builder", "admin")
	it := o.parked()
	var r gate.Replay
	o.call(o.as("auditor"), "GET", "/v1/runs/"+it.Decision.Run+"/replay", nil, 200, &r)
	var says string
	for _, s := range r.Steps {
		if s.Today != nil {
			says = s.Today.Says
		}
	}
	if says != "as then" || r.Bare || r.Next != 0 {
		t.Errorf("it says %q: %+v", says, r)
	}
	raw := o.do(o.as("builder"), "GET", "/v1/runs/"+it.Decision.Run+"/replay", nil).Body.String()
	if strings.Contains(raw, iban) || strings.Contains(raw, "invoice") || !strings.Contains(raw, "as then") {
		t.Errorf("a builder sees %s", raw)
	}
	if w := o.do(o.as("approver"), "GET", "/v1/runs/"+it.Decision.Run+"/replay", nil); w.Code != 404 {
		t.Errorf("an approver gets %d", w.Code)
	}
}
