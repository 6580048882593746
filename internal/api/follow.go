package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
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

// follow adds the one route that streams: a Run's rail as it happens, one
// Observation a line (NDJSON), until the verdict or until the client leaves.
func (a *API) follow(acc access) {
	rt := route{method: "GET", pattern: "/v1/runs/{run}/follow", access: acc, status: http.StatusOK, media: "application/x-ndjson",
		summary: "A Run's Explain rail as it happens: one JSON object a line, until the verdict",
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
		w.Header().Set("Content-Type", rt.media)
		w.WriteHeader(http.StatusOK)
		_ = rc.Flush()
		after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64) // what is no number means the beginning
		enc := json.NewEncoder(w)
		ctx, cancel := context.WithTimeout(r.Context(), followFor)
		defer cancel()
		if run.State == intent.RunEnded { // nothing more will come: what there is, and the end
			l, _ := a.Rail.List(ctx, run.Tenant, run.ID, after, maxRail)
			for _, o := range l {
				if enc.Encode(o) != nil {
					return
				}
			}
			return
		}
		_ = a.Rail.Follow(ctx, run.Tenant, run.ID, after, func(o explain.Observation) bool {
			_ = rc.SetWriteDeadline(time.Now().Add(followWrite)) // a client that reads nothing holds nothing
			return enc.Encode(o) == nil && rc.Flush() == nil && o.Kind != explain.Verdict
		}) // it ends with the client; there is nobody left to tell
	})
}
