package unknown_test

import (
	"bytes"
	"math/rand/v2"
)

// hostile is what texts are made of that try to be slow: prefixes without
// tokens, names without values, long runs, structures that never end.
func hostile() map[string]string {
	rng := rand.New(rand.NewPCG(7, 7))
	base64 := make([]byte, 4099)
	for i := range base64 {
		base64[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[rng.IntN(64)]
	}
	return map[string]string{
		"prefixes":  "sk-",
		"proj":      "sk-proj-",
		"equals":    "=",
		"base64":    string(base64),
		"A":         "A",
		"zeros":     "0",
		"names":     "key",
		"assigned":  "key=",
		"quotes":    `key="key='`,
		"secrets":   `api_secret_token:`,
		"spaces":    "token \n",
		"urls":      "://",
		"users":     "a:b@tcp(",
		"user":      "u://a:b@",
		"curl":      "curl -u ",
		"options":   " -u '",
		"begin":     "-----BEGIN PRIVATE KEY-----",
		"pieces":    "-----BEGIN PRIVATE KEY-----\n" + string(base64[:20]) + "\n" + string(base64[:9]) + "\n",
		"begins":    "-----BEGIN PRIVATE KEY-----" + string(base64[:64]) + "\n",
		"jwt":       "eyJhbGciOiJIUzI1NiJ9.",
		"jwts":      "eyJ.",
		"bearer":    "bearer ",
		"cookies":   "cookie: a=b; ",
		"cookie":    "cookie:",
		"auth":      "authorization: basic ",
		"kube":      "kind: secret\ndata:\n",
		"data":      "data:\n a: b\n",
		"json":      `"kind":"Secret","data":{"a":"b",`,
		"marks":     "[secret?:",
		"mark":      "[secret:x]",
		"brackets":  "[secret",
		"values":    "name: token, value: ",
		"entities":  "&quot;",
		"slashes":   `\`,
		"anchors":   "-us1.atlasv1._mmkJQQJ99Q~",
		"slack":     "xoxe-xoxb-1-",
		"webhook":   "hooks.slack.com/services/",
		"digits":    "1/2/0/:A",
		"nul":       "\x00",
		"providers": "datadog_github_sentry_",
	}
}

func repeat(unit string, n int) []byte {
	return bytes.Repeat([]byte(unit), n/len(unit)+1)[:n]
}
