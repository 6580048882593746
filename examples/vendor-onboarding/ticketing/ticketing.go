// Package ticketing is the example company's ticketing system: tickets are
// filed and found again by their reference.
//
// It never changes or removes a ticket, and files a new one each time it is
// asked to.
//
// # Security
//
// It asks for a user name and a password (basic authentication). A ticket is on
// disk before the answer that says so.
package ticketing

import (
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

type store struct {
	mu      sync.Mutex // held over the journal's append, so that ids are in order
	tickets []Ticket
	journal *system.Journal[Ticket]
}

func open(dir string) (*system.Service, error) {
	journal, tickets, err := system.OpenJournal[Ticket](filepath.Join(dir, "tickets.jsonl"))
	if err != nil {
		return nil, err
	}
	s := &store{tickets: tickets, journal: journal}
	return &system.Service{
		Routes: []system.Route{
			{Pattern: "POST /v1/tickets", Write: true, Handle: s.create},
			{Pattern: "GET /v1/tickets", Handle: s.find},
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

var referenceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

func (s *store) create(w http.ResponseWriter, r *http.Request) {
	var d Draft
	if !system.Read(w, r, &d) {
		return
	}
	if d.Title == "" || len(d.Title) > 200 || len(d.Body) > 10_000 || !referenceForm.MatchString(d.Reference) {
		system.Fail(w, http.StatusUnprocessableEntity, "a ticket needs a title of at most 200 bytes, a body of at most 10000, and a reference in letters, digits and _.:-")
		return
	}
	ref := r.Header.Values("Client-Reference")
	if len(ref) > 1 || len(ref) == 1 && !referenceForm.MatchString(ref[0]) {
		system.Fail(w, http.StatusBadRequest, "the header Client-Reference is letters, digits and _.:- only, at most 128")
		return
	}
	t := Ticket{Draft: d, CreatedAt: time.Now().UTC()}
	if len(ref) == 1 {
		t.ClientReference = ref[0]
	}
	t, err := s.add(t)
	if err != nil {
		system.Fail(w, http.StatusInternalServerError, "the ticket could not be stored")
		return
	}
	system.JSON(w, http.StatusCreated, t)
}

// add gives t its id and stores it.
func (s *store) add(t Ticket) (Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.ID = fmt.Sprintf("T-%05d", 10001+len(s.tickets))
	if err := s.journal.Append(t); err != nil {
		return Ticket{}, err
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
	found := []Ticket{} // an empty answer is [] in JSON
	s.mu.Lock()
	for _, t := range s.tickets {
		if ref != "" && t.Reference == ref || client != "" && t.ClientReference == client {
			found = append(found, t)
		}
	}
	s.mu.Unlock()
	system.JSON(w, http.StatusOK, FindResult{found, len(found)})
}
