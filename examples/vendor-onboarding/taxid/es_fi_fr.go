package taxid

import "strings"

var spainToFrance = []scheme{
	{"ES", "ES", []form{
		issued(`[A-HJUV]\d{8}`, "a letter and 8 digits (companies): every second digit doubled, modulus 10", spainCompany),
		issued(`[A-HNPQRSW]\d{7}[A-J]`, "a letter, 7 digits and a letter (other entities): every second digit doubled, modulus 10", spainCompany),
		issued(`\d{8}[A-Z]`, "8 digits and a letter (persons): modulus 23", spainPerson),
		issued(`[KLMXYZ]\d{7}[A-Z]`, "K, L, M, X, Y or Z, 7 digits and a letter (persons): modulus 23", spainForeigner),
	}},
	{"FI", "FI", []form{issued(`\d{8}`, "8 digits: weights 7 9 10 5 8 4 2, modulus 11", finland)}},
	{"FR", "FR", []form{
		issued(`\d{11}`, "11 digits: SIREN with its Luhn digit, key modulus 97", franceDigits),
		issued(`(?:[A-HJ-NP-Z]\d|\d[A-HJ-NP-Z]|[A-HJ-NP-Z]{2})\d{9}`, "2 characters with a letter and 9 digits: SIREN with its Luhn digit, key modulus 11", franceLetters),
	}},
}

// spainCompany: the control is a digit, or the letter at its place in JABCDEFGHI.
func spainCompany(s string) string {
	sum := 0
	for i := range 7 {
		d := at(s, i+1)
		if i%2 == 0 {
			d = doubled(d)
		}
		sum += d
	}
	c := (10 - sum%10) % 10
	return when(s[8] == byte('0'+c) || s[8] == "JABCDEFGHI"[c], "the check character is wrong")
}

const spainLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

func spainPerson(s string) string {
	return when(s[8] == spainLetters[number(s[:8])%23], "the check letter is wrong")
}

// spainForeigner: X, Y and Z count 0, 1 and 2; K, L and M do not count.
func spainForeigner(s string) string {
	lead := max(strings.IndexByte("XYZ", s[0]), 0)
	n := lead*10_000_000 + number(s[1:8])
	return when(s[8] == spainLetters[n%23], "the check letter is wrong")
}

func finland(s string) string {
	c := (11 - weigh(s, 7, 9, 10, 5, 8, 4, 2)%11) % 11 // 10 is never issued
	return when(c == at(s, 7), wrongCheck)
}

// siren: Monaco's numbers begin with 000 and have no Luhn digit.
func siren(s string) bool { return s[:3] == "000" || luhn(s) }

func franceDigits(s string) string {
	if !siren(s[2:]) {
		return "the SIREN's check digit is wrong"
	}
	return when((12+3*(number(s[2:])%97))%97 == number(s[:2]), "the key is wrong")
}

func franceLetters(s string) string {
	if !siren(s[2:]) {
		return "the SIREN's check digit is wrong"
	}
	const alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	a, b := strings.IndexByte(alphabet, s[0]), strings.IndexByte(alphabet, s[1])
	key := a*34 + b - 100
	if a < 10 {
		key = a*24 + b - 10
	}
	return when((number(s[2:])+key/11+1)%11 == key%11, "the key is wrong")
}
