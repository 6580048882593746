package taxid

var austriaToCzechia = []scheme{
	{"AT", "AT", []form{issued(`U\d{8}`, "U and 8 digits: every second digit doubled, plus 4, modulus 10", austria)}},
	{"BE", "BE", []form{issued(`[01]\d{9}`, "10 digits, the first 0 or 1: 97 minus the first eight modulus 97", belgium)}},
	{"BG", "BG", []form{
		issued(`\d{9}`, "9 digits (legal entities): two rounds of weights, modulus 11", bulgariaEntity),
		issued(`\d{10}`, "10 digits (persons and others): civil number, foreigner or other, modulus 11 or 10", bulgariaPerson),
	}},
	{"CY", "CY", []form{issued(`\d{8}[A-Z]`, "8 digits and a letter: mapped odd digits, modulus 26", cyprus)}},
	{"CZ", "CZ", []form{
		issued(`[0-8]\d{7}`, "8 digits (legal entities): weights 8 to 2, modulus 11", czechEntity),
		issued(`6\d{8}`, "9 digits with a leading 6 (special cases): weights 8 to 2, modulus 11", czechSpecial),
		issued(`\d{9}`, "9 digits (persons born before 1954): birth number, structure only", czechBirthShort),
		issued(`\d{10}`, "10 digits (persons): birth number, modulus 11", czechBirth),
	}},
}

func austria(s string) string {
	sum := 4
	for i, c := range s[1:8] {
		d := int(c - '0')
		if i%2 == 1 {
			d = doubled(d)
		}
		sum += d
	}
	return when((10-sum%10)%10 == at(s, 8), wrongCheck)
}

func belgium(s string) string {
	return when(97-number(s[:8])%97 == number(s[8:]), wrongCheck)
}

func bulgariaEntity(s string) string {
	c := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8) % 11
	if c == 10 {
		c = weigh(s, 3, 4, 5, 6, 7, 8, 9, 10) % 11 % 10
	}
	return when(c == at(s, 8), wrongCheck)
}

// bulgariaPerson: the civil number has the birth's month with 20 added for the
// 19th and 40 for the 21st century.
func bulgariaPerson(s string) string {
	last := at(s, 9)
	if calendarDay(number(s[2:4])%20, number(s[4:6])) && number(s[2:4]) <= 52 &&
		weigh(s, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == last {
		return ""
	}
	if weigh(s, 21, 19, 17, 13, 11, 9, 7, 3, 1)%10 == last {
		return ""
	}
	other := (11 - weigh(s, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	return when(other == last, wrongCheck)
}

func cyprus(s string) string {
	if s[:2] == "12" {
		return "a number of Cyprus never begins with 12"
	}
	mapped := [10]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21}
	sum := 0
	for i := range 8 {
		if i%2 == 0 {
			sum += mapped[at(s, i)]
		} else {
			sum += at(s, i)
		}
	}
	return when(byte('A'+sum%26) == s[8], "the check letter is wrong")
}

func czechEntity(s string) string {
	c := (11 - weigh(s, 8, 7, 6, 5, 4, 3, 2)%11) % 10 // 11 becomes 1, 10 becomes 0
	return when(c == at(s, 7), wrongCheck)
}

// czechSpecial: with d from 1 to 11, what is missing to the next multiple of
// 11, the published table 8,7,6,5,4,3,2,1,0,9,8 is (9-d) modulus 10.
func czechSpecial(s string) string {
	d := 11 - weigh(s[1:], 8, 7, 6, 5, 4, 3, 2)%11
	return when((19-d)%10 == at(s, 8), wrongCheck)
}

func czechBirthShort(s string) string {
	return when(number(s[:2]) <= 53 && czechDate(s), "it is not a birth number: its first six digits are no date")
}

func czechBirth(s string) string {
	if !czechDate(s) {
		return "it is not a birth number: its first six digits are no date"
	}
	// Until 1985 a remainder of 10 was written as 0.
	return when(number(s[:9])%11%10 == at(s, 9), wrongCheck)
}

// czechDate: women have 50 added to the month, and 20 more where the day's
// numbers had run out.
func czechDate(s string) bool {
	m := number(s[2:4])
	if m > 50 {
		m -= 50
	}
	if m > 20 {
		m -= 20
	}
	return calendarDay(m, number(s[4:6]))
}
