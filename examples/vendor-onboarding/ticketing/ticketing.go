// Package ticketing is the example company's ticketing system: tickets are
// filed and found again by their reference.
//
// It never changes or removes a ticket, and files a new one each time it is
// asked to, but for a request with an Idempotency-Key that it has seen: the same
// body gets the answer of the first time, and another is refused. A key is known
// as long as its ticket: it is on disk with it.
//
// # Security
//
// It asks for a user name and a password (basic authentication), and over the Model
// Context Protocol for a token; neither is good where the other is. A ticket is on
// disk before the answer that says so.
package ticketing

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	vendoronboarding "sallyport.dev/examples/vendor-onboarding"
	"sallyport.dev/examples/vendor-onboarding/system"
)

// System is the ticketing system.
func System() system.System {
	return system.System{Name: "ticketing", OpenAPI: vendoronboarding.TicketingOpenAPI, Scheme: system.Basic("ticketing"), Open: open}
}

// Draft is what a caller says about a new ticket.
type Draft struct {
	Title     string `json:"title"`
	Body      string `json:"body"`
	Reference string `json:"reference"` // what it is about: a vendor's number
}

// Ticket is a filed ticket.
type Ticket struct {
	ID string `json:"id"`
	Draft
	ClientReference string    `json:"client_reference,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
}

// FindResult is the answer to a search, oldest first.
type FindResult struct {
	Tickets []Ticket `json:"tickets"`
	Count   int      `json:"count"`
}

// filed is a ticket as it is on disk, with the key of the request that made it.
type filed struct {
	Ticket
	Key  string `json:"idempotency_key,omitempty"`
	Sent string `json:"idempotency_body,omitempty"` // SHA-256 of what was asked for
}

type store struct {
	mu      sync.Mutex // held over the journal's append, so that ids are in order
	tickets []filed
	journal *system.Journal[filed]
}

// bearer is how the credential of the Model Context Protocol is presented.
var bearer = system.Bearer()

func open(dir string) (*system.Service, error) {
	journal, tickets, err := system.OpenJournal[filed](filepath.Join(dir, "tickets.jsonl"))
	if err != nil {
		return nil, err
	}
	s := &store{tickets: tickets, journal: journal}
	return &system.Service{
		Routes: []system.Route{
			{Pattern: "POST /v1/tickets", Scope: ScopeAPI, Write: true, Handle: s.create},
			{Pattern: "GET /v1/tickets", Scope: ScopeAPI, Handle: s.find},
			{Pattern: "POST /mcp", Scope: ScopeMCP, Scheme: &bearer, Handle: s.mcp},
		},
		Counts: s.counts,
		Close:  journal.Close,
	}, nil
}

func (s *store) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int{"tickets": len(s.tickets)}
}

func (d Draft) valid() bool {
	return d.Title != "" && len(d.Title) <= 200 && len(d.Body) <= 10_000 && referenceForm.MatchString(d.Reference)
}

var referenceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

func (s *store) create(w http.ResponseWriter, r *http.Request) {
	var d Draft
	if !system.Read(w, r, &d) {
		return
	}
	if !d.valid() {
		system.Fail(w, http.StatusUnprocessableEntity, "a ticket needs a title of at most 200 bytes, a body of at most 10000, and a reference in letters, digits and _.:-")
		return
	}
	ref := r.Header.Values("Client-Reference")
	if len(ref) > 1 || len(ref) == 1 && !referenceForm.MatchString(ref[0]) {
		system.Fail(w, http.StatusBadRequest, "the header Client-Reference is letters, digits and _.:- only, at most 128")
		return
	}
	key := r.Header.Values("Idempotency-Key")
	if len(key) > 1 || len(key) == 1 && !referenceForm.MatchString(key[0]) {
		system.Fail(w, http.StatusBadRequest, "the header Idempotency-Key is letters, digits and _.:- only, at most 128")
		return
	}
	t := filed{Ticket: Ticket{Draft: d, CreatedAt: time.Now().UTC()}}
	if len(ref) == 1 {
		t.ClientReference = ref[0]
	}
	if len(key) == 1 {
		t.Key, t.Sent = key[0], digest(d, t.ClientReference)
	}
	t, err := s.add(t)
	if errors.Is(err, errOtherBody) {
		system.Fail(w, http.StatusUnprocessableEntity, "the Idempotency-Key was used for another request")
		return
	}
	if err != nil {
		system.Fail(w, http.StatusInternalServerError, "the ticket could not be stored")
		return
	}
	system.JSON(w, http.StatusCreated, t.Ticket)
}

var errOtherBody = errors.New("the key was used for another request")

// digest is of what a request asks for.
func digest(d Draft, reference string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", d.Title, d.Body, d.Reference, reference))
	return hex.EncodeToString(sum[:])
}

// add gives t its id and stores it, or gives the one that its key has made.
func (s *store) add(t filed) (filed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.tickets {
		if t.Key != "" && old.Key == t.Key {
			if old.Sent != t.Sent {
				return filed{}, errOtherBody
			}
			return old, nil
		}
	}
	t.ID = fmt.Sprintf("T-%05d", 10001+len(s.tickets))
	if err := s.journal.Append(t); err != nil {
		return filed{}, err
	}
	s.tickets = append(s.tickets, t)
	return t, nil
}

func (s *store) find(w http.ResponseWriter, r *http.Request) {
	q, ok := system.Query(w, r, "reference", "client_reference")
	if !ok {
		return
	}
	ref, client := q.Get("reference"), q.Get("client_reference")
	if ref == "" && client == "" {
		system.Fail(w, http.StatusBadRequest, "one of reference and client_reference is needed")
		return
	}
	system.JSON(w, http.StatusOK, s.matching(ref, client))
}

// matching finds tickets by either reference that is not empty.
func (s *store) matching(ref, client string) FindResult {
	found := []Ticket{} // an empty answer is [] in JSON
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tickets {
		if ref != "" && t.Reference == ref || client != "" && t.ClientReference == client {
			found = append(found, t.Ticket)
		}
	}
	return FindResult{found, len(found)}
}
