// Package erp is the example company's ERP, as far as vendors go: search, read
// and create, with two kinds of credential whose scopes it enforces itself.
//
// Creating is deliberately not idempotent and looks for no duplicate: two
// requests make two vendors. Whoever calls has to see to "at most once"; the
// request header Client-Reference is stored with the vendor and can be searched
// for, so that a caller who lost the answer can find out what became of it.
//
// # Security
//
// A vendor is on disk before the answer that says so. Names that people typed
// are compared, never interpreted; what comes in is bounded and has one form.
package erp

import (
	"fmt"
	"net/http"
	"net/mail"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	vendoronboarding "sallyport.dev/examples/vendor-onboarding"
	"sallyport.dev/examples/vendor-onboarding/system"
)

// The scopes. A credential for writing can't read, and the other way round.
const (
	ScopeRead  = "vendors:read"
	ScopeWrite = "vendors:write"
)

// System is the ERP.
func System() system.System {
	return system.System{Name: "erp", OpenAPI: vendoronboarding.ERPOpenAPI, Scheme: system.Bearer(), Open: open}
}

// Draft is what a caller says about a new vendor.
type Draft struct {
	Name         string `json:"name"`
	Country      string `json:"country"`          // ISO 3166 alpha-2
	TaxID        string `json:"tax_id,omitempty"` // normalised: capital letters and digits
	City         string `json:"city,omitempty"`
	ContactEmail string `json:"contact_email,omitempty"`
	Notes        string `json:"notes,omitempty"`
}

// Vendor is a record of the ERP.
type Vendor struct {
	ID string `json:"id"`
	Draft
	ClientReference string    `json:"client_reference,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	Legacy          bool      `json:"legacy,omitempty"` // was there before this ERP was set up
}

// store is the vendors, in memory and in a journal.
type store struct {
	mu      sync.Mutex // held over the journal's append, so that ids are in order
	vendors []Vendor
	created int // those that are not legacy
	journal *system.Journal[Vendor]
}

func open(dir string) (*system.Service, error) {
	journal, vendors, err := system.OpenJournal[Vendor](filepath.Join(dir, "vendors.jsonl"))
	if err != nil {
		return nil, err
	}
	s := &store{journal: journal}
	for _, v := range vendors {
		s.keep(v)
	}
	// A crash in the middle of the very first start leaves some of them.
	for _, v := range Existing()[min(len(vendors)-s.created, len(Existing())):] {
		if err := journal.Append(v); err != nil {
			return nil, err
		}
		s.keep(v)
	}
	return &system.Service{
		Routes: []system.Route{
			{Pattern: "GET /v1/vendors", Scope: ScopeRead, Handle: s.find},
			{Pattern: "GET /v1/vendors/{id}", Scope: ScopeRead, Handle: s.get},
			{Pattern: "POST /v1/vendors", Scope: ScopeWrite, Write: true, Handle: s.create},
		},
		Counts: s.counts,
		Close:  journal.Close,
	}, nil
}

// keep adds v in memory. The caller holds mu, or is alone.
func (s *store) keep(v Vendor) {
	s.vendors = append(s.vendors, v)
	if !v.Legacy {
		s.created++
	}
}

func (s *store) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]int{"vendors": len(s.vendors), "vendors_created": s.created}
}

var (
	countryForm   = regexp.MustCompile(`^[A-Z]{2}$`)
	taxIDForm     = regexp.MustCompile(`^[A-Z0-9+*]{4,16}$`)
	referenceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
)

// check gives the reason why d can't be a vendor, or "".
func (d Draft) check() string {
	switch {
	case d.Name == "" || len(d.Name) > 200 || key(d.Name) == "":
		return "name is needed, in letters or digits, at most 200 bytes"
	case !countryForm.MatchString(d.Country):
		return "country is needed, as two capital letters"
	case d.TaxID != "" && !taxIDForm.MatchString(d.TaxID):
		return "tax_id is 4 to 16 capital letters and digits"
	case len(d.City) > 100 || len(d.Notes) > 2000 || len(d.ContactEmail) > 200:
		return "city, notes or contact_email is too long"
	}
	if d.ContactEmail != "" {
		if a, err := mail.ParseAddress(d.ContactEmail); err != nil || a.Address != d.ContactEmail {
			return "contact_email is not an address"
		}
	}
	return ""
}

func (s *store) create(w http.ResponseWriter, r *http.Request) {
	var d Draft
	if !system.Read(w, r, &d) {
		return
	}
	if reason := d.check(); reason != "" {
		system.Fail(w, http.StatusUnprocessableEntity, reason)
		return
	}
	ref := r.Header.Values("Client-Reference")
	if len(ref) > 1 || len(ref) == 1 && !referenceForm.MatchString(ref[0]) {
		system.Fail(w, http.StatusBadRequest, "the header Client-Reference is letters, digits and _.:- only, at most 128")
		return
	}
	v := Vendor{Draft: d, CreatedAt: time.Now().UTC()}
	if len(ref) == 1 {
		v.ClientReference = ref[0]
	}
	v, err := s.add(v)
	if err != nil {
		system.Fail(w, http.StatusInternalServerError, "the vendor could not be stored")
		return
	}
	w.Header().Set("Location", "/v1/vendors/"+v.ID)
	system.JSON(w, http.StatusCreated, v)
}

// add gives v its id and stores it.
func (s *store) add(v Vendor) (Vendor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.ID = fmt.Sprintf("V-%06d", 200001+s.created)
	if err := s.journal.Append(v); err != nil {
		return Vendor{}, err
	}
	s.keep(v)
	return v, nil
}

func (s *store) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.vendors {
		if v.ID == r.PathValue("id") {
			system.JSON(w, http.StatusOK, v)
			return
		}
	}
	system.Fail(w, http.StatusNotFound, "there is no vendor with this id")
}
