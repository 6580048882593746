package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/explain"
	"sallyport.dev/internal/intent"
)

// A stream ends after a while, so that who lost their rights meanwhile loses it
// too: the client goes on with ?after= the last sequence number.
const (
	maxRail     = 10_000 // Observations of an ended Run in one answer
	followFor   = 10 * time.Minute
	followWrite = 10 * time.Second
)

// follow adds the route that streams a Run's rail as it happens, one Observation a
// line (NDJSON), until the verdict or until the client leaves. Who accepts
// text/event-stream gets server-sent events instead, each with its sequence number
// as the id, and goes on with Last-Event-ID.
func (a *API) follow(acc access) {
	rt := route{method: "GET", pattern: "/v1/runs/{run}/follow", access: acc, status: http.StatusOK, media: "application/x-ndjson",
		summary: "A Run's Explain rail as it happens: one JSON object a line, until the verdict; with Accept: text/event-stream as server-sent events, which Last-Event-ID goes on with",
		req:     reflect.TypeFor[none](), resp: reflect.TypeFor[explain.Observation]()}
	a.routes = append(a.routes, rt)
	a.mux.HandleFunc(rt.method+" "+rt.pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r}
		var err error
		if c.who, err = a.caller(r, acc); err != nil {
			a.problem(w, r, err)
			return
		}
		run, err := a.run(c)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(followFor + followWrite))
		send, media := lines(w), rt.media
		last := r.FormValue("after")
		if strings.Contains(r.Header.Get("Accept"), eventStream) {
			send, media = events(w), eventStream
			last = cmp.Or(r.Header.Get("Last-Event-ID"), last)
		}
		after, _ := strconv.ParseInt(last, 10, 64) // what is no number means the beginning
		w.Header().Set("Content-Type", media)
		w.WriteHeader(http.StatusOK)
		_ = rc.Flush()
		ctx, cancel := context.WithTimeout(r.Context(), followFor)
		defer cancel()
		if run.State == intent.RunEnded { // nothing more will come: what there is, and the end
			l, _ := a.Rail.List(ctx, run.Tenant, run.ID, after, maxRail)
			for _, o := range l {
				if send(o) != nil {
					return
				}
			}
			return
		}
		_ = a.Rail.Follow(ctx, run.Tenant, run.ID, after, func(o explain.Observation) bool {
			_ = rc.SetWriteDeadline(time.Now().Add(followWrite)) // a client that reads nothing holds nothing
			return send(o) == nil && rc.Flush() == nil && o.Kind != explain.Verdict
		}) // it ends with the client; there is nobody left to tell
	})
}

const eventStream = "text/event-stream"

// lines writes Observations as NDJSON.
func lines(w io.Writer) func(explain.Observation) error {
	enc := json.NewEncoder(w)
	return func(o explain.Observation) error { return enc.Encode(o) }
}

// events writes Observations as server-sent events, named after their kinds.
func events(w io.Writer) func(explain.Observation) error {
	return func(o explain.Observation) error {
		b, err := json.Marshal(o) // JSON has no line end
		if err == nil {
			_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", o.Seq, o.Kind, b)
		}
		return err
	}
}
