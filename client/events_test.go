package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sallyport.dev/client"
)

func TestEventsAreHandedOutAsTheyCome(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Last-Event-ID") != "6" {
			t.Errorf("the request has %v", r.Header)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "retry: 1\n\n: alive\n\nid: 7\nevent: opened\ndata: {\"a\":1}\n\nevent: x\r\ndata: 1\r\ndata: 2\r\n\r\ndata: cut")
	})
	var got []string
	err := c.Events(context.Background(), "/v1/e", "6", func(e client.Event) error {
		got = append(got, fmt.Sprintf("%s %s %q", e.ID, e.Name, e.Data))
		return nil
	})
	if want := []string{`7 opened "{\"a\":1}"`, ` x "1\n2"`}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v", got, err)
	}
	enough := errors.New("enough")
	if err := client.ReadEvents(strings.NewReader("data: 1\n\n"), func(client.Event) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := client.ReadEvents(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1<<18)+"\n", 8)), func(client.Event) error { return nil }); err == nil {
		t.Error("an event without end was read")
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"", "data: 1\n\n", "id: 1\nevent: a\ndata: {}\n\n", ":\n\n\n", "data\n\n", "data:\r\n\r\n", "id: \x00\ndata: x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = client.ReadEvents(strings.NewReader(s), func(e client.Event) error {
			if strings.ContainsAny(e.ID+e.Name, "\n") || !strings.Contains(s, "data") {
				t.Errorf("%q has the event %+v", s, e)
			}
			return nil
		})
	})
}
