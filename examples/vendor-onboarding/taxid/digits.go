package taxid

import "strconv"

const wrongCheck = "the check digit is wrong"

// at is the digit at position i of s.
func at(s string, i int) int { return int(s[i] - '0') }

// weigh is the sum of the first len(w) digits of s, each times its weight.
func weigh(s string, w ...int) int {
	sum := 0
	for i, k := range w {
		sum += k * at(s, i)
	}
	return sum
}

// number is the value of a short run of digits (at most 18).
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("taxid: a pattern let a non-digit through") // the patterns are constants of this package
	}
	return n
}

// when turns a comparison into a verdict's reason.
func when(ok bool, otherwise string) string {
	if ok {
		return ""
	}
	return otherwise
}

// luhn reports whether the digits of s, its check digit last, sum up to a
// multiple of ten with every second doubled (ISO/IEC 7812-1, annex B).
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		d := at(s, len(s)-1-i)
		if i%2 == 1 {
			d = doubled(d)
		}
		sum += d
	}
	return sum%10 == 0
}

// doubled is the digit sum of twice d.
func doubled(d int) int {
	if d *= 2; d > 9 {
		d -= 9
	}
	return d
}

// mod1110 is ISO 7064 MOD 11,10 with the check digit last.
func mod1110(s string) bool {
	p := 10
	for i := range len(s) - 1 {
		p = (p + at(s, i)) % 10
		if p == 0 {
			p = 10
		}
		p = p * 2 % 11
	}
	return (11-p)%10 == at(s, len(s)-1)
}

// mod97 is ISO 7064 MOD 97-10 of s, letters counting A=10 … Z=35.
func mod97(s string) int {
	r := 0
	for i := range len(s) {
		if c := s[i]; c >= 'A' {
			r = (r*100 + int(c-'A') + 10) % 97
		} else {
			r = (r*10 + int(c-'0')) % 97
		}
	}
	return r
}

// calendarDay reports whether month and day can be a date; February has 29
// days here, since some numbers do not say the century.
func calendarDay(month, day int) bool {
	days := []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	return month >= 1 && month <= 12 && day >= 1 && day <= days[month-1]
}

// structureOnly is the check of forms that have no published check digit.
func structureOnly(string) string { return "" }
