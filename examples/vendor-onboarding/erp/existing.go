package erp

import (
	"fmt"
	"time"
)

// Existing is the vendors that the ERP has from the start. Some came from an
// older system without a tax id, so that only their name can give a duplicate
// away.
func Existing() []Vendor {
	since := time.Date(2024, time.January, 15, 9, 0, 0, 0, time.UTC)
	var out []Vendor
	for i, d := range []Draft{
		{Name: "Siemens AG", Country: "DE", TaxID: "DE129274202", City: "Munich"},
		{Name: "SAP SE", Country: "DE", TaxID: "DE143454214", City: "Walldorf"},
		{Name: "L'Oréal S.A.", Country: "FR", TaxID: "FR10632012100", City: "Clichy"},
		{Name: "Société Générale S.A.", Country: "FR", City: "Paris"},
		{Name: "Eni S.p.A.", Country: "IT", TaxID: "IT00905811006", City: "Rome"},
		{Name: "Telefónica, S.A.", Country: "ES", City: "Madrid"},
		{Name: "Nokia Oyj", Country: "FI", TaxID: "FI01120389", City: "Espoo"},
		{Name: "Novo Nordisk A/S", Country: "DK", City: "Bagsvaerd"},
		{Name: "H & M Hennes & Mauritz AB", Country: "SE", City: "Stockholm"},
		{Name: "Tesco PLC", Country: "GB", TaxID: "GB220430231", City: "Welwyn Garden City"},
		{Name: "Škoda Auto a.s.", Country: "CZ", City: "Mlada Boleslav"},
		{Name: "Anheuser-Busch InBev SA/NV", Country: "BE", TaxID: "BE0417497106", City: "Leuven"},
	} {
		out = append(out, Vendor{ID: fmt.Sprintf("V-%06d", 100001+i), Draft: d, CreatedAt: since, Legacy: true})
	}
	return out
}
