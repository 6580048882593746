package unknown

import "bytes"

// httpState is what is known of requests that were met so far.
type httpState struct {
	cookies int  // end of the cookies that were read
	dsn     int  // end of the last text that was read for a password
	command bool // inside a command that begins with curl
	seen    int  // how far that command was read
	option  int  // end of the last option's value
}

// schemes are authentication schemes with a value behind them.
var schemes = []string{"bearer", "basic", "token", "api-token", "apikey", "api-key", "digest", "negotiate", "ntlm", "bot", "genie", "geniekey",
	"splunk", "oauth", "key", "sso-key", "hmac", "signature", "aws4-hmac-sha256", "jwt", "sharedkey"}

// authorization reads the value of an Authorization header, however it is
// quoted, whose name ends at i.
func (c *scan) authorization(i int) {
	t := c.text
	k, _ := skipClosing(t, i)
	k = skip(t, k, blank, 5)
	op, comma := operator(t, k)
	if op == k && !comma {
		return
	}
	k = skip(t, op, blank, 5)
	n, _ := quoteAt(t, k)
	k += n
	word := c.runs.end(segment, k)
	scheme := lower(t[k:min(word, k+20)])
	for _, s := range schemes {
		if s == scheme && word < len(t) && blank.has(t[word]) {
			k = skip(t, word, blank, 5)
			break
		}
	}
	c.credential(ruleAuthorization, k, scheme == "basic")
}

// bearer reads what stands behind "Bearer " outside of a header too.
func (c *scan) bearer(start, i int) {
	if i >= len(c.text) || !blank.has(c.text[i]) || !leftEdge(c.text, start) {
		return
	}
	c.credential(ruleBearer, skip(c.text, i, blank, 5), false)
}

// credential adds the value at i when it looks drawn rather than written.
func (c *scan) credential(rule int32, i int, basic bool) {
	t := c.text
	end := c.runs.end(opaque, i)
	if end < len(t) && (t[end] == '(' || t[end] == '{' || t[end] == '$') || touchesMark(t, i, end) {
		return
	}
	p := bytes.TrimRight(t[i:end], ".:,")
	end = i + len(p)
	least, floor := 12, 2.7
	if basic {
		least = 8
	}
	if len(p) < least || lowEntropy(p, floor) || madeUp(p) {
		return
	}
	low, up, dig, _ := kinds(p)
	switch {
	case basic && class('k').all(p) && (dig > 0 || up > 0):
	case dig >= 2 && !wordy(p):
	case dig == 0 && low > 5 && up > 5 && len(p) >= 20 && !wordy(p):
	default:
		return
	}
	c.add(rule, Likely, i, end)
}

// cookies reads the pairs of a Cookie or Set-Cookie header, whose name ends at i.
func (c *scan) cookies(i int) {
	t := c.text
	if i < c.http.cookies {
		return
	}
	k, _ := skipClosing(t, i)
	k = skip(t, k, blank, 3)
	if k == len(t) || t[k] != ':' && t[k] != '=' && t[k] != ',' {
		return
	}
	k++
	for range maxCookies {
		k = skip(t, k, cookieGap, 8)
		eq := c.runs.end(name, k)
		if eq == k || eq == len(t) || t[eq] != '=' {
			break
		}
		end := c.runs.end(opaque, eq+1)
		p := t[eq+1 : end]
		if cookieName(t[k:eq]) && len(p) >= 16 && !lowEntropy(p, 3) && !madeUp(p) && !wordy(p) {
			c.add(ruleCookie, Likely, eq+1, end)
		}
		k = end
		if k == len(t) || t[k] != ';' {
			break
		}
	}
	c.http.cookies = k
}

const maxCookies = 60

// cookieName reports whether a cookie is one that signs somebody in.
func cookieName(p []byte) bool {
	if len(p) > maxName {
		return false
	}
	low := lower(p)
	for _, w := range []string{"csrf", "xsrf"} {
		if bytes.Contains([]byte(low), []byte(w)) {
			return false
		}
	}
	for _, w := range []string{"sess", "sid", "auth", "token", "jwt", "remember", "login", "ticket", "identity", "secret", "key"} {
		if bytes.Contains([]byte(low), []byte(w)) {
			return true
		}
	}
	return false
}

// url reads the password of scheme://user:password@host, from behind "://".
func (c *scan) url(from int) {
	end := c.runs.end(host, from)
	c.userinfo(ruleURL, from, min(end, from+maxUserinfo))
}

// dsn reads user:password@tcp(host); the @ is text[i].
func (c *scan) dsn(i int) {
	start := i
	for start > c.http.dsn && i-start < maxUserinfo && host.has(c.text[start-1]) {
		start--
	}
	c.http.dsn = i + 1
	c.userinfo(ruleDSN, start, i+1)
}

const maxUserinfo = 400

// userinfo finds user:password@ at text[from:], which goes to end at most.
func (c *scan) userinfo(rule int32, from, end int) {
	t := c.text
	at := bytes.LastIndexByte(t[from:end], '@')
	if at < 0 {
		return
	}
	colon := bytes.IndexByte(t[from:from+at], ':')
	if colon < 0 {
		return
	}
	start, stop := from+colon+1, from+at
	p := t[start:stop]
	if len(p) < 3 || touchesMark(t, from, stop) || weakPassword(p) || bytes.Equal(p, t[from:from+colon]) {
		return
	}
	c.add(rule, Likely, start, stop)
}

// standIns are parts of passwords that stand for one.
var standIns = newAutomaton([]string{"passw", "your", "****", "xxx", "...", "secret", "${", "$(", "{{", "changeme", "%s", "%v", "%d"})

// weakPassword reports whether a password in a URL or a command stands for one.
func weakPassword(p []byte) bool {
	low := lower(p)
	if p[0] == '$' || p[0] == '%' && p[len(p)-1] == '%' || p[0] == '[' || p[0] == '(' {
		return true
	}
	for _, w := range []string{"pass", "password", "passwd", "pwd", "pw", "secret", "token", "user", "key", "xxx", "foo", "bar", "baz", "pswd", "yyy",
		"api_key", "apikey", "access_token", "mypass", "mypassword", "pass1", "passw0rd", "admin", "root", "test", "guest", "username", "x-oauth-basic"} {
		if low == w {
			return true
		}
	}
	return hasAny(p, placeholders) || hasAny(p, standIns) || lowEntropy(p, 1.5)
}

// curlCommand notes that a command begins with the word text[i:end].
func (c *scan) curlCommand(i, end int) {
	if leftEdge(c.text, i) && end < len(c.text) && blank.has(c.text[end]) {
		c.http.command, c.http.seen = true, i
	}
}

// inCommand reports whether text[i:] belongs to the last curl: no line ended
// between them but by a backslash. Each byte is read once.
func (c *scan) inCommand(i int) bool {
	h := &c.http
	for ; h.command && h.seen < i; h.seen++ {
		if c.text[h.seen] != '\n' {
			continue
		}
		before := bytes.TrimRight(c.text[max(0, h.seen-3):h.seen], "\r")
		h.command = len(before) > 0 && before[len(before)-1] == '\\'
	}
	return h.command
}

// curlUser reads curl's -u user:password; the option is text[start:i].
func (c *scan) curlUser(start, i int) {
	t := c.text
	if start < c.http.option || start == 0 || !space.has(t[start-1]) || i == len(t) || !c.inCommand(start) {
		return
	}
	if t[i] != '=' && !blank.has(t[i]) && t[i] != '"' && t[i] != '\'' {
		return
	}
	k := skip(t, i, blank, 5)
	if k < len(t) && t[k] == '=' {
		k++
	}
	end := argumentEnd(t, k)
	c.http.option = end
	from, stop, ok := userPassword(t, k, end)
	if ok && !touchesMark(t, k, end) {
		c.add(ruleCurl, Likely, from, stop)
	}
}

// argumentEnd is where a shell's argument at text[i:] ends.
func argumentEnd(t []byte, i int) int {
	quote := byte(0)
	end := i
	for ; end < len(t) && end-i < maxUserinfo; end++ {
		b := t[end]
		switch {
		case b == quote:
			quote = 0
		case quote == 0 && (b == '"' || b == '\''):
			quote = b
		case b == '\n', quote == 0 && blank.has(b):
			return end
		}
	}
	return end
}

// userPassword gives the bounds of the password in 'user:password', or of a user
// that is a key with no password.
func userPassword(t []byte, start, end int) (int, int, bool) {
	trim := func(a, b int) (int, int) {
		for a < b && (t[a] == '"' || t[a] == '\'') {
			a++
		}
		for b > a && (t[b-1] == '"' || t[b-1] == '\'') {
			b--
		}
		return a, b
	}
	start, end = trim(start, end)
	colon := bytes.IndexByte(t[start:end], ':')
	if colon < 0 {
		return 0, 0, false
	}
	us, ue := trim(start, start+colon)
	ps, pe := trim(start+colon+1, end)
	if pe-ps == 0 {
		ps, pe = us, ue
	}
	p := t[ps:pe]
	if len(p) < 3 || p[0] == '<' || p[0] == '{' && bytes.HasPrefix(p, []byte("{{")) || weakPassword(p) || bytes.Equal(p, t[us:ue]) && ps != us {
		return 0, 0, false
	}
	return ps, pe, true
}
