package unknown

import "strings"

// strength says how much a name makes its value a secret.
type strength int8

const (
	none     strength = iota // token_url, public_key, author
	weak                     // key, auth, session: many other things too
	strong                   // api_key, client_secret, access_token
	password                 // db_password: a person may have chosen it
)

// set makes a lookup of words.
func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	// notHeads are last words of names of what is no secret itself.
	notHeads = set(`id ids name names file filename path dir url uri urls uris link href endpoint type types kind length len size sizes
		count counts limit limits max min version expires expiry expiration expire expired ttl at date time timestamp times duration
		seconds minutes days hours age format alg algorithm label title description desc text message messages error errors host
		hostname port header headers field fields column columns pattern regex regexp policy scope scopes provider store storage ring
		board word words code codes frame pair pairs alias mesh selector stone vault issuer audience hint status state class enabled
		required allowed env ref reference arn usage used uses bits bytes index num number offset position event down up left right
		press pressed manager service factory handler builder parser reader writer validator verifier generator config options opts
		settings params param prefix suffix mode method func function placeholder input output element button page form view test
		tests spec list map cache table database db region zone info data meta metadata rotation strength salt iterations rounds
		algo cert certs certificate chain schema changed updated created deleted last change reset recovery template source target kid vector sign signed signature hash digest checksum fingerprint
		sum import require module package lib library sdk docs doc documentation example`)

	// notBefore are words before "key" or "token" that make it another thing.
	notBefore = set(`public pub publishable primary foreign natural hot idx index schema sequence bucket sort partition cache map dict
		object registry row group csrf xsrf next page continuation cursor cancel cancellation bos eos pad unk sep cls mask idempotency
		routing i18n translation locale lang site press pressed lookup unique composite candidate hash range search storage query
		form field column config context answer event message meta shortcut hotkey arrow enter escape modifier lock
		context order data issuer host skip known sync resume change start end first last prev previous current stop text word`)

	// notAnywhere are words that make any name harmless.
	notAnywhere = newAutomaton([]string{"author", "monkey", "turkey", "keyboard", "keyword", "keystone", "keynote", "keyframe", "keying",
		"accessib", "accessor", "tokeniz", "tokenis", "checksum", "chksum", "digest", "integrity", "sha256", "sha512", "sha1",
		"fingerprint", "etag", "revision", "srcrev", "nonce", "public", "publish", "primary", "foreign", "hash", "capital",
		"rapidjson", "rapids", "rapidly", "passage", "passenger", "passive", "passing", "compass", "bypass", "passthrough",
		"passed", "passes", "authentication-results", "x-ms-exchange", "tokenfile", "keyfile", "usersecretsid", "secretsid",
		"credentialsid", "credentialid", "session_start", "keyvault", "csrf", "xsrf", "jsonwebtoken", "keydown", "keyup", "keypress",
		"keysize", "keylen", "keyset", "keyselector", "keymesh", "keypair", "keychain", "keyid", "license", "licence"})

	strongHeads = []string{"secret", "secrets", "token", "tokens", "apikey", "apikeys", "accesskey", "secretkey", "privatekey",
		"authkey", "signingkey", "encryptionkey", "masterkey", "credential", "credentials", "creds", "jwt", "sessionkey", "accountkey",
		"sharedkey", "deploykey"}
	passwordHeads = []string{"password", "passwd", "passwort", "passphrase", "pwd", "passcode", "pass", "pw", "psw"}

	// strongBefore make "key" a secret one.
	strongBefore = set(`api access secret private auth authorization signing sign encryption encrypt master account service session
		shared deploy app application client server root admin webhook integration license rest aes hmac jwt ssh consumer subscription
		write project`)
	weakWords = set(`key keys auth access api session sessid sessionid sid cred cookie phpsessid jsessionid`)
)

// maxName is how much of a name is read; what is longer is no name.
const maxName = 80

// judgeName says what a name makes of its value.
func judgeName(p []byte) strength {
	if notAnywhere.in(p) {
		return none
	}
	words := splitName(p)
	if len(words) == 0 {
		return none
	}
	last := len(words) - 1
	switch s := judgeHead(words, last); {
	case s > none:
		return s
	case notHeads[words[last]]:
		return none
	}
	best := none
	for i := range last {
		best = max(best, min(judgeHead(words, i), strong))
	}
	if best == none && weakWords[words[last]] && (last == 0 || !notBefore[words[last-1]]) {
		return weak
	}
	return best
}

// judgeHead looks at one word of a name and the one before it.
func judgeHead(words []string, i int) strength {
	w := words[i]
	before := ""
	if i > 0 {
		before = words[i-1]
	}
	for _, h := range passwordHeads {
		if w == h || len(h) > 4 && strings.HasSuffix(w, h) || h == "pass" && w == "dbpass" {
			return password
		}
	}
	if notBefore[before] {
		return none
	}
	for _, h := range strongHeads {
		if rest, ok := strings.CutSuffix(w, h); ok && !notBefore[rest] {
			return strong
		}
	}
	if w == "key" || w == "keys" {
		if strongBefore[before] {
			return strong
		}
		return weak
	}
	if weakWords[w] {
		return weak
	}
	return none
}

// splitName cuts a name into words, in lower case, at signs, digits and where
// the case goes up: someApiToken_2 is some, api, token.
func splitName(p []byte) []string {
	var words []string
	at := -1
	cut := func(i int) {
		if at >= 0 {
			words = append(words, lower(p[at:i]))
		}
		at = -1
	}
	for i, b := range p {
		if !class('c').has(b) {
			cut(i)
			continue
		}
		isUp := b >= 'A' && b <= 'Z'
		wasUp := i > 0 && p[i-1] >= 'A' && p[i-1] <= 'Z'
		nextLow := i+1 < len(p) && p[i+1] >= 'a' && p[i+1] <= 'z'
		if isUp && (!wasUp || nextLow) {
			cut(i)
		}
		if at < 0 {
			at = i
		}
	}
	cut(len(p))
	return words
}
