package awssm_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fake's side of Signature Version 4, written from AWS's description of it: it
// makes the signature of a request again and compares. What signs is AWS's SDK.

type signature struct{ key, date, region, service, signed, value string }

func parseSignature(h http.Header) (s signature, ok bool) {
	text, ok := strings.CutPrefix(h.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return s, false
	}
	part := map[string]string{}
	for p := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		part[name] = value
	}
	scope := strings.Split(part["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return s, false
	}
	return signature{scope[0], scope[1], scope[2], scope[3], part["SignedHeaders"], part["Signature"]}, true
}

// right reports whether a request is signed with the secret key: all of its body, its
// host, its date, and every header of AWS's.
func (s signature) right(secret string, r *http.Request, body []byte) bool {
	names := strings.Split(s.signed, ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") {
		return false
	}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") && !slices.Contains(names, n) {
			return false
		}
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
		}
		canonical += name + ":" + strings.Join(strings.Fields(value), " ") + "\n"
	}
	canonical += "\n" + s.signed + "\n" + hexSum(body)
	at := r.Header.Get("X-Amz-Date")
	scope := s.date + "/" + s.region + "/" + s.service + "/aws4_request"
	k := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		k = mac(k, part)
	}
	want := hex.EncodeToString(mac(k, "AWS4-HMAC-SHA256\n"+at+"\n"+scope+"\n"+hexSum([]byte(canonical))))
	return strings.HasPrefix(at, s.date) && hmac.Equal([]byte(want), []byte(s.value))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// age is how old a signature is.
func age(r *http.Request, now time.Time) time.Duration {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return time.Hour
	}
	return now.Sub(at).Abs()
}

// The vectors of AWS's published test suite, with its key, date and scope; their names
// are the suite's. They are about the verifier: that the SDK signs so is what every
// other test here shows.
func TestTheFakeChecksSignaturesAsThePublishedSuiteMakesThem(t *testing.T) {
	session := "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
	for name, v := range map[string]struct{ method, body, form, session, signed, want string }{
		"get-vanilla":                {method: "GET", signed: "host;x-amz-date", want: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":               {method: "POST", signed: "host;x-amz-date", want: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-x-www-form-urlencoded": {method: "POST", body: "Param1=value1", form: "application/x-www-form-urlencoded", signed: "content-type;host;x-amz-date", want: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"post-sts-header-before":     {method: "POST", session: session, signed: "host;x-amz-date;x-amz-security-token", want: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), v.method, "https://example.amazonaws.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+v.signed+", Signature="+v.want)
		if v.form != "" {
			r.Header.Set("Content-Type", v.form)
		}
		if v.session != "" {
			r.Header.Set("X-Amz-Security-Token", v.session)
		}
		const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
		s, ok := parseSignature(r.Header)
		if !ok || !s.right(secret, r, []byte(v.body)) {
			t.Errorf("%s: the suite's signature is refused", name)
		}
		if s.right(secret, r, []byte(v.body+"x")) || s.right(secret+"x", r, []byte(v.body)) {
			t.Errorf("%s: another body or key is taken", name)
		}
		r.Header.Set("X-Amz-Target", "x")
		if s.right(secret, r, []byte(v.body)) {
			t.Errorf("%s: a header of AWS's that is not signed is taken", name)
		}
	}
}
