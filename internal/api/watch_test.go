package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport.dev/client"
	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
)

// told reads what the queue's events are for somebody, after an id.
func (o *office) told(name, query string) (events []api.QueueEvent, last string) {
	o.t.Helper()
	w := o.do(o.as(name), "GET", "/v1/decisions/events?"+query, nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" {
		o.t.Fatalf("%d %s", w.Code, w.Body)
	}
	o.must(client.ReadEvents(w.Body, func(e client.Event) error {
		var q api.QueueEvent
		last = e.ID
		events = append(events, q)
		return json.Unmarshal(e.Data, &events[len(events)-1])
	}))
	return events, last
}

func TestTheQueueSaysWhatHappensToWhoMaySeeIt(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin", "builder")
	o.enlist("stranger", ident.Approver)
	events, _ := o.told("approver", "")
	if len(events) != 1 || events[0].Event != "ready" {
		t.Fatalf("at the beginning: %+v", events)
	}
	it := o.parked()
	d := it.Decision
	for name, want := range map[string]int{"approver": 1, "auditor": 1, "admin": 1, "stranger": 0} {
		events, last := o.told(name, "after=0")
		if len(events) != want {
			t.Errorf("%s is told %+v", name, events)
			continue
		}
		if want == 0 {
			continue
		}
		e := events[0]
		if e.Event != "opened" || e.What != "parked" || e.Decision != d.ID || e.State != decision.Open || e.Connection != "bank" || e.Tool != "pay" || e.Missing[0].Team != "finance" || last == "" {
			t.Errorf("%s is told %+v with the id %q", name, e, last)
		}
		if again, _ := o.told(name, "after="+last); len(again) != 0 {
			t.Errorf("%s is told twice: %+v", name, again)
		}
	}
	if mine, _ := o.told("admin", "after=0&mine=true"); len(mine) != 0 {
		t.Errorf("an admin who is in no Team is told of theirs: %+v", mine)
	}
	raw := o.do(o.as("approver"), "GET", "/v1/decisions/events?after=0", nil).Body.String()
	if strings.Contains(raw, iban) || strings.Contains(raw, "invoice") {
		t.Errorf("an event has something of the action: %s", raw)
	}
	for _, after := range []string{"x", "-4", "99999999"} {
		if events, _ := o.told("approver", "after="+after); len(events) != 1 || events[0].Event != "reset" {
			t.Errorf("after %s: %+v", after, events)
		}
	}
	o.call(o.as("approver"), "POST", "/v1/decisions/"+d.ID, map[string]any{"verdict": "reject", "digest": d.Digest, "password": password("approver"), "code": o.code("approver")}, 200, nil)
	events, _ = o.told("approver", "after=0")
	if len(events) != 1 || events[0].Event != "closed" || events[0].What != "decided" || events[0].State != decision.Rejected {
		t.Errorf("after the verdict: %+v", events)
	}
}

// stream opens one over a network, and gives its events.
func (o *office) stream(ctx context.Context, c *client.Client, after string) (<-chan client.Event, <-chan error) {
	events, done := make(chan client.Event, 16), make(chan error, 1)
	go func() {
		done <- c.Events(ctx, "/v1/decisions/events", after, func(e client.Event) error { events <- e; return nil })
	}()
	return events, done
}

func (o *office) event(events <-chan client.Event, done <-chan error) client.Event {
	o.t.Helper()
	select {
	case e := <-events:
		return e
	case err := <-done:
		o.t.Fatalf("the stream ended: %v", err)
	case <-time.After(time.Minute):
		o.t.Fatal("nothing comes")
	}
	return client.Event{}
}

func TestAStreamOfTheQueueGoesOnWhereItWasAndEndsWithTheAccount(t *testing.T) {
	o := open(t, "requester", "approver", "auditor", "admin")
	srv := httptest.NewServer(o.api)
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, client.Token(o.as("approver")))
	o.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	events, done := o.stream(ctx, c, "")
	ready := o.event(events, done)
	if ready.Name != "ready" {
		t.Fatalf("it begins with %+v", ready)
	}
	d := o.parked().Decision
	opened := o.event(events, done)
	if opened.Name != "opened" || !strings.Contains(string(opened.Data), d.ID) {
		t.Errorf("then comes %+v", opened)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	// Whoever was away misses nothing, and gets nothing twice.
	_, err = o.app.Desk.Withdraw(t.Context(), ident.Principal{Tenant: tenant, Kind: ident.System, ID: "test"}, tenant, d.ID, "", o.now())
	o.must(err)
	events, done = o.stream(t.Context(), c, opened.ID)
	if e := o.event(events, done); e.Name != "closed" || !strings.Contains(string(e.Data), `"state":"withdrawn"`) {
		t.Errorf("after it was away: %+v", e)
	}
	o.call(o.as("admin"), "POST", "/v1/accounts/"+o.people["approver"].account.ID+"/disable", nil, 204, nil)
	o.parked() // something that it would be told of
	select {
	case e := <-events:
		t.Errorf("a disabled account is told %+v", e)
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the stream goes on")
	}
}

func TestOneAccountHasFewStreams(t *testing.T) {
	o := open(t, "requester", "approver")
	srv := httptest.NewServer(o.api)
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, client.Token(o.as("approver")))
	o.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	for n := range 8 {
		if e := o.event(o.stream(ctx, c, "")); e.Name != "ready" {
			t.Errorf("stream %s begins with %+v", strconv.Itoa(n), e)
		}
	}
	var no *client.Problem
	if err := c.Events(ctx, "/v1/decisions/events", "", nil); !errors.As(err, &no) || no.Status != http.StatusTooManyRequests {
		t.Errorf("the ninth: %v", err)
	}
	cancel()
}
