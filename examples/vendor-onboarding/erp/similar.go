package erp

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// legalForms is tokens that say what kind of company it is, not which.
var legalForms = tokenSet(`
	ab ad ag aktiebolag aktiebolaget aktiengesellschaft aktieselskab aps as asa
	bv bvba co company corp corporation dac dd dooel doo ead ehf eood epe gmbh inc
	incorporated kft kg kgaa lda limited llc llp ltd mbh nv nyrt oao ohg ood oo ou
	oy oyj plc pte pty publ rt sa sab sae sagl sarl sas sasu sca scs se sgps sia
	sicav sl slu snc soparfi sp spa spolka srl sro uab ug zoo zrt z`)

func tokenSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// folded maps letters with marks to what people type without them. It is the
// Latin letters of the European Union's languages.
var folded = foldTable(
	"a", "àáâãåāăą", "ae", "äæ", "c", "çćĉċč", "d", "ďđð", "e", "èéêëēĕėęě", "g", "ĝğġģ",
	"h", "ħ", "i", "ìíîïĩīĭįı", "k", "ķ", "l", "ĺļľŀł", "n", "ñńņňŉ", "o", "òóôõōŏő", "oe", "öøœ",
	"r", "ŕŗř", "s", "śŝşšș", "ss", "ß", "t", "ţťŧț", "th", "þ", "u", "ùúûũūŭůűų", "ue", "ü",
	"w", "ŵ", "y", "ýÿŷ", "z", "źżž", " and ", "&+",
)

func foldTable(pairs ...string) map[rune]string {
	t := map[rune]string{}
	for i := 0; i < len(pairs); i += 2 {
		for _, r := range pairs[i+1] {
			t[r] = pairs[i]
		}
	}
	return t
}

// words is a name's words without case, marks, punctuation and legal forms.
// Dots, apostrophes and slashes join ("S.p.A." is "spa", "A/S" is "as"); all
// else that is no letter or digit separates. A name that is nothing but legal
// forms keeps them.
func words(name string) []string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch to, ok := folded[r]; {
		case ok:
			b.WriteString(to)
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case strings.ContainsRune(".'’`/", r), unicode.Is(unicode.Mn, r): // a mark on its own: a decomposed letter
		default:
			b.WriteByte(' ')
		}
	}
	all := joinLetters(strings.Fields(b.String()))
	kept := slices.DeleteFunc(slices.Clone(all), func(w string) bool { return legalForms[w] })
	for len(kept) > 0 && kept[len(kept)-1] == "and" { // "Henkel AG & Co. KGaA"
		kept = kept[:len(kept)-1]
	}
	if len(kept) == 0 {
		return all
	}
	return kept
}

// joinLetters makes one word of letters that stand alone: "a. s." is "as".
func joinLetters(in []string) []string {
	var out []string
	single := false
	for _, w := range in {
		one := utf8.RuneCountInString(w) == 1
		if one && single {
			out[len(out)-1] += w
		} else {
			out = append(out, w)
		}
		single = one
	}
	return out
}

// plain undoes the two-letter spellings, since "Müller" is written "Mueller"
// and "Muller".
var plain = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u")

func key(name string) string { return plain.Replace(strings.Join(words(name), "")) }

func sortedKey(name string) string {
	w := words(name)
	slices.Sort(w)
	return plain.Replace(strings.Join(w, ""))
}

// Similarity says how alike two company names are, from 0 to 1 with two
// decimals: 1 is the same but for case, marks, punctuation and legal form. It
// is one minus the share of letters to be changed, for the words in their order
// or sorted. Names of four letters and less are alike only when equal: there
// one letter is another company.
func Similarity(a, b string) float64 {
	ka, kb := key(a), key(b)
	if ka == "" || kb == "" {
		return 0
	}
	if ka == kb {
		return 1
	}
	if min(len(ka), len(kb)) <= 4 {
		return 0
	}
	s := max(ratio(ka, kb), ratio(sortedKey(a), sortedKey(b)))
	return min(math.Round(s*100)/100, 0.99) // 1 is said of equal ones only
}

func ratio(a, b string) float64 {
	ra, rb := []rune(a), []rune(b)
	return 1 - float64(distance(ra, rb))/float64(max(len(ra), len(rb)))
}

// distance is Levenshtein's, in one row.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, ca := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, cb := range b {
			change := diagonal
			if ca != cb {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
