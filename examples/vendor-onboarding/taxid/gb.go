package taxid

// britain has Northern Ireland too: for trade in goods its numbers carry XI,
// and are otherwise those of the United Kingdom.
var britain = []scheme{{"GB", "GB", britishForms}, {"XI", "XI", britishForms}}

var britishForms = []form{
	issued(`\d{9}`, "9 digits: weights 8 to 2, modulus 97 or 9755", britainTrader),
	issued(`\d{12}`, "12 digits (branch traders): the first nine by modulus 97 or 9755", britainTrader),
	issued(`GD[0-4]\d{2}`, "GD and 000 to 499 (government departments): structure only", structureOnly),
	issued(`HA[5-9]\d{2}`, "HA and 500 to 999 (health authorities): structure only", structureOnly),
}

// britainTrader: with the two check digits the weighed sum is a multiple of 97;
// since 2009 numbers are issued too for which it is so after adding 55.
func britainTrader(s string) string {
	if s[:7] == "0000000" {
		return "the number is empty before its check digits"
	}
	sum := weigh(s, 8, 7, 6, 5, 4, 3, 2) + number(s[7:9])
	return when(sum%97 == 0 || (sum+55)%97 == 0, "the check digits are wrong")
}
