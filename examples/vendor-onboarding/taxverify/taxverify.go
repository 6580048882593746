// Package taxverify is the example's verification service for VAT
// identification numbers. It really verifies them, by package taxid; it says
// plainly when it has no rule for a country, and never calls that valid.
//
// # Security
//
// It asks for an API key in the header X-Api-Key and keeps a durable list of
// what was asked, as a paid service does; the key is not in it.
package taxverify

import (
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	vendoronboarding "sallyport.dev/examples/vendor-onboarding"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/taxid"
)

// System is the verification service.
func System() system.System {
	return system.System{Name: "taxverify", OpenAPI: vendoronboarding.TaxverifyOpenAPI, Scheme: system.APIKey("X-Api-Key"), Open: open}
}

// Answer is the answer to one question.
type Answer struct {
	taxid.Verdict
	Valid    bool `json:"valid"`    // the number is well formed and its check digits are right
	Verified bool `json:"verified"` // false: no rule is known for the country, and Valid says nothing
}

// check is a line of the list of what was asked.
type check struct {
	At      time.Time    `json:"at"`
	Number  string       `json:"number"`
	Country string       `json:"country"`
	Status  taxid.Status `json:"status"`
}

type service struct {
	journal *system.Journal[check]
	checks  atomic.Int64
}

func open(dir string) (*system.Service, error) {
	journal, checks, err := system.OpenJournal[check](filepath.Join(dir, "checks.jsonl"))
	if err != nil {
		return nil, err
	}
	s := &service{journal: journal}
	s.checks.Store(int64(len(checks)))
	return &system.Service{
		Routes: []system.Route{{Pattern: "GET /v1/tax-ids/{id}", Handle: s.verify}},
		Counts: func() map[string]int { return map[string]int{"checks": int(s.checks.Load())} },
		Close:  journal.Close,
	}, nil
}

func (s *service) verify(w http.ResponseWriter, r *http.Request) {
	q, ok := system.Query(w, r, "country")
	if !ok {
		return
	}
	id, country := r.PathValue("id"), q.Get("country")
	if len(id) > 32 || len(country) > 2 {
		system.Fail(w, http.StatusBadRequest, "an id has at most 32 characters, a country code two")
		return
	}
	v := taxid.Verify(id, country)
	if err := s.journal.Append(check{time.Now().UTC(), v.Number, v.Country, v.Status}); err != nil {
		system.Fail(w, http.StatusInternalServerError, "the check could not be recorded, so it was not made")
		return
	}
	s.checks.Add(1)
	system.JSON(w, http.StatusOK, Answer{v, v.Status == taxid.Valid, v.Status != taxid.Unsupported})
}
