package taxid

var lithuaniaToNetherlands = []scheme{
	{"LT", "LT", []form{
		issued(`\d{7}1\d`, "9 digits (legal entities): two rounds of weights, modulus 11", lithuaniaEntity),
		issued(`\d{10}1\d`, "12 digits (temporarily registered): two rounds of weights, modulus 11", lithuaniaTemporary),
	}},
	{"LU", "LU", []form{issued(`\d{8}`, "8 digits: the first six modulus 89", luxembourg)}},
	{"LV", "LV", []form{
		issued(`[4-9]\d{10}`, "11 digits (legal entities): weights 9 1 4 8 3 10 2 5 7 6, modulus 11", latviaEntity),
		issued(`32\d{9}`, "11 digits beginning with 32 (persons): structure only", structureOnly),
		issued(`[0-3]\d{10}`, "11 digits (persons): date of birth, modulus 11", latviaPerson),
	}},
	{"MT", "MT", []form{issued(`[1-9]\d{7}`, "8 digits: weights 3 4 6 7 8 9, modulus 37", malta)}},
	{"NL", "NL", []form{issued(`\d{9}B\d{2}`, "9 digits, B and 2 digits: modulus 11, or ISO 7064 MOD 97-10 for numbers since 2020", netherlands)}},
}

func lithuaniaEntity(s string) string {
	c := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8) % 11
	if c == 10 {
		c = weigh(s, 3, 4, 5, 6, 7, 8, 9, 1) % 11 % 10
	}
	return when(c == at(s, 8), wrongCheck)
}

func lithuaniaTemporary(s string) string {
	c := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2) % 11
	if c == 10 {
		c = weigh(s, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4) % 11 % 10
	}
	return when(c == at(s, 11), wrongCheck)
}

func luxembourg(s string) string { return when(number(s[:6])%89 == number(s[6:]), wrongCheck) }

// latviaEntity: where the sum leaves 4 no digit brings it to 3, and 0 is written.
func latviaEntity(s string) string {
	c := (14 - weigh(s, 9, 1, 4, 8, 3, 10, 2, 5, 7, 6)%11) % 11 % 10
	return when(c == at(s, 10), wrongCheck)
}

func latviaPerson(s string) string {
	if !calendarDay(number(s[2:4]), number(s[:2])) {
		return "its first six digits are no date of birth"
	}
	return when((1+weigh(s, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9))%11%10 == at(s, 10), wrongCheck)
}

func malta(s string) string {
	return when(37-weigh(s, 3, 4, 6, 7, 8, 9)%37 == number(s[6:]), wrongCheck)
}

// netherlands: companies keep the number derived from their RSIN; sole traders
// got one since 2020 that says nothing about their citizen number.
func netherlands(s string) string {
	if s[10:] == "00" {
		return "the last two digits are never 00"
	}
	if weigh(s, 9, 8, 7, 6, 5, 4, 3, 2)%11 == at(s, 8) && s[:9] != "000000000" {
		return ""
	}
	return when(mod97("NL"+s) == 1, wrongCheck)
}
