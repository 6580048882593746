package erp_test

import (
	"testing"
	"unicode/utf8"

	"sallyport.dev/examples/vendor-onboarding/erp"
)

func TestTheSameCompanyInAnotherSpellingScoresOne(t *testing.T) {
	for _, c := range [][2]string{
		{"Siemens AG", "SIEMENS Aktiengesellschaft"}, {"Eni S.p.A.", "ENI SPA"}, {"L'Oréal S.A.", "LOREAL"}, {"Novo Nordisk A/S", "novo-nordisk as"},
		{"H & M Hennes & Mauritz AB", "H&M Hennes and Mauritz"}, {"Škoda Auto a.s.", "Skoda Auto, a. s."}, {"Müller GmbH & Co. KG", "Mueller"}, {"Müller", "Muller"},
		{"CD PROJEKT S.A.", "CD Projekt"}, {"Allegro sp. z o.o.", "Allegro"}, {"Société Générale", "Socie\u0301te\u0301 Ge\u0301ne\u0301rale SA"},
		{"AG", "ag"},
	} {
		if got := erp.Similarity(c[0], c[1]); got != 1 {
			t.Errorf("%q and %q: %v", c[0], c[1], got)
		}
	}
}

func TestATypingErrorScoresHighAndAnotherCompanyLow(t *testing.T) {
	for _, c := range [][2]string{{"Škoda Auto a.s.", "Skoda Autto"}, {"Novo Nordisk", "Novo Nordsk"}, {"Telefónica", "Telefonika"}, {"Auto Škoda", "Skoda Auto"}} {
		if got := erp.Similarity(c[0], c[1]); got < 0.85 || got > 0.99 {
			t.Errorf("%q and %q: %v", c[0], c[1], got)
		}
	}
	for _, c := range [][2]string{{"SAP SE", "SAS"}, {"Nokia", "Neste"}, {"BASF", "BASE"}, {"Siemens", "Siemens Energy"}, {"Volvo", "Volkswagen"}, {"OMV", "OMV Petrom"}, {"", "SAP"}, {"...", "..."}} {
		if got := erp.Similarity(c[0], c[1]); got >= 0.85 {
			t.Errorf("%q and %q: %v", c[0], c[1], got)
		}
	}
}

func FuzzSimilarity(f *testing.F) {
	f.Add("Škoda Auto a.s.", "Skoda")
	f.Add("", "GmbH & Co. KG")
	f.Add("株式会社", "\xff\xfe")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 200 || len(b) > 200 || !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		s := erp.Similarity(a, b)
		if s < 0 || s > 1 || s != erp.Similarity(b, a) {
			t.Fatalf("%q and %q: %v, the other way %v", a, b, s, erp.Similarity(b, a))
		}
		if self := erp.Similarity(a, a); self != 1 && self != 0 {
			t.Fatalf("%q and itself: %v", a, self)
		}
	})
}
