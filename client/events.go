package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxEvent bounds one line of a stream of events, in bytes.
const maxEvent = 1 << 20

// Event is one server-sent event.
type Event struct {
	ID   string // empty: it has none
	Name string
	Data []byte
}

// Events makes a GET whose answer is a stream of server-sent events, and hands out
// each as it comes, until the stream or ctx ends, or fn errors. after is the id of
// the last event that was seen, or empty.
func (c *Client) Events(ctx context.Context, path, after string, fn func(Event) error) error {
	h := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		h.Set("Last-Event-ID", after)
	}
	resp, err := c.sendWith(ctx, http.MethodGet, path, nil, h)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return ReadEvents(resp.Body, fn)
}

// ReadEvents reads a stream as the HTML standard has it (9.2.6), but for what no
// server of ours sends: a byte order mark, lines that end in a CR alone, and an event
// of several data lines, which are joined with line ends there and here.
func ReadEvents(r io.Reader, fn func(Event) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxEvent)
	var e Event
	data := false
	for sc.Scan() {
		line := strings.TrimSuffix(sc.Text(), "\r")
		if line == "" {
			if data {
				if err := fn(e); err != nil {
					return err
				}
			}
			e, data = Event{}, false
			continue
		}
		field, value, _ := strings.Cut(line, ":") // a line that begins with a colon is a comment
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			e.ID = value
		case "event":
			e.Name = value
		case "data":
			if data {
				e.Data = append(e.Data, '\n')
			}
			e.Data, data = append(e.Data, value...), true
			if len(e.Data) > maxEvent {
				return fmt.Errorf("reading the server's stream: an event is larger than %d bytes", maxEvent)
			}
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("reading the server's stream: %w", err)
	}
	return nil
}
