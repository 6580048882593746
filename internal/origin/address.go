package origin

import (
	"regexp"
	"slices"
	"strings"
)

// maxAddresses bounds how many parts of one value are looked for by themselves.
const maxAddresses = 40

// The parts of a folded text by which money, mail or a visitor finds its way: what
// somebody who injects an instruction wants to have in it.
var (
	email   = regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+`)
	url     = regexp.MustCompile(`[a-z][a-z0-9+.-]{1,15}://[^\s<>"'{}|\\^` + "`" + `]+`)
	host    = regexp.MustCompile(`(?:[\pL\pN](?:[\pL\pN-]*[\pL\pN])?\.)+\pL{2,}`)
	account = regexp.MustCompile(`\b[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?\b`)
	long    = regexp.MustCompile(`(?:\+|\b)[0-9](?:[ ./()-]{0,2}[0-9]){5,}\b`)
	code    = regexp.MustCompile(`\b[a-z0-9]*[0-9][a-z0-9]*(?:[-_/][a-z0-9]+)*\b`)
)

// addresses lists them, each once.
func addresses(text string) (out []string) {
	add := func(s string) {
		s = strings.TrimRight(s, ".,;:!?)]")
		if len(s) >= 6 && len(out) < maxAddresses && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, re := range []*regexp.Regexp{email, url, host, account, long, code} {
		for _, m := range re.FindAllString(text, maxAddresses) {
			switch re {
			case url:
				add(m)
				_, rest, _ := strings.Cut(m, "://")
				name, _, _ := strings.Cut(rest, "/")
				add(name)
			case long, code:
				if digits(m) >= 6 || re == code && digits(m) >= minValue && len(m) >= 8 {
					add(m)
				}
			default:
				add(m)
			}
		}
	}
	return out
}
