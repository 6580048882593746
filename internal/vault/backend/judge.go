package backend

import (
	"net/http"
	"strconv"

	"sallyport.dev/internal/vault/internal/rest"
)

// Judge sorts an answer of who, a service of the usual kind, by its status; nil: it is
// one. hint is for who is refused.
func Judge(who string, a rest.Answer, hint string) error {
	about := func(r Reason, msg string) *Error { return Fail(r, who+" "+msg+" (status "+strconv.Itoa(a.Status)+")") }
	switch {
	case a.Status == http.StatusOK:
		return nil
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return about(Refused, "does not let us").WithHint(hint)
	case a.Status == http.StatusNotFound:
		return about(Missing, "has nothing of this name, or not this version")
	case a.Status == http.StatusTooManyRequests:
		return about(Throttled, "asks to be asked later").Later(rest.RetryAfter(a.Header))
	case a.Status >= 300 && a.Status < 400, a.Status >= 500:
		return about(Away, "can't answer now").Later(rest.RetryAfter(a.Header))
	}
	return about(Wrong, "does not take the request")
}
