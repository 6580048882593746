package system

import (
	"maps"
	"net/http"
	"strconv"
	"time"
)

// control is the handler of the control listener:
//
//	GET  /stats                counts, see [Stats]
//	POST /behaviour            sets a [Behaviour]
//	POST /release              lets all held requests go
//	GET  /held?at_least=N      answers as soon as N requests are held
//	POST /reload               reads the credentials file again
//
// It takes JSON bodies only and loopback host names only, so that no web page
// can reach it through a browser.
func (c *core) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { JSON(w, http.StatusOK, c.snapshot()) })
	mux.HandleFunc("POST /behaviour", c.postBehaviour)
	mux.HandleFunc("POST /release", c.postRelease)
	mux.HandleFunc("GET /held", c.getHeld)
	mux.HandleFunc("POST /reload", c.postReload)
	guard := http.NewCrossOriginProtection()
	return secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			Fail(w, http.StatusForbidden, "the control listener is for this machine only")
			return
		}
		guard.Handler(mux).ServeHTTP(w, r)
	}))
}

func (c *core) snapshot() Stats {
	c.mu.Lock()
	s := c.stats
	s.Held = c.held
	s.Credentials = maps.Clone(s.Credentials)
	c.mu.Unlock()
	if c.svc.Counts != nil {
		s.Durable = c.svc.Counts()
	}
	return s
}

func (c *core) postBehaviour(w http.ResponseWriter, r *http.Request) {
	var b Behaviour
	if !Read(w, r, &b) {
		return
	}
	if err := c.behave(b); err != nil {
		Fail(w, http.StatusBadRequest, err.Error())
		return
	}
	JSON(w, http.StatusOK, b)
}

func (c *core) postRelease(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	n := c.held
	close(c.release)
	c.release = make(chan struct{})
	c.mu.Unlock()
	JSON(w, http.StatusOK, map[string]int{"released": n})
}

func (c *core) getHeld(w http.ResponseWriter, r *http.Request) {
	q, ok := Query(w, r, "at_least")
	if !ok {
		return
	}
	want, err := strconv.Atoi(q.Get("at_least"))
	if err != nil || want < 0 {
		Fail(w, http.StatusBadRequest, "at_least is a number")
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the wait may be long
	for {
		c.mu.Lock()
		held, change := c.held, c.change
		c.mu.Unlock()
		if held >= want {
			JSON(w, http.StatusOK, map[string]int{"held": held})
			return
		}
		select {
		case <-change:
		case <-r.Context().Done():
			return
		}
	}
}

func (c *core) postReload(w http.ResponseWriter, _ *http.Request) {
	keys, err := readCredentials(c.path)
	if err != nil {
		Fail(w, http.StatusConflict, "the credentials file can't be used; the former credentials stay")
		return
	}
	c.mu.Lock()
	c.keys = keys
	c.mu.Unlock()
	JSON(w, http.StatusOK, map[string]int{"credentials": len(keys)})
}
