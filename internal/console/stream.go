package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

const (
	eventStream = "text/event-stream"
	// maxStreams bounds the streams that are open at once.
	maxStreams = 256
	// streamLife is how long one lasts. The browser then opens the next, and the
	// session is looked at again.
	streamLife = 2 * time.Minute
)

// events streams a Run's rail as server-sent events, each with markup that the
// page's own templates made:
//
//	observation   one Observation; its id is the sequence number
//	facts         what stands above the rail, with each Observation
//	actions       what stands below it, with each Observation
//	end           the Run has its verdict
//
// It goes on after the number in Last-Event-ID, or in ?after=.
func (v *visit) events() error {
	r, err := v.run()
	if err != nil {
		return err
	}
	last := v.Header.Get("Last-Event-ID")
	if last == "" {
		last = v.FormValue("after")
	}
	after, _ := strconv.ParseInt(last, 10, 64) // what is no number means the beginning
	return v.live("too many pages follow a Run", func(ctx context.Context, s stream) { s.follow(ctx, r, after) })
}

// live begins a stream of events, which serve writes until its time is over or the
// client is gone. full is said when too many are open already.
func (v *visit) live(full string, serve func(context.Context, stream)) error {
	select {
	case v.streams <- struct{}{}:
		defer func() { <-v.streams }()
	default:
		return fault.New(fault.Unavailable, full).WithHint("reload the page to see what is new")
	}
	s := stream{visit: v, rc: http.NewResponseController(v.w)}
	// Longer than the server gives an answer, and not for ever: a client that
	// does not read must not hold its place.
	_ = s.rc.SetWriteDeadline(time.Now().Add(streamLife + 10*time.Second))
	v.w.Header().Set("Content-Type", eventStream)
	v.w.WriteHeader(http.StatusOK)
	_, _ = fmt.Fprint(v.w, "retry: 1000\n\n") // a client that is gone is seen at the next write
	_ = s.rc.Flush()
	ctx, cancel := context.WithTimeout(v.Context(), streamLife)
	defer cancel()
	serve(ctx, s)
	return nil
}

// stream writes events.
type stream struct {
	*visit
	rc *http.ResponseController
}

// follow sends what comes until the verdict, the stream's time, or the client's
// end; there is nobody left to tell of an error.
func (s stream) follow(ctx context.Context, r intent.Run, after int64) {
	if r.State == intent.RunEnded {
		l, err := s.Rail.List(ctx, r.Tenant, r.ID, after, maxRail)
		for _, o := range l {
			if !s.observation(o) {
				return
			}
		}
		if err == nil && len(l) < maxRail {
			s.send("end", "", "")
		}
		return
	}
	_ = s.Rail.Follow(ctx, r.Tenant, r.ID, after, func(o explain.Observation) bool {
		if !s.observation(o) {
			return false
		}
		if o.Kind == explain.Verdict {
			s.send("end", "", "")
		}
		return o.Kind != explain.Verdict
	})
}

// observation sends one with the facts as they are now.
func (s stream) observation(o explain.Observation) bool {
	view, err := s.observed(o)
	if err != nil {
		return false
	}
	f, err := s.facts(o.Run)
	if err != nil {
		return false
	}
	return s.part("facts", "", f) && s.part("actions", "", f) && s.part("observation", strconv.FormatInt(o.Seq, 10), view)
}

func (s stream) part(name, id string, data any) bool {
	var b bytes.Buffer
	if err := templates["run"].ExecuteTemplate(&b, name, data); err != nil {
		s.Log.ErrorContext(s.Context(), "a part of a page can't be made", slog.String("part", name), slog.Any("error", err))
		return false
	}
	out, _ := s.Vault.Scrub(s.who.Tenant).Bytes(b.Bytes())
	return s.send(name, id, string(out))
}

// send writes one event. The markup is a JSON string, so that no line end in it
// is one of the stream's.
func (s stream) send(event, id, markup string) bool {
	data, err := json.Marshal(markup)
	if err != nil {
		return false
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	_, err = fmt.Fprintf(s.w, "%sevent: %s\ndata: %s\n\n", id, event, data)
	return err == nil && s.rc.Flush() == nil
}
