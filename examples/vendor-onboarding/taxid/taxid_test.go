package taxid_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/taxid"
)

func TestPublishedNumbersOfRealCompaniesAreValid(t *testing.T) {
	seen := map[string]bool{}
	for id, name := range published {
		v := taxid.Verify(id, "")
		if v.Status != taxid.Valid || v.Number != id || v.Rule == "" || v.Reason != "" {
			t.Errorf("%s of %s: %+v", id, name, v)
		}
		seen[v.Country] = true
	}
	for _, c := range taxid.Countries() {
		if !seen[c] && c != "XI" {
			t.Errorf("no company of %s is in the list", c)
		}
	}
}

func TestEveryEUCountryAndBritainIsSupported(t *testing.T) {
	want := strings.Fields("AT BE BG CY CZ DE DK EE ES FI FR GB GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK XI")
	if got := taxid.Countries(); !slices.Equal(got, want) {
		t.Errorf("countries = %v", got)
	}
}

// These schemes find every single wrong digit; the others miss some by design
// (a remainder of ten written as zero, say).
func TestOneChangedDigitIsFoundWhereTheSchemePromisesIt(t *testing.T) {
	strong := map[string]bool{"AT": true, "BE": true, "DE": true, "DK": true, "ES": true, "EE": true, "HR": true, "HU": true, "IT": true, "PL": true, "SK": true}
	for id, name := range published {
		if !strong[id[:2]] {
			continue
		}
		for i := 2; i < len(id); i++ {
			for d := byte('0'); d <= '9'; d++ {
				if id[i] < '0' || id[i] > '9' || id[i] == d {
					continue
				}
				spoiled := id[:i] + string(d) + id[i+1:]
				if v := taxid.Verify(spoiled, ""); v.Status != taxid.Invalid || v.Reason == "" {
					t.Errorf("%s (spoiled %s of %s): %+v", spoiled, id, name, v)
				}
			}
		}
	}
}

func TestNoSchemeAcceptsEverySuccessor(t *testing.T) {
	for id := range published {
		last := strings.LastIndexAny(id, "0123456789")
		if strings.HasPrefix(id, "NL") {
			last = 10 // the two digits at the end of a Dutch or Swedish number are no check
		} else if strings.HasPrefix(id, "SE") {
			last = 11
		}
		next := id[:last] + string('0'+(id[last]-'0'+1)%10) + id[last+1:]
		if v := taxid.Verify(next, ""); v.Status != taxid.Invalid {
			t.Errorf("%s after %s: %+v", next, id, v)
		}
	}
}

func TestSpecialFormsFollowTheirOwnRule(t *testing.T) {
	for _, c := range []struct {
		id   string
		want taxid.Status
	}{
		{"GBGD001", taxid.Valid}, {"GBGD499", taxid.Valid}, {"GBGD500", taxid.Invalid},
		{"GBHA500", taxid.Valid}, {"GBHA999", taxid.Valid}, {"GBHA499", taxid.Invalid},
		{"GB220430231001", taxid.Valid}, {"GB220430232001", taxid.Invalid},
		{"XI220430231", taxid.Valid},
		{"GB000000000", taxid.Invalid}, {"FI00000000", taxid.Invalid}, {"SE000000000001", taxid.Invalid},
		{"NL123456789B13", taxid.Valid}, {"NL123456789B14", taxid.Invalid}, {"NL803441526B00", taxid.Invalid},
		{"ESX5253868R", taxid.Valid}, {"ESX5253868T", taxid.Invalid}, {"ES54362315K", taxid.Valid}, {"ES54362315Z", taxid.Invalid},
		{"ESP2804500B", taxid.Invalid},
		{"FR83404833048", taxid.Valid}, {"FRK7399859412", taxid.Valid}, {"FRK8399859412", taxid.Invalid}, {"FR84404833048", taxid.Invalid},
		{"IE8D79739I", taxid.Valid}, {"IE8D79738J", taxid.Invalid}, {"IE6433435OA", taxid.Valid},
		{"CZ7103192745", taxid.Valid}, {"CZ7113192745", taxid.Invalid}, {"CZ640903926", taxid.Valid}, {"CZ640903927", taxid.Invalid}, {"CZ395601439", taxid.Valid},
		{"BG7523169263", taxid.Valid}, {"BG7523169264", taxid.Invalid},
		{"LT290061371314", taxid.Valid}, {"LT290061371315", taxid.Invalid},
		{"LV16117519997", taxid.Valid}, {"LV16137519997", taxid.Invalid},
		{"IT00905811206", taxid.Invalid}, {"IT00000000000", taxid.Invalid},
		{"DE029274202", taxid.Invalid}, {"SE556012579095", taxid.Invalid},
	} {
		if v := taxid.Verify(c.id, ""); v.Status != c.want {
			t.Errorf("%s: %+v, want %s", c.id, v, c.want)
		}
	}
}

func TestPrefixAndCountryAreReconciled(t *testing.T) {
	for _, c := range []struct {
		id, country string
		want        taxid.Status
		number      string
	}{
		{"DE 129.274-202", "de", taxid.Valid, "DE129274202"},
		{"129274202", "DE", taxid.Valid, "DE129274202"},
		{"u14189108", "AT", taxid.Valid, "ATU14189108"},
		{"EL094019245", "GR", taxid.Valid, "EL094019245"},
		{"GR094019245", "EL", taxid.Valid, "EL094019245"},
		{"094019245", "GR", taxid.Valid, "EL094019245"},
		{"DE129274202", "FR", taxid.Invalid, "DE129274202"},
		{"K7399859412", "FR", taxid.Valid, "FRK7399859412"},
		{"129274202", "", taxid.Unsupported, "129274202"},
		{"US123456789", "US", taxid.Unsupported, ""},
		{"CHE116281710", "CH", taxid.Unsupported, ""},
		{"DE129274202", "XX", taxid.Unsupported, ""},
		{"", "DE", taxid.Invalid, ""},
		{"DE1292742O2", "DE", taxid.Invalid, "DE1292742O2"},
		{"DE12927420\n", "DE", taxid.Invalid, ""},
		{strings.Repeat("1", 33), "DE", taxid.Invalid, ""},
	} {
		v := taxid.Verify(c.id, c.country)
		if v.Status != c.want || v.Number != c.number {
			t.Errorf("Verify(%q, %q) = %+v", c.id, c.country, v)
		}
		if (v.Reason == "") != (v.Status == taxid.Valid) {
			t.Errorf("Verify(%q, %q): status %s with reason %q", c.id, c.country, v.Status, v.Reason)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for id := range published {
		f.Add(id, "")
		f.Add(id[2:], id[:2])
	}
	f.Add("IE7A12345A", "ie")
	f.Add("ES+1234567*", "ES")
	f.Fuzz(func(t *testing.T, id, country string) {
		v := taxid.Verify(id, country)
		switch v.Status {
		case taxid.Valid:
			if v.Reason != "" || v.Country == "" {
				t.Fatalf("valid, but %+v", v)
			}
			if again := taxid.Verify(v.Number, v.Country); again != v {
				t.Fatalf("%+v, and again %+v", v, again)
			}
		case taxid.Invalid, taxid.Unsupported:
			if v.Reason == "" {
				t.Fatalf("no reason: %+v", v)
			}
		default:
			t.Fatalf("status %q", v.Status)
		}
		if strings.ContainsFunc(v.Number, func(r rune) bool { return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+*", r) }) {
			t.Fatalf("number %q", v.Number)
		}
	})
}
