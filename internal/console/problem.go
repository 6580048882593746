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

// notDone is explain for a form that took password and one-time code; heading says
// what did not happen. Neither is in it, nor which of the two was wrong.
func (v *visit) notDone(err error, heading string) (int, *problem) {
	status, p := v.explain(err)
	p.Heading = heading
	if fault.Is(err, fault.Unauthenticated) {
		p.Detail = "The password or the one-time code is wrong."
	}
	return status, p
}

// explain maps an error to a status and words. What nobody classified is a fixed
// sentence here and an entry in the log.
func (v *visit) explain(err error) (int, *problem) {
	status, heading := fault.KindOf(err).HTTP()
	p := &problem{Heading: heading, Detail: sentence(err.Error()), Hint: sentence(fault.HintOf(err))}
	if fault.Is(err, fault.Internal) {
		p.Detail, p.Hint = "The server's log has the cause.", ""
		v.Log.ErrorContext(v.Context(), "a page failed", slog.String("method", v.Method), slog.String("path", v.URL.Path), slog.Any("error", err))
	}
	// An error can quote what a system or a Worker sent; this is the second net.
	// It replaces the whole, so that nobody can look for a secret with it piece
	// by piece.
	if len(v.Vault.Holder().Load().Contains([]byte(p.Detail+"\n"+p.Hint))) > 0 {
		p.Detail, p.Hint = "The error can't be shown.", "It holds a value that is stored as a Secret: look whether one was typed where a name belongs, and rotate it if so."
	}
	return status, p
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
