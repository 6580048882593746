package unknown

import "bytes"

// pemState remembers where keys end, so that no text is searched twice.
type pemState struct {
	end  int  // of the last key that was found
	last int  // where the last END was found
	gone bool // no END from last on
}

var pemEnd = []byte("-----END")

// minKey is the shortest run of base64 that makes a block a key: an Ed25519 key
// has 64 characters in PEM, cut to two lines by some.
const minKey = 32

// maxHeader bounds what is read of a key to find that run: some have a version,
// a comment and the cipher first.
const maxHeader = 1024

// pemKey takes a private key from its BEGIN to its END, in PEM as in OpenSSH's
// and PGP's armour, with real line ends or escaped ones. One that is cut short
// is taken as far as it goes.
func (c *scan) pemKey(start, i int) {
	t := c.text
	if start < c.pem.end {
		return
	}
	line := t[i:min(len(t), i+100)]
	k := bytes.Index(line, []byte("-----"))
	if k < 0 || !bytes.Contains([]byte(lower(line[:k])), []byte("private key")) {
		return
	}
	head := i + k + len("-----")
	run := c.runs.end(body, head)
	e, whole := c.nextEnd(head)
	if whole = whole && e <= run; whole {
		run = e
	}
	if longestRun(t[head:min(run, head+maxHeader)]) < minKey {
		return
	}
	end := run
	if !whole {
		if end = keyEnd(t, head, run); end == head {
			return
		}
	} else if k := bytes.Index(t[e+5:min(len(t), e+120)], []byte("-----")); k >= 0 {
		end = e + 5 + k + len("-----")
	}
	c.pem.end = end
	c.put(rulePrivateKey, Sure, start, end)
}

// keyEnd is where a key without END ends: after the last long piece of base64
// with no more than a line of something else before it.
func keyEnd(t []byte, i, most int) int {
	end, n := i, 0
	for ; i < most && i-end < maxGap; i++ {
		if !class('b').has(t[i]) {
			n = 0
			continue
		}
		if n++; n >= minPiece {
			end = i + 1
		}
	}
	return end
}

const (
	maxGap   = 100 // bytes between pieces of a key: its headers, quotes of its lines
	minPiece = 16  // bytes of base64 that prose hardly has in a row
)

// nextEnd gives the first END at or after i. It is asked in the order of the text.
func (c *scan) nextEnd(i int) (int, bool) {
	p := &c.pem
	if p.gone {
		return 0, false
	}
	if p.last < i {
		k := bytes.Index(c.text[i:], pemEnd)
		if k < 0 {
			p.gone = true
			return 0, false
		}
		p.last = i + k
	}
	return p.last, true
}

// longestRun is the length of the longest run of base64 in p.
func longestRun(p []byte) int {
	best, n := 0, 0
	for _, b := range p {
		if class('b').has(b) {
			n++
			best = max(best, n)
		} else {
			n = 0
		}
	}
	return best
}

// puttyKey takes the private lines of a key of PuTTY: their number, then they.
func (c *scan) puttyKey(i int) {
	t := c.text
	k := skip(t, i, blank, 4)
	k = skip(t, k, class('d'), 4)
	k = skip(t, k, space, 4)
	end := c.runs.end(armour, k)
	if longestRun(t[k:min(end, k+maxHeader)]) >= minKey {
		c.put(rulePuTTYKey, Sure, k, end)
	}
}

// jwt takes a token of three parts, or five when it is encrypted, the first of
// which is JSON in base64.
func (c *scan) jwt(i int) {
	t := c.text
	if !leftEdge(t, i) || i+1 >= len(t) || t[i] != 'e' || t[i+1] != 'y' {
		return
	}
	end := c.runs.end(segment, i)
	if end-i < 17 {
		return
	}
	n := 1
	for n < 5 && end < len(t) && t[end] == '.' {
		next := c.runs.end(segment, end+1)
		if n == 1 && next-end < 12 {
			break
		}
		end = next
		n++
	}
	for k := 0; k < 2 && end < len(t) && t[end] == '='; k++ {
		end++
	}
	if n < 3 || lowEntropy(t[i:end], 3) || markAt(t, end) > 0 {
		return
	}
	conf := Likely
	if t[i+2] == 'J' {
		conf = Sure
	}
	c.add(ruleJWT, conf, i, end)
}
