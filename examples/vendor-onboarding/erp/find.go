package erp

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"sallyport.dev/examples/vendor-onboarding/system"
)

// Match is why a vendor was found: by what, and how alike it is, from 0 to 1.
type Match struct {
	By    string  `json:"by"` // tax_id, client_reference or name
	Score float64 `json:"score"`
}

// Found is a vendor with the reason for finding it.
type Found struct {
	Vendor
	Match Match `json:"match"`
}

// FindResult is the answer to a search, best matches first.
type FindResult struct {
	Vendors []Found `json:"vendors"`
	Count   int     `json:"count"` // of all matches; Vendors has at most maxFound
}

const (
	maxFound = 20
	minScore = 0.6 // names less alike than this are not mentioned
)

// find answers vendors that match any of the given criteria.
func (s *store) find(w http.ResponseWriter, r *http.Request) {
	q, ok := system.Query(w, r, "name", "tax_id", "client_reference")
	if !ok {
		return
	}
	name, taxID, ref := q.Get("name"), TaxKey(q.Get("tax_id")), q.Get("client_reference")
	if name == "" && taxID == "" && ref == "" {
		system.Fail(w, http.StatusBadRequest, "one of name, tax_id and client_reference is needed")
		return
	}
	s.mu.Lock()
	res := Find(s.vendors, name, taxID, ref)
	s.mu.Unlock()
	system.JSON(w, http.StatusOK, res)
}

// Find searches vendors by name (alike), tax id (equal, see [TaxKey]) and
// client reference (equal); empty criteria match nothing.
func Find(vendors []Vendor, name, taxID, ref string) FindResult {
	found := []Found{} // an empty answer is [] in JSON
	for _, v := range vendors {
		switch {
		case taxID != "" && TaxKey(v.TaxID) == TaxKey(taxID):
			found = append(found, Found{v, Match{"tax_id", 1}})
		case ref != "" && v.ClientReference == ref:
			found = append(found, Found{v, Match{"client_reference", 1}})
		case name != "":
			if score := Similarity(v.Name, name); score >= minScore {
				found = append(found, Found{v, Match{"name", score}})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Found) int { return cmp.Compare(b.Match.Score, a.Match.Score) })
	return FindResult{Vendors: found[:min(len(found), maxFound)], Count: len(found)}
}

// TaxKey is what is compared of a tax id: capital letters and digits.
func TaxKey(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return -1
	}, id)
}
