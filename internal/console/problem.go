package console

import (
	"log/slog"
	"net/http"

	"sallyport.dev/internal/fault"
)

// problem is an error as a person sees it.
type problem struct {
	Heading string
	Detail  string
	Hint    string
}

// problemPage is an error instead of a page.
type problemPage struct {
	Frame
	Problem *problem
	SignIn  bool
}

func (*problemPage) name() string { return "problem" }

// fail writes an error page.
func (v *visit) fail(err error) {
	status, p := v.explain(err)
	v.render(status, &problemPage{Frame: Frame{Title: p.Heading}, Problem: p, SignIn: status == http.StatusUnauthorized})
}

// explain maps an error to a status and words. What nobody classified is a fixed
// sentence here and an entry in the log.
func (v *visit) explain(err error) (int, *problem) {
	status, heading := statusOf(fault.KindOf(err))
	p := &problem{Heading: heading, Detail: sentence(err.Error()), Hint: sentence(fault.HintOf(err))}
	if fault.Is(err, fault.Internal) {
		p.Detail, p.Hint = "The server's log has the cause.", ""
		v.Log.ErrorContext(v.Context(), "a page failed", slog.String("method", v.Method), slog.String("path", v.URL.Path), slog.Any("error", err))
	}
	// An error can quote what a system or a Worker sent; this is the second net.
	p.Detail, _ = v.Vault.Holder().Load().String(p.Detail)
	p.Hint, _ = v.Vault.Holder().Load().String(p.Hint)
	return status, p
}

// statusOf maps a fault's kind to a status, here and nowhere else.
func statusOf(k fault.Kind) (int, string) {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest, "That is not valid"
	case fault.Unauthenticated:
		return http.StatusUnauthorized, "Sign in first"
	case fault.Denied:
		return http.StatusForbidden, "Not allowed"
	case fault.NotFound:
		return http.StatusNotFound, "Not found"
	case fault.Conflict:
		return http.StatusConflict, "It has changed, or was done already"
	case fault.Pending:
		return http.StatusAccepted, "It waits for a Decision"
	case fault.Limit:
		return http.StatusTooManyRequests, "A limit is reached"
	case fault.Unavailable:
		return http.StatusServiceUnavailable, "Not available now"
	case fault.Unknown:
		return http.StatusBadGateway, "The outcome is not known"
	case fault.Internal:
	}
	return http.StatusInternalServerError, "Something went wrong here"
}

// sentence begins with a capital and ends with a full stop: errors do neither.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if c := s[0]; c >= 'a' && c <= 'z' {
		s = string(c-'a'+'A') + s[1:]
	}
	switch s[len(s)-1] {
	case '.', '!', '?', ':':
		return s
	}
	return s + "."
}
