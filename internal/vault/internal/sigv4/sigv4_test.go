package sigv4_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/sigv4"
)

// The vectors of AWS's published test suite, with its key, date and scope; their
// names are the suite's.
func TestSignaturesAreThoseOfThePublishedSuite(t *testing.T) {
	key := sigv4.Key{ID: "AKIDEXAMPLE", Secret: plain.New([]byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))}
	scope := sigv4.Scope{Region: "us-east-1", Service: "service", At: time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)}
	session := "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
	for name, v := range map[string]struct {
		method, body, session, want string
		header                      http.Header
	}{
		"get-vanilla":  {method: "GET", want: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla": {method: "POST", want: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-x-www-form-urlencoded": {method: "POST", body: "Param1=value1", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			want: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"post-sts-header-before": {method: "POST", session: session, want: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	} {
		k := key
		k.Session = plain.New([]byte(v.session))
		h := http.Header{}
		for n, values := range v.header {
			h[n] = values
		}
		sigv4.Sign(k, scope, v.method, "example.amazonaws.com", "/", h, []byte(v.body))
		if got := h.Get("Authorization"); !strings.HasSuffix(got, "Signature="+v.want) || !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
