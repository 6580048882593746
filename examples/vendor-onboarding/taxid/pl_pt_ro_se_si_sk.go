package taxid

import "strings"

var polandToSlovakia = []scheme{
	{"PL", "PL", []form{issued(`\d{10}`, "10 digits: weights 6 5 7 2 3 4 5 6 7, modulus 11", poland)}},
	{"PT", "PT", []form{issued(`[1-9]\d{8}`, "9 digits: weights 9 to 2, modulus 11", portugal)}},
	{"RO", "RO", []form{issued(`[1-9]\d{1,9}`, "2 to 10 digits: weights 7 5 3 2 1 7 5 3 2, modulus 11", romania)}},
	{"SE", "SE", []form{issued(`\d{12}`, "12 digits: organisation number with its Luhn digit, then 01 to 94", sweden)}},
	{"SI", "SI", []form{issued(`[1-9]\d{7}`, "8 digits: weights 8 to 2, modulus 11", slovenia)}},
	{"SK", "SK", []form{issued(`[1-9]\d[2-47-9]\d{7}`, "10 digits: modulus 11", slovakia)}},
}

func poland(s string) string {
	return when(weigh(s, 6, 5, 7, 2, 3, 4, 5, 6, 7)%11 == at(s, 9), wrongCheck)
}

func portugal(s string) string {
	c := 11 - weigh(s, 9, 8, 7, 6, 5, 4, 3, 2)%11
	if c > 9 {
		c = 0
	}
	return when(c == at(s, 8), wrongCheck)
}

// romania: shorter numbers are weighed as if zeros stood before them.
func romania(s string) string {
	full := strings.Repeat("0", 10-len(s)) + s
	return when(weigh(full, 7, 5, 3, 2, 1, 7, 5, 3, 2)*10%11%10 == at(full, 9), wrongCheck)
}

func sweden(s string) string {
	if n := number(s[10:]); n < 1 || n > 94 {
		return "the last two digits are never outside 01 to 94"
	}
	return when(s[:10] != "0000000000" && luhn(s[:10]), wrongCheck)
}

func slovenia(s string) string {
	c := 11 - weigh(s, 8, 7, 6, 5, 4, 3, 2)%11 // 11 is never issued
	return when(c != 11 && c%10 == at(s, 7), wrongCheck)
}

func slovakia(s string) string { return when(number(s)%11 == 0, wrongCheck) }
