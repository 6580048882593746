package api

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
)

// Problem is an error as application/problem+json (RFC 9457). Type is stable:
// programs may compare it.
type Problem struct {
	Type   string `json:"type"` // "https://sallyport.dev/problems/KIND"
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Kind   string `json:"kind"`           // a fault's kind
	Code   string `json:"code,omitempty"` // of a refused verdict
	Hint   string `json:"hint,omitempty"`
}

// hintHidden is what helps with an error that holds a Secret's value: nothing of
// it can be told.
const hintHidden = "it holds a value that is stored as a Secret: look whether one was typed where a name belongs, and rotate it if so"

// problem writes an error. What nobody classified is shown as a fixed sentence
// and written to the log.
func (a *API) problem(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.KindOf(err)
	status, title := kind.HTTP()
	p := Problem{Type: "https://sallyport.dev/problems/" + string(kind), Title: title, Status: status,
		Detail: err.Error(), Kind: string(kind), Code: string(decision.CodeOf(err)), Hint: fault.HintOf(err)}
	if kind == fault.Internal {
		p.Detail, p.Hint = "the server's log has the cause", ""
		a.Log.ErrorContext(r.Context(), "a request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	// An error can quote what a system or a Worker sent; this is the second net.
	// It replaces the whole, so that nobody can look for a secret with it piece
	// by piece.
	if len(a.Vault.Holder().Load().Contains([]byte(p.Detail+"\n"+p.Hint))) > 0 {
		p.Detail, p.Hint = "the error can't be shown", hintHidden
	}
	b, _ := json.Marshal(p) // a struct of strings and a number
	w.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sallyport"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func (a *API) noRoute(w http.ResponseWriter, r *http.Request) {
	a.problem(w, r, fault.New(fault.NotFound, "there is no such route").WithHint("the routes are listed in /v1/openapi.json"))
}
