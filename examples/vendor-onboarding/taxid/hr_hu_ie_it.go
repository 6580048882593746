package taxid

var croatiaToItaly = []scheme{
	{"HR", "HR", []form{issued(`\d{11}`, "11 digits: ISO 7064 MOD 11,10", croatia)}},
	{"HU", "HU", []form{issued(`\d{8}`, "8 digits: weights 9 7 3 1, modulus 10", hungary)}},
	{"IE", "IE", []form{
		issued(`\d{7}[A-W][A-I]?`, "7 digits and 1 or 2 letters: weights 8 to 2 and 9, modulus 23", ireland),
		issued(`[7-9][A-Z+*]\d{5}[A-W]`, "8 characters of the old style: weights 8 to 2, modulus 23", irelandOld),
	}},
	{"IT", "IT", []form{issued(`\d{11}`, "11 digits: office 001-100, 120, 121, 888 or 999, and Luhn", italy)}},
}

func croatia(s string) string { return when(mod1110(s), wrongCheck) }

func hungary(s string) string {
	return when((10-weigh(s, 9, 7, 3, 1, 9, 7, 3)%10)%10 == at(s, 7), wrongCheck)
}

// ireland: the second letter, where there is one, counts A=1 … I=9.
func ireland(s string) string {
	sum := weigh(s, 8, 7, 6, 5, 4, 3, 2)
	if len(s) == 9 {
		sum += 9 * int(s[8]-'A'+1)
	}
	return irelandLetter(sum, s[7])
}

// irelandOld: the digits after the second character, then the first.
func irelandOld(s string) string {
	return irelandLetter(weigh("0"+s[2:7]+s[:1], 8, 7, 6, 5, 4, 3, 2), s[7])
}

func irelandLetter(sum int, letter byte) string {
	return when("WABCDEFGHIJKLMNOPQRSTUV"[sum%23] == letter, "the check letter is wrong")
}

func italy(s string) string {
	office := number(s[7:10])
	known := office >= 1 && office <= 100 || office == 120 || office == 121 || office == 888 || office == 999
	if s[:7] == "0000000" || !known {
		return "the number names no tax office of Italy"
	}
	return when(luhn(s), wrongCheck)
}
