package unknown

import (
	"cmp"
	"slices"
)

// trigger is what a word of the automaton sets off.
type trigger struct {
	kind  triggerKind
	index int32 // of a token or an assignment
}

type triggerKind uint8

const (
	onToken      triggerKind = iota
	onAssignment             // a provider's word in a name
	onName                   // a word like "secret" in a name
	onPEM
	onPuTTY
	onJWT
	onAuth
	onBearer
	onCookie
	onURL
	onTCP
	onCurl
	onUser
	onKind
	onData
)

// structures are the words of the rules that are code.
var structures = map[string]triggerKind{
	"-----begin": onPEM, "private-lines:": onPuTTY, "ey": onJWT,
	"authorization": onAuth, "bearer": onBearer, "cookie": onCookie,
	"://": onURL, "@tcp(": onTCP, "@unix(": onTCP, "curl": onCurl, "-u": onUser, "--user": onUser,
	"kind": onKind, "data": onData,
	"access": onName, "api": onName, "auth": onName, "cred": onName, "key": onName, "pass": onName,
	"pwd": onName, "secret": onName, "session": onName, "token": onName, "sid": onName,
}

// buildTriggers makes the automaton of the words of the rules that are on.
func (s *Scanner) buildTriggers() {
	by := make(map[string][]trigger)
	for w, k := range structures {
		by[w] = append(by[w], trigger{kind: k})
	}
	for i, t := range s.table.tokens {
		if s.on[t.rule] {
			w := lower([]byte(t.parts[t.anchor].text))
			by[w] = append(by[w], trigger{onToken, int32(i)})
		}
	}
	for i, a := range s.table.assignments {
		if s.on[a.rule] {
			for _, w := range a.words {
				by[w] = append(by[w], trigger{onAssignment, int32(i)})
			}
		}
	}
	words := make([]string, 0, len(by))
	for w := range by {
		words = append(words, w)
	}
	slices.Sort(words)
	for _, w := range words {
		slices.SortFunc(by[w], func(a, b trigger) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.index, b.index))
		})
		s.triggers = append(s.triggers, by[w])
	}
	s.words = newAutomaton(words)
}

// scan is the state of looking through one text.
type scan struct {
	s     *Scanner
	text  []byte
	runs  runs
	marks marks
	found []candidate
	last  candidate // the one that was found last

	name pending // what is assigned to, until its value is judged
	pem  pemState
	http httpState
	kube kubeState
}

func (c *scan) run(text []byte) {
	c.text = text
	c.runs = runs{text: text}
	c.marks.reset(text)
	c.s.words.find(text, c.hit)
	c.judge()
}

// forget drops what could hold a secret, before the scan waits for another text.
func (c *scan) forget() {
	*c = scan{s: c.s, found: c.found[:0], name: pending{rules: c.name.rules[:0]}}
}

// add notes what a structure has, when its rule is on and sure enough. What
// touches a mark is not what it was, and is left.
func (c *scan) add(rule int32, conf Confidence, start, end int) {
	if start < end && !touchesMark(c.text, start, end) {
		c.put(rule, conf, start, end)
	}
}

// put notes a candidate, when its rule is on and sure enough.
func (c *scan) put(rule int32, conf Confidence, start, end int) {
	if c.s.on[rule] && conf >= c.s.least && start < end {
		c.last = candidate{start, end, rule, conf}
		c.found = append(c.found, c.last)
	}
}

// hit is called for every word, in the order of where they end.
func (c *scan) hit(word int32, start int) {
	end := start + c.s.words.length[word]
	for _, t := range c.s.triggers[word] {
		if t.kind == onToken {
			c.token(&c.s.table.tokens[t.index], start)
			continue
		}
		if c.marks.covers(start, end) {
			return
		}
		c.structure(t, start, end)
	}
}

func (c *scan) structure(t trigger, start, end int) {
	switch t.kind {
	case onToken:
	case onAssignment, onName:
		c.named(t, start, end)
	case onPEM:
		c.pemKey(start, end)
	case onPuTTY:
		c.puttyKey(end)
	case onJWT:
		c.jwt(start)
	case onAuth:
		c.named(t, start, end)
		c.authorization(end)
	case onBearer:
		c.bearer(start, end)
	case onCookie:
		c.named(t, start, end)
		c.cookies(end)
	case onURL:
		c.url(end)
	case onTCP:
		c.dsn(start)
	case onCurl:
		c.curlCommand(start, end)
	case onUser:
		c.curlUser(start, end)
	case onKind:
		c.kind(end)
	case onData:
		c.data(start, end)
	}
}

// token tries a line of tokens.txt whose text stands at i.
func (c *scan) token(t *token, i int) {
	start, secret, end, ok := t.at(&c.runs, i)
	if !ok || !t.free && !leftEdge(c.text, start) || !rightEdge(c.text, end) && !t.free {
		return
	}
	if t.free && (markEnds(c.text, start) || end < len(c.text) && markAt(c.text, end) > 0) {
		return
	}
	if start >= c.last.start && end <= c.last.end && (c.last.conf == Sure || t.conf == Likely && t.check == "") {
		return // all of it is found; many may begin in one long run
	}
	v := c.text[secret:end]
	if lowEntropy(v, t.entropy) || madeUp(v) {
		return
	}
	if _, _, dig, _ := kinds(v); dig == 0 && (t.conf == Likely || wordy(v)) {
		return
	}
	conf := t.conf
	if t.check != "" && checks[t.check](c.text[start:end]) {
		conf = Sure
	}
	if t.after {
		start = secret
	} else if t.free {
		start, end = c.word(start, end)
	}
	c.put(t.rule, conf, start, end)
}

// word extends a token that begins or ends in the middle of a word to the word's
// ends: what touches it may be a secret too.
func (c *scan) word(start, end int) (int, int) {
	if start > 0 && class('a').has(c.text[start-1]) && !leftEdge(c.text, start) {
		for k := 0; k < maxJudged && start > 0 && class('t').has(c.text[start-1]); k++ {
			start--
		}
	}
	if !rightEdge(c.text, end) {
		end = c.runs.end('t', end)
	}
	return start, end
}

// builtin rules by what they are called in the code; the order is that of the
// list.
const (
	rulePrivateKey int32 = iota
	rulePuTTYKey
	ruleJWT
	ruleAuthorization
	ruleBearer
	ruleCookie
	ruleURL
	ruleDSN
	ruleCurl
	ruleKubernetes
	rulePassword
	ruleGeneric
)
