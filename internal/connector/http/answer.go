package http

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport.dev/internal/connector"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/intent"
)

func isJSON(t string) bool { return t == "application/json" || strings.HasSuffix(t, "+json") }

func isText(t string) bool { return strings.HasPrefix(t, "text/") || t == "application/xml" }

// answers reads which media types a good answer may have, and asks for them.
func (d *document) answers(op *operation, node object) error {
	responses, _ := node["responses"].(object)
	declared := false
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		if !strings.HasPrefix(status, "2") && status != "default" {
			continue
		}
		o, err := d.deref(responses[status])
		if err != nil {
			return fault.Wrap(fault.Invalid, "has a response that", err)
		}
		content, _ := o["content"].(object)
		for _, k := range slices.Sorted(maps.Keys(content)) {
			t, _, err := mime.ParseMediaType(k)
			declared = true
			if err == nil && (isJSON(t) || isText(t)) && !slices.Contains(op.types, t) {
				op.types = append(op.types, t)
			}
		}
	}
	if declared && len(op.types) == 0 && responses["204"] == nil {
		return fault.New(fault.Invalid, "answers with neither JSON nor text")
	}
	if op.Accept = strings.Join(op.types, ", "); op.Accept == "" {
		op.Accept = "application/json"
	}
	return nil
}

// classify says what an answer means for the call.
//
//	2xx                  Done, unless what came can't be read: then a write is Unclear
//	4xx                  Refused: not applied; but 408 and 499, which say that the
//	                     exchange broke off, are Unclear
//	300, 301, 307, 308   Refused: it lives elsewhere, and nobody follows
//	302, 303, 304        of a write Unclear: many systems answer a write that they
//	                     applied so; of a read Refused
//	1xx, 5xx, all else   Unclear
func classify(op *operation, r dial.Reply, write bool) connector.Answer {
	a := connector.Answer{Outcome: connector.Done, Status: r.Status, Type: r.Type}
	if a.Type == intent.MCPResult { // which says who made the body, and that was not an MCP server
		a.Type = "application/json"
	}
	switch {
	case r.Status >= 200 && r.Status < 300:
		a.Body, a.Err = good(op, r)
		if a.Err != nil {
			a.Outcome = connector.Unclear
		}
	case r.Status >= 300 && r.Status < 400:
		a.Outcome, a.Err = connector.Refused, redirect(r)
		if write && slices.Contains([]int{http.StatusFound, http.StatusSeeOther, http.StatusNotModified}, r.Status) {
			a.Outcome = connector.Unclear
		}
	case r.Status >= 400 && r.Status < 500 && r.Status != http.StatusRequestTimeout && r.Status != 499:
		a.Outcome, a.Body, a.Err = connector.Refused, bad(r), refused(r.Status)
	default:
		a.Outcome, a.Body = connector.Unclear, bad(r)
		a.Err = fault.Newf(fault.Unavailable, "the system answered with status %d", r.Status)
	}
	if a.Outcome == connector.Unclear && write {
		a.Err = &fault.Error{
			Kind: fault.Unknown, Msg: "the write's outcome is not known", Err: a.Err,
			Hint: "it may or may not have been applied; it is not repeated until that is known",
		}
	}
	return a
}

// good reads a 2xx body: JSON, or a text where the operation declares one.
func good(op *operation, r dial.Reply) (json.RawMessage, error) {
	b := bytes.TrimSpace(r.Body)
	switch {
	case len(b) == 0:
		return json.RawMessage("null"), nil
	case !utf8.Valid(b):
		return nil, fault.New(fault.Unavailable, "the system's answer is not UTF-8 text")
	case r.Type == "" || r.Type == "text/plain" || isJSON(r.Type):
		if v, ok := compact(b); ok {
			return v, nil
		}
	}
	if isText(r.Type) && (slices.Contains(op.types, r.Type) || len(op.types) == 0 && r.Type == "text/plain") {
		return quote(r.Body), nil
	}
	if isJSON(r.Type) {
		return nil, fault.New(fault.Unavailable, "the system's answer says that it is JSON and is not")
	}
	return nil, fault.Newf(fault.Unavailable, "the system answered with %q where JSON was expected", fault.Quote(r.Type)).
		WithHint("a page in place of an answer usually comes from a proxy or a sign-in page before the system")
}

// bad keeps what a refusal says, where it is JSON or plain text; a page of a
// proxy helps nobody.
func bad(r dial.Reply) json.RawMessage {
	b := bytes.TrimSpace(r.Body)
	if len(b) == 0 || !utf8.Valid(b) {
		return nil
	}
	if v, ok := compact(b); ok && (isJSON(r.Type) || r.Type == "" || r.Type == "text/plain") {
		return v
	}
	if r.Type == "text/plain" {
		return quote(b)
	}
	return nil
}

func compact(b []byte) (json.RawMessage, bool) {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return nil, false
	}
	return out.Bytes(), true
}

func quote(b []byte) json.RawMessage {
	q, err := json.Marshal(string(b))
	if err != nil {
		return nil // a string always can be encoded
	}
	return q
}

func redirect(r dial.Reply) error {
	msg := "the system answered with a redirect, and redirects are not followed"
	if r.Location != "" {
		msg = "the system answered with a redirect to " + r.Location + ", and redirects are not followed"
	}
	return fault.New(fault.Unavailable, msg).WithHint("if the system has moved, change the Integration's base URL")
}

func refused(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return fault.New(fault.Denied, "the system does not accept the Connection's credential (401)").WithHint("check the Connection's Secret and scheme")
	case http.StatusForbidden:
		return fault.New(fault.Denied, "the system does not permit this with the Connection's credential (403)")
	case http.StatusNotFound, http.StatusGone:
		return fault.Newf(fault.NotFound, "the system does not have what was asked for (%d)", status)
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return fault.Newf(fault.Conflict, "the system is in a state that does not permit this (%d)", status)
	case http.StatusTooManyRequests:
		return fault.New(fault.Limit, "the system takes no more requests at the moment (429)").WithHint("try again later")
	case http.StatusTooEarly:
		return fault.New(fault.Unavailable, "the system asks to be called again (425)")
	}
	return fault.Newf(fault.Invalid, "the system refused the request (%d)", status)
}
