package unknown

import "bytes"

// kubeState is what is known of the Kubernetes object that is being read.
type kubeState struct {
	secret    int // where its kind was said to be Secret
	data      int // where its data begin
	dataLine  int // where the line of that begins
	hasKind   bool
	hasData   bool
	blockDone int // end of the data that were read
}

// nearObject is how far a kind and its data may stand apart.
const nearObject = 2048

// kind notes "kind: Secret", whose first word ends at i.
func (c *scan) kind(i int) {
	t := c.text
	k, ok := yamlValue(t, i)
	if !ok {
		return
	}
	c.kube.hasKind = false // of the object before
	if !hasFold(t[k:], "secret") {
		return
	}
	k += len("secret")
	if k < len(t) && !space.has(t[k]) && t[k] != '"' && t[k] != '\'' && t[k] != ',' && t[k] != '\\' {
		return
	}
	c.kube.secret, c.kube.hasKind = k, true
	c.object()
}

// data notes "data:" or "stringData:", the first word of which is text[start:i].
func (c *scan) data(start, i int) {
	t := c.text
	if start < c.kube.blockDone || start > 0 && class('c').has(t[start-1]) && !hasFold(t[max(0, start-6):], "string") {
		return // metadata
	}
	k, ok := yamlValue(t, i)
	if !ok || k < len(t) && t[k] != '\n' && t[k] != '\r' && t[k] != '{' && t[k] != '\\' {
		return
	}
	line := start
	for line > 0 && start-line < 80 && t[line-1] != '\n' {
		line--
	}
	c.kube.data, c.kube.dataLine, c.kube.hasData = k, line, true
	c.object()
}

// yamlValue goes over the end of a name and its colon.
func yamlValue(t []byte, i int) (int, bool) {
	n, _ := quoteAt(t, i)
	i = skip(t, i+n, blank, 5)
	if i == len(t) || t[i] != ':' {
		return 0, false
	}
	i = skip(t, i+1, blank, 20)
	n, _ = quoteAt(t, i)
	return i + n, true
}

// object reads the data of a Secret once both of its parts were met.
func (c *scan) object() {
	k := &c.kube
	if !k.hasKind || !k.hasData {
		return
	}
	from, to := min(k.secret, k.data), max(k.secret, k.data)
	if to-from > nearObject || otherObject(c.text[from:to]) {
		return
	}
	k.hasData = false // an object has data and stringData
	if k.data < len(c.text) && c.text[k.data] == '{' {
		c.jsonData(k.data + 1)
		return
	}
	c.yamlData(k.data, indent(c.text, k.dataLine))
}

// otherObject reports whether another object begins in t.
func otherObject(t []byte) bool {
	for _, s := range separators {
		if bytes.Contains(t, s) {
			return true
		}
	}
	return false
}

var separators = texts("\n---\n", "\n---\r", "\n--- ")

// indent counts the blanks at the start of a line.
func indent(t []byte, i int) int { return skip(t, i, blank, 80) - i }

// maxEntries bounds what is read of one object.
const maxEntries = 500

// yamlData reads the lines that stand deeper than the name above them.
func (c *scan) yamlData(i, above int) {
	t := c.text
	for range maxEntries {
		nl := bytes.IndexByte(t[i:min(len(t), i+maxQuoted)], '\n')
		if nl < 0 {
			break
		}
		i += nl + 1
		in := indent(t, i)
		if in <= above || i+in >= len(t) || t[i+in] == '-' || t[i+in] == '{' {
			break
		}
		colon := c.runs.end(name, i+in)
		if colon == i+in || colon == len(t) || t[colon] != ':' {
			continue // a line of a longer value
		}
		c.entry(skip(t, colon+1, blank, 5))
	}
	c.kube.blockDone = max(c.kube.blockDone, min(i, len(t)))
}

// jsonData reads "name": "value" pairs.
func (c *scan) jsonData(i int) {
	t := c.text
	for range maxEntries {
		i = skip(t, i, space, 80)
		n, _ := quoteAt(t, i)
		colon := c.runs.end(name, i+n)
		if n == 0 || colon == i+n {
			break
		}
		n, _ = quoteAt(t, colon)
		k := skip(t, colon+n, blank, 5)
		if k == len(t) || t[k] != ':' {
			break
		}
		i = c.entry(skip(t, k+1, blank, 5))
		n, _ = quoteAt(t, i)
		i += n
		if i == len(t) || t[i] != ',' {
			break
		}
		i++
	}
	c.kube.blockDone = max(c.kube.blockDone, min(i, len(t)))
}

// minEntry is the shortest base64 of a Secret that is worth hiding: seven bytes.
const minEntry = 10

// entry adds the value at i and gives its end.
func (c *scan) entry(i int) int {
	t := c.text
	n, _ := quoteAt(t, i)
	i += n
	if n == 0 && i < len(t) && (t[i] == '|' || t[i] == '>') {
		i = skip(t, skip(t, i+1, class('w'), 2), space, 80)
	}
	end := c.runs.end(class('k'), i)
	p := t[i:end]
	if len(p) >= minEntry && !madeUp(p) && !lowEntropy(p, 2) && (end == len(t) || space.has(t[end]) || t[end] == '"' || t[end] == '\'' || t[end] == '\\' || t[end] == ',') {
		c.add(ruleKubernetes, Likely, i, end)
	}
	return end
}
