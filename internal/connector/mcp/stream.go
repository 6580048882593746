package mcp

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

// maxEvents bounds the messages that a server sends before its answer.
const maxEvents = 1000

// said is what a server has said to one request.
type said struct {
	answer  jsonrpc.Message
	got     bool
	asked   *jsonrpc.Message // what it asks of us, where that ends the call
	changed bool             // it says that its list of tools is another
}

// Errors of reading an answer. Their text is fixed.
var (
	errMany    = fault.Newf(fault.Unavailable, "the server sent more than %d messages without its answer", maxEvents)
	errLarge   = fault.New(fault.Limit, "the server's answer is too large").WithHint("ask for less at a time, or raise the Integration's maxBody")
	errMessage = fault.New(fault.Unavailable, "the server's answer is not one JSON-RPC message")
	errOther   = fault.New(fault.Unavailable, "the server answered a request that was not asked")
	errNone    = fault.New(fault.Unavailable, "the server's stream ended without an answer")
)

// take adds one message; done when nothing more is to be read.
func (s *said) take(b []byte, id jsonrpc.ID, limit int64) (done bool, err error) {
	m, err := jsonrpc.Decode(b, int(limit))
	switch {
	case fault.Is(err, fault.Limit):
		return true, errLarge
	case err != nil:
		return true, errMessage
	case m.IsNotification():
		s.changed = s.changed || m.Method == "notifications/tools/list_changed"
		return false, nil
	case m.IsRequest() && m.Method == "ping":
		return false, nil
	case m.IsRequest():
		s.asked = &m
		return true, nil
	case m.ID != id && !(m.Error != nil && m.ID.IsZero()):
		return true, errOther
	}
	s.answer, s.got = m, true
	return true, nil
}

// read takes the answer to id out of a body: one JSON message, or a stream of events
// that is read until the answer and no further.
func (s *said) read(body io.Reader, mediaType string, id jsonrpc.ID, limit int64) error {
	body = io.LimitReader(body, limit+1)
	if mediaType != "text/event-stream" {
		b, err := io.ReadAll(body)
		switch {
		case err != nil:
			return err
		case int64(len(b)) > limit:
			return errLarge
		}
		_, err = s.take(b, id, limit)
		return err
	}
	n, events := int64(0), 0
	err := eachEvent(body, func(data string) (bool, error) {
		if n += int64(len(data)); n > limit {
			return true, errLarge
		}
		if events++; events > maxEvents {
			return true, errMany
		}
		return s.take([]byte(data), id, limit)
	})
	if err == nil && !s.got && s.asked == nil {
		return errNone
	}
	return err
}

// eachEvent calls f with the data of each event of a stream, until f is done or
// the stream ends. Comments, and events without data, count as messages too: a
// stream of them is not an answer.
func eachEvent(r io.Reader, f func(data string) (done bool, err error)) error {
	br := bufio.NewReaderSize(r, 32<<10)
	var data []string
	has, empty := false, 0
	for {
		line, err := br.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" && has && !end:
			text := strings.Join(data, "\n")
			data, has = nil, false
			if text == "" {
				break // a first event that only has an id
			}
			if done, err := f(text); done || err != nil {
				return err
			}
		case line == "" || line[0] == ':':
			if empty++; empty > 100*maxEvents {
				return errMany
			}
		default:
			if v, ok := strings.CutPrefix(line, "data:"); ok {
				data, has = append(data, strings.TrimPrefix(v, " ")), true
			} else if line == "data" {
				data, has = append(data, ""), true
			}
		}
		if end {
			return nil // what no empty line ends is no event
		}
	}
}
