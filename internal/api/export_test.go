package api

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"time"
)

// MaxBody is the largest body that is read.
const MaxBody = maxBody

// Routes are the table's routes, "METHOD /pattern", with the type of each answer.
func (a *API) Routes() map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, rt := range a.routes {
		out[rt.method+" "+rt.pattern] = rt.resp
	}
	return out
}

// AnswerWith answers with an error.
func (a *API) AnswerWith(err error) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.problem(w, httptest.NewRequest("GET", "/v1/me", nil), err)
	return w
}

// Decode reads a body as a route does.
func Decode(body string, into any) error {
	return decode(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), into)
}

// Attempts bounds who tries to unseal.
type Attempts = attempts

// Begin counts an attempt.
func Begin(l *Attempts, from string, here bool, now time.Time) (func(), error) {
	return l.begin(from, here, now)
}

// Source is the address that a request came from.
var Source = source
