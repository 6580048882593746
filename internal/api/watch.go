package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// How the queue's stream behaves. It ends after a while, as that of a rail does, and
// the client goes on with Last-Event-ID.
const (
	maxWatchers   = 256  // streams at once
	maxPerAccount = 8    // of one account
	maxMissed     = 5000 // entries of the audit log that are gone through for who was away
	watchPage     = 500
	heartbeat     = 15 * time.Second
	breath        = 100 * time.Millisecond // between two looks: a busy tenant must not have each stream read for every step
)

// QueueEvent says that a Decision is another than before. It has nothing of the
// action: who wants that reads the Decision.
type QueueEvent struct {
	// Event is opened, changed or closed; ready where the stream begins at now, and
	// reset where too much was missed: then the list has to be read anew.
	Event string `json:"event"`
	// What is what happened: parked or edited of opened; vote, break-glass, question,
	// answer or held of changed; decided or edited of closed.
	What       string          `json:"what,omitempty"`
	Decision   string          `json:"decision,omitempty"`
	State      decision.State  `json:"state,omitempty"`
	Mission    string          `json:"mission,omitempty"`
	Run        string          `json:"run,omitempty"`
	Connection string          `json:"connection,omitempty"`
	Tool       string          `json:"tool,omitempty"`
	Effect     resource.Effect `json:"effect,omitempty"`
	Missing    []decision.Need `json:"missing,omitempty"` // who is still to be asked
	Held       bool            `json:"held,omitempty"`
	At         time.Time       `json:"at,omitzero"`
	ExpiresAt  time.Time       `json:"expiresAt,omitzero"`
}

// watching counts the streams.
type watching struct {
	mu  sync.Mutex
	all int
	by  map[string]int // by account
}

// begin takes a place; end gives it back.
func (w *watching) begin(account string) (end func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]int{}
	}
	if w.all >= maxWatchers || w.by[account] >= maxPerAccount {
		return nil, fault.New(fault.Limit, "too many streams of the Decision Queue are open").WithHint("close one, or read /v1/decisions now and then")
	}
	w.all++
	w.by[account]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.by[account]--; w.by[account] == 0 {
			delete(w.by, account)
		}
	}, nil
}

// watch adds the route that says what happens in the Decision Queue, as server-sent
// events. The events are those of the audit log, so that their ids (its indexes) are
// durable, and a client misses none however long it was away.
func (a *API) watch(acc access) {
	rt := route{method: "GET", pattern: "/v1/decisions/events", access: acc, status: http.StatusOK, media: "text/event-stream",
		summary: "What happens in the Decision Queue, as server-sent events (ready, reset, opened, changed, closed); ?mine=true; Last-Event-ID or ?after= goes on. Without Accept: text/event-stream it ends with what there is",
		req:     reflect.TypeFor[none](), resp: reflect.TypeFor[QueueEvent]()}
	a.routes = append(a.routes, rt)
	a.mux.HandleFunc(rt.method+" "+rt.pattern, func(w http.ResponseWriter, r *http.Request) {
		who, err := a.caller(r, acc)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		s := &watcher{API: a, w: w, rc: http.NewResponseController(w), r: r, acc: acc, who: who, mine: r.FormValue("mine") == "true"}
		if s.next, err = s.begins(); err != nil {
			a.problem(w, r, err)
			return
		}
		end, err := a.watching.begin(who.ID)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		defer end()
		_ = s.rc.SetWriteDeadline(time.Now().Add(followFor + followWrite))
		w.Header().Set("Content-Type", rt.media)
		w.WriteHeader(http.StatusOK)
		_ = s.rc.Flush()
		ctx, cancel := context.WithTimeout(r.Context(), followFor)
		defer cancel()
		s.run(ctx) // it ends with the client; there is nobody left to tell
	})
}

// watcher is one stream.
type watcher struct {
	*API
	w     http.ResponseWriter
	rc    *http.ResponseController
	r     *http.Request
	acc   access
	who   ident.Principal
	mine  bool
	next  int64  // of the audit log's entries
	first string // ready or reset, to be said first
}

// begins finds the first entry that is new to the client.
func (s *watcher) begins() (int64, error) {
	head, err := s.Audit.Head(s.r.Context(), s.who.Tenant)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return 0, err
	}
	last := s.r.Header.Get("Last-Event-ID")
	if last == "" {
		last = s.r.FormValue("after")
	}
	at, err := strconv.ParseInt(last, 10, 64)
	switch {
	case last == "":
		s.first = "ready"
		return head.Size, nil
	case err != nil || at < 0 || at >= head.Size || head.Size-at > maxMissed:
		s.first = "reset"
		return head.Size, nil
	}
	return at + 1, nil
}

// run sends what is new until the client, the session or the stream's time ends.
func (s *watcher) run(ctx context.Context) {
	if s.first != "" && !s.send(s.next-1, QueueEvent{Event: s.first}) {
		return
	}
	stays := strings.Contains(s.r.Header.Get("Accept"), "text/event-stream")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		changed := s.Rail.Any(s.who.Tenant)
		if !s.catchUp(ctx) || !stays {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select { // what comes at once is one look
			case <-ctx.Done():
				return
			case <-time.After(breath):
			}
		case <-beat.C: // also for what was recorded and nobody was woken for
			if !s.write(": alive\n\n") {
				return
			}
		}
		who, err := s.caller(s.r, s.acc)
		if err != nil || who.ID != s.who.ID { // the session, or the role, has ended
			return
		}
		s.who = who
	}
}

// happening is what an entry means for a Decision: the event, and what happened.
type happening struct{ event, what string }

// edited is that an action was changed: its Decision is void, and another one opens.
const edited = "edited"

// queueTypes are the entries after which a Decision is another.
var queueTypes = map[audit.Type]happening{
	audit.IntentParked:       {"opened", "parked"},
	audit.IntentEdited:       {"opened", edited},
	audit.DecisionVoted:      {"changed", "vote"},
	audit.DecisionBreakGlass: {"changed", "break-glass"},
	audit.DecisionAsked:      {"changed", "question"},
	audit.DecisionAnswered:   {"changed", "answer"},
	audit.DecisionHeld:       {"changed", "held"},
	audit.IntentDecided:      {"closed", "decided"},
}

// catchUp sends what the log has since; false ends the stream.
func (s *watcher) catchUp(ctx context.Context) bool {
	for {
		rows, err := s.Audit.List(ctx, s.who.Tenant, audit.Filter{}, s.next, watchPage)
		if err != nil {
			return false
		}
		for _, row := range rows {
			s.next = row.Index + 1
			h, ok := queueTypes[row.Type]
			if !ok {
				continue
			}
			e, err := audit.ParseEntry(row.Entry)
			if err != nil || !s.entry(ctx, h, e) {
				return false
			}
		}
		if len(rows) < watchPage {
			return true
		}
	}
}

// entry sends what an entry says of Decisions.
func (s *watcher) entry(ctx context.Context, h happening, e audit.Entry) bool {
	id, _ := e.Fields["decision"].(string)
	if from, _ := e.Fields["from"].(string); from != "" && !s.decision(ctx, e.Index-1, happening{"closed", edited}, from) { // void, by a change; another event follows with the entry's id
		return false
	}
	if id == "" { // the entry of what was parked names the Intent alone
		ds, err := s.Desk.Store.Decisions(ctx, s.who.Tenant, decision.Filter{Intent: e.Intent, Limit: 200})
		if err != nil {
			return false
		}
		if len(ds) == 0 {
			return true
		}
		id = ds[len(ds)-1].ID
	}
	return s.decision(ctx, e.Index, h, id)
}

// decision sends an event about one, as it is now, if the person sees it. What can't
// be shown is left out: the list says that it is there.
func (s *watcher) decision(ctx context.Context, index int64, h happening, id string) bool {
	it, err := s.Desk.Get(ctx, s.who.Tenant, id)
	if err != nil {
		return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) || fault.Is(err, fault.Internal)
	}
	d := it.Decision
	if closed := d.State != decision.Open; closed != (h.event == "closed") || d.AutoBy != "" { // its other entry comes, or policy decided it
		return true
	}
	who := s.who
	if s.mine {
		who.Roles = []ident.Role{ident.Approver}
	}
	sees, err := s.Desk.SeesDecision(ctx, who, d)
	if err != nil || !sees {
		return err == nil
	}
	return s.send(index, QueueEvent{Event: h.event, What: h.what, Decision: d.ID, State: d.State, Mission: d.Mission, Run: d.Run, Connection: it.Intent.Connection, Tool: it.Intent.Tool,
		Effect: it.Intent.Effect, Missing: d.Missing(), Held: it.Held != nil, At: s.Now(), ExpiresAt: d.ExpiresAt})
}

func (s *watcher) send(index int64, e QueueEvent) bool {
	b, err := json.Marshal(e)
	if err != nil {
		return false
	}
	b, _ = s.Vault.Scrub(s.who.Tenant).Bytes(b)
	return s.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", index, e.Event, b))
}

func (s *watcher) write(text string) bool {
	_ = s.rc.SetWriteDeadline(time.Now().Add(followWrite)) // a client that reads nothing holds nothing
	_, err := s.w.Write([]byte(text))
	return err == nil && s.rc.Flush() == nil
}
