package console_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/ident"
)

func TestTheQueuesPageIsKeptAsItIsNow(t *testing.T) {
	o := open(t)
	sam, ann, eve := o.hire("sam", ident.Requester), o.hire("ann", ident.Approver), o.hire("eve", ident.Approver)
	o.furnish("ann")
	o.pass(time.Hour)
	ann.enter()
	eve.enter()
	ann.get("/decisions").want(200, "There is none here", "Reload")
	sam.enter().get("/decisions/events").want(403)
	if once := ann.get("/decisions/events"); once.header.Get("Content-Type") != "text/event-stream" || strings.Count(once.body, "event: queue\n") != 1 {
		t.Errorf("who asks for no stream gets %q", once.body)
	}

	srv := httptest.NewServer(o.handler)
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/decisions/events?state=open", nil)
	o.must(err)
	req.Header.Set("Accept", "text/event-stream")
	req.AddCookie(&http.Cookie{Name: "sallyport", Value: ann.cookie})
	resp, err := http.DefaultClient.Do(req)
	o.must(err)
	lists := make(chan string, 8)
	go func() {
		defer close(lists)
		_ = client.ReadEvents(resp.Body, func(e client.Event) error {
			var markup string
			if e.Name == "queue" && json.Unmarshal(e.Data, &markup) == nil {
				lists <- markup
			}
			return nil
		})
	}()
	t.Cleanup(func() { _ = resp.Body.Close() })
	if first := <-lists; !strings.Contains(first, "There is none here") {
		t.Errorf("it begins with %s", first)
	}
	it := o.park(sam, `{"name":"Siemens AG"}`, "it is new")
	select {
	case next := <-lists:
		if !strings.Contains(next, "/decisions/"+it.Decision.ID) || !strings.Contains(next, "yours") || strings.Contains(next, "<html") {
			t.Errorf("then comes %s", next)
		}
	case <-time.After(time.Minute):
		t.Error("nothing comes")
	}
	if other := eve.get("/decisions/events"); strings.Contains(other.body, it.Decision.ID) {
		t.Errorf("somebody outside the Team gets %s", other.body)
	}
}
