package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxBody bounds what a request may send to a JSON operation.
const maxBody = 64 << 10

// Problem is RFC 9457, application/problem+json.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// JSON answers with v.
func JSON(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json", v)
}

// Fail answers with a problem. detail is for people, and never has a credential
// in it.
func Fail(w http.ResponseWriter, status int, detail string) {
	write(w, status, "application/problem+json", Problem{http.StatusText(status), status, detail})
}

func write(w http.ResponseWriter, status int, mediaType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer can't be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that has gone is no error of ours
}

// Read decodes the request's body into v. It answers and returns false when the
// body is no JSON object, is too long, repeats or has unknown fields, or is
// followed by more.
func Read(w http.ResponseWriter, r *http.Request, v any) bool {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		Fail(w, http.StatusUnsupportedMediaType, "send the body as application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		Fail(w, status, "the body could not be read, or is longer than 64 KiB")
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		Fail(w, http.StatusBadRequest, "the body is not the JSON that this operation takes: unknown field, wrong type or syntax")
		return false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || ambiguous(body) {
		Fail(w, http.StatusBadRequest, "the body is no object, has a field twice or in capitals, or something after its JSON")
		return false
	}
	return true
}

// ambiguous reports whether the outermost object has a key twice, or one that
// is not plain lower case: encoding/json takes the last of two, and "Name" for
// "name"; other readers do not.
func ambiguous(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return true
	}
	seen := map[string]bool{}
	for d.More() {
		tok, err := d.Token()
		key, ok := tok.(string)
		var value json.RawMessage
		if err != nil || !ok || seen[key] || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" || d.Decode(&value) != nil {
			return true
		}
		seen[key] = true
	}
	return false
}

// Query gives the query's parameters. It answers and returns false when there
// is one that is not allowed, is there twice, or is longer than 200 bytes.
func Query(w http.ResponseWriter, r *http.Request, allowed ...string) (url.Values, bool) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		Fail(w, http.StatusBadRequest, "the query can't be read")
		return nil, false
	}
	for k, v := range q {
		if !slices.Contains(allowed, k) || len(v) != 1 || len(v[0]) > 200 {
			Fail(w, http.StatusBadRequest, "a query parameter is unknown, repeated or too long")
			return nil, false
		}
	}
	return q, true
}
