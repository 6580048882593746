package taxid

var denmarkToGreece = []scheme{
	{"DE", "DE", []form{issued(`[1-9]\d{8}`, "9 digits: ISO 7064 MOD 11,10", germany)}},
	{"DK", "DK", []form{issued(`[1-9]\d{7}`, "8 digits: weights 2 7 6 5 4 3 2 1, modulus 11", denmark)}},
	{"EE", "EE", []form{issued(`10\d{7}`, "9 digits beginning with 10: weights 3 7 1, modulus 10", estonia)}},
	{"GR", "EL", []form{issued(`\d{9}`, "9 digits: powers of two, modulus 11", greece)}},
}

func germany(s string) string { return when(mod1110(s), wrongCheck) }

func denmark(s string) string {
	return when(weigh(s, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0, wrongCheck)
}

func estonia(s string) string {
	return when(weigh(s, 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0, wrongCheck)
}

func greece(s string) string {
	return when(weigh(s, 256, 128, 64, 32, 16, 8, 4, 2)%11%10 == at(s, 8), wrongCheck)
}
