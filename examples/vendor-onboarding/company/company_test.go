package company_test

import (
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	vendoronboarding "sallyport.dev/examples/vendor-onboarding"
	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/erp"
	"sallyport.dev/examples/vendor-onboarding/taxid"
)

func suppliers(t *testing.T) []company.Supplier {
	t.Helper()
	all, err := company.Suppliers()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The rules of the Mission, on the packages alone: what each supplier's number
// and name lead to.
func TestEachSampleSupplierGetsItsVerdict(t *testing.T) {
	vendors := erp.Existing()
	count := map[string]int{}
	for _, s := range suppliers(t) {
		got := "onboarded"
		v := taxid.Verify(s.TaxID, s.Country)
		found := erp.Find(vendors, s.Name, v.Number, "")
		if v.Status != taxid.Valid {
			got = "rejected"
		} else if slices.ContainsFunc(found.Vendors, func(f erp.Found) bool {
			return f.Match.By == "tax_id" || f.Match.Score >= 0.85 && f.Country == s.Country
		}) {
			got = "duplicate"
		}
		if got != s.Expect || s.Note == "" {
			t.Errorf("%s (%s): %s, expected %s; %+v %+v", s.Name, s.TaxID, got, s.Expect, v, found)
		}
		count[got]++
		if got == "onboarded" { // what comes later is compared with it too
			vendors = append(vendors, erp.Vendor{ID: "V-200001", Draft: erp.Draft{Name: s.Name, Country: s.Country, TaxID: v.Number}})
		}
	}
	if count["onboarded"] < 30 || count["rejected"] < 5 || count["duplicate"] < 8 {
		t.Errorf("verdicts = %v", count)
	}
}

func TestSomeDuplicatesShowInTheNameAlone(t *testing.T) {
	exact, byName := 0, 0
	for _, s := range suppliers(t) {
		if s.Expect != "duplicate" {
			continue
		}
		if found := erp.Find(erp.Existing(), s.Name, s.TaxID, ""); found.Vendors[0].Match.By == "tax_id" {
			exact++
		} else {
			byName++
		}
	}
	if exact < 3 || byName < 3 {
		t.Errorf("%d by tax id, %d by name", exact, byName)
	}
}

func TestTheExistingVendorsHaveRightNumbers(t *testing.T) {
	for _, v := range erp.Existing() {
		if v.TaxID != "" && taxid.Verify(v.TaxID, v.Country).Status != taxid.Valid {
			t.Errorf("%s: %s", v.Name, v.TaxID)
		}
	}
}

func TestTheTableAndTheJSONSayTheSame(t *testing.T) {
	f, err := vendoronboarding.Files.Open("data/suppliers.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"name", "country", "tax_id", "city", "contact_email", "expect", "note"}}
	for _, s := range suppliers(t) {
		want = append(want, []string{s.Name, s.Country, s.TaxID, s.City, s.ContactEmail, s.Expect, s.Note})
		if !strings.HasSuffix(s.ContactEmail, ".example.com") {
			t.Errorf("%s has an address that could be somebody's", s.Name)
		}
	}
	if !slices.EqualFunc(rows, want, slices.Equal) {
		t.Error("suppliers.csv differs from suppliers.json")
	}
}

func TestResourcesReferToWhatIsThereAndHoldNoSecret(t *testing.T) {
	for _, tickets := range []company.Tickets{company.OverHTTP, company.OverMCP} {
		resourcesRefer(t, tickets)
	}
}

func resourcesRefer(t *testing.T, tickets company.Tickets) {
	t.Helper()
	dir, err := company.Resources(tickets)
	if err != nil {
		t.Fatal(err)
	}
	secrets := company.NewKeys().Secrets()
	delete(secrets, company.Unused(tickets))
	var all strings.Builder
	err = fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := all.String()
	for _, m := range regexp.MustCompile(`(?m)^ +secret: (\S+)$`).FindAllStringSubmatch(text, -1) {
		if secrets[m[1]] == nil {
			t.Errorf("the Secret %s is none of the company's", m[1])
		}
		delete(secrets, m[1])
	}
	if len(secrets) != 0 {
		t.Errorf("%d credentials are used by no Connection", len(secrets))
	}
	for _, m := range regexp.MustCompile(`(?:openapi|definitions): (\S+\.json)`).FindAllStringSubmatch(text, -1) {
		if _, err := fs.Stat(dir, m[1]); err != nil {
			t.Error(err)
		}
	}
	for _, name := range company.Names {
		if !strings.Contains(text, "${"+company.Variables[name]+"}") {
			t.Errorf("no Integration uses %s", company.Variables[name])
		}
	}
}

// A document's examples and defaults are where keys leak; these have none.
func TestDocumentsDescribeEverythingAndHaveNoSamples(t *testing.T) {
	for _, name := range company.Names {
		sys, err := company.System(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(sys.OpenAPI, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids := map[string]bool{}
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch n := v.(type) {
			case map[string]any:
				_, typed := n["type"].(string)
				if _, described := n["description"]; typed && !described && !strings.Contains(path, "/schema") && !strings.Contains(path, "/allOf") {
					t.Errorf("%s%s has no description", name, path)
				}
				if id, ok := n["operationId"].(string); ok {
					if ids[id] {
						t.Errorf("%s: operation %s twice", name, id)
					}
					ids[id] = true
				}
				for k, c := range n {
					if k == "example" || k == "examples" || k == "default" || k == "Client-Reference" {
						t.Errorf("%s%s has %s", name, path, k)
					}
					walk(path+"/"+k, c)
				}
			case []any:
				for _, c := range n {
					walk(path+"/-", c)
				}
			}
		}
		walk("", doc)
		if len(ids) == 0 || strings.Contains(string(sys.OpenAPI), "/stats") || strings.Contains(string(sys.OpenAPI), "behaviour") {
			t.Errorf("%s: operations %v", name, ids)
		}
	}
}

func TestKeysAreFreshPrivateAndRotate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := company.NewKeys()
	before := k.Secrets()
	if err := k.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range company.Names {
		info, err := os.Stat(company.Path(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	again, err := company.ReadKeys(dir)
	if err != nil || again.Secrets()["erp-write-token"]["token"] != before["erp-write-token"]["token"] {
		t.Errorf("read again: %v", err)
	}
	for _, name := range []string{"erp-write-token", "ticketing-login"} {
		if err := k.Rotate(name); err != nil {
			t.Fatal(err)
		}
	}
	after := k.Secrets()
	if after["erp-write-token"]["token"] == before["erp-write-token"]["token"] || after["ticketing-login"]["password"] == before["ticketing-login"]["password"] || after["erp-read-token"]["token"] != before["erp-read-token"]["token"] {
		t.Error("rotation changed the wrong values")
	}
	if n := len(k[company.ERP].Credentials); n != 3 {
		t.Errorf("%d credentials while rotating", n)
	}
	k.Retire("erp-write-token")
	if n := len(k[company.ERP].Credentials); n != 2 || k.Secrets()["erp-write-token"]["token"] != after["erp-write-token"]["token"] {
		t.Errorf("%d credentials after retiring", n)
	}
	if k.Rotate("nobody") == nil {
		t.Error("a credential that is none was rotated")
	}
	if _, err := company.ReadKeys(t.TempDir()); err == nil {
		t.Error("read keys where there are none")
	}
}
