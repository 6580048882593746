package system

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

type echoKey struct{}

// EchoText is what the request's answer has to repeat where it has room for
// text (a model's completion), or "" when the system does not echo.
func EchoText(r *http.Request) string {
	s, _ := r.Context().Value(echoKey{}).(string)
	return s
}

// echo runs next and repeats in its answer all that was received: in headers,
// and as the first member "echo" of the body when that is a JSON object.
func echo(next http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	seen := received(r)
	text := strings.Join(encodings(seen), "\n")
	rec := record(next, r.WithContext(context.WithValue(r.Context(), echoKey{}, text)))
	for i, e := range encodings(credentialParts(r)) {
		if !strings.ContainsAny(e, "\r\n") {
			rec.header.Set("X-Echo-"+strconv.Itoa(i), e)
		}
	}
	if body := rec.body.Bytes(); bytes.HasPrefix(body, []byte("{")) {
		rest := bytes.TrimLeft(body[1:], " \n")
		var b bytes.Buffer
		b.WriteString(`{"echo":` + jsonForms(seen))
		if !bytes.HasPrefix(rest, []byte("}")) {
			b.WriteByte(',')
		}
		b.Write(rest)
		rec.body = b
	}
	rec.header.Del("Content-Length")
	rec.send(w)
}

// echoError is an error message that repeats what was received.
func echoError(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "could not handle this request:\n"+strings.Join(encodings(received(r)), "\n"), http.StatusInternalServerError)
}

// received lists every header's value, the parts of the credential, the target
// and the body. The body can be read again afterwards.
func received(r *http.Request) []string {
	out := []string{r.URL.RequestURI()}
	for name, values := range r.Header {
		for _, v := range values {
			out = append(out, name+": "+v)
		}
	}
	out = append(out, credentialParts(r)...)
	if body, err := io.ReadAll(io.LimitReader(r.Body, maxBody)); err == nil && len(body) > 0 {
		out = append(out, string(body))
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	}
	return out
}

// credentialParts lists the header values that authenticate, and what is in
// them: the token after its scheme, the user name and the password.
func credentialParts(r *http.Request) []string {
	var out []string
	if v := r.Header.Get("X-Api-Key"); v != "" {
		out = append(out, v)
	}
	if v := r.Header.Get("Authorization"); v != "" {
		out = append(out, v)
		if _, token, ok := strings.Cut(v, " "); ok {
			out = append(out, token)
		}
	}
	if user, pass, ok := r.BasicAuth(); ok {
		out = append(out, user+":"+pass, pass)
	}
	return out
}

// encodings gives each text raw, in base64 (both alphabets, and shifted by one
// and two bytes), percent-encoded (needed and all bytes), in hex (both cases),
// and with JSON escapes.
func encodings(texts []string) []string {
	var out []string
	for _, s := range texts {
		b := []byte(s)
		out = append(out, s,
			base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
			base64.StdEncoding.EncodeToString([]byte("x"+s)), base64.StdEncoding.EncodeToString([]byte("xx"+s)),
			url.QueryEscape(s), everyByte("%%%02X", b),
			hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
			everyByte(`\u%04x`, b))
	}
	return out
}

// jsonForms is a JSON array of the encodings; the escaped form of each text is
// an escaped string there, not an escaped backslash.
func jsonForms(texts []string) string {
	var out []string
	for _, e := range encodings(texts) {
		b, err := json.Marshal(e)
		if err != nil {
			continue // a string can always be encoded
		}
		out = append(out, string(b))
	}
	for _, s := range texts {
		out = append(out, `"`+everyByte(`\u%04x`, []byte(s))+`"`)
	}
	return "[" + strings.Join(out, ",") + "]"
}

func everyByte(format string, b []byte) string {
	var out strings.Builder
	for _, c := range b {
		fmt.Fprintf(&out, format, c)
	}
	return out.String()
}
