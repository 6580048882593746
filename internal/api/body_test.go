package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
)

func TestEveryKindOfErrorHasItsStatus(t *testing.T) {
	o := open(t)
	for kind, status := range map[fault.Kind]int{
		fault.Invalid: 400, fault.Unauthenticated: 401, fault.Denied: 403, fault.NotFound: 404, fault.Conflict: 409, fault.Pending: 202,
		fault.Limit: 429, fault.Unavailable: 503, fault.Unknown: 502, fault.Internal: 500,
	} {
		w := o.api.AnswerWith(fmt.Errorf("around it: %w", fault.New(kind, "what went wrong").WithHint("do something")))
		p := problem(t, w)
		if w.Code != status || p.Kind != string(kind) {
			t.Errorf("%s is %d %+v", kind, w.Code, p)
		}
		if kind != fault.Internal && (!strings.Contains(p.Detail, "what went wrong") || p.Hint != "do something") {
			t.Errorf("%s says %+v", kind, p)
		}
	}
}

func TestAnErrorThatNobodyClassifiedShowsNothingOfItself(t *testing.T) {
	o := open(t)
	for _, err := range []error{errors.New("table run has no column x"), fault.Wrap(fault.Internal, "at /srv/data", errors.New("no such table"))} {
		w := o.api.AnswerWith(err)
		if p := problem(t, w); w.Code != 500 || p.Detail != "the server's log has the cause" || strings.Contains(w.Body.String(), "table") {
			t.Errorf("it shows %s", w.Body)
		}
	}
	if !strings.Contains(o.log.String(), "no column x") {
		t.Errorf("the log does not have it: %s", o.log)
	}
}

// An error can quote what somebody sent.
func TestAKnownSecretInAnErrorIsNotShown(t *testing.T) {
	o := open(t)
	w := o.api.AnswerWith(fault.New(fault.Invalid, "odd: "+canary).WithHint("not %s", canary))
	w2 := o.api.AnswerWith(errors.New("internal: " + canary))
	if s := w.Body.String() + w2.Body.String() + o.log.String(); strings.Contains(s, canary) {
		t.Errorf("it can be read: %s", s)
	}
}

func TestARefusedVerdictHasItsCode(t *testing.T) {
	o := open(t)
	if p := problem(t, o.api.AnswerWith(fault.Wrap(fault.Denied, "deciding", decision.Refuse(decision.NoFactor)))); p.Code != string(decision.NoFactor) {
		t.Errorf("the problem is %+v", p)
	}
}

func TestABodyIsReadStrictly(t *testing.T) {
	o := open(t, "admin")
	for name, c := range map[string]struct{ body, says string }{
		"an unknown field":    {`{"name":"a","roles":[],"isRoot":true}`, `unknown field "isRoot"`},
		"data after it":       {`{"name":"a","roles":[]} {"name":"b"}`, "there is data after the JSON value"},
		"garbage after it":    {`{"name":"a","roles":[]} x`, "there is data after the JSON value"},
		"the wrong type":      {`{"name":7,"roles":[]}`, `the field "name" has the wrong type`},
		"another wrong type":  {`{"name":"a","roles":"admin"}`, `the field "roles" has the wrong type`},
		"no object":           {`["a"]`, "has the wrong type"},
		"no JSON":             {`name=a&roles=admin`, "is not JSON, or ends too early"},
		"an early end":        {`{"name":"a"`, "is not JSON, or ends too early"},
		"nothing":             {``, "is not JSON, or ends too early"},
		"too much":            {`{"name":"` + strings.Repeat("a", api.MaxBody) + `"}`, "larger than 16 MiB"},
		"too much after it":   {`{"name":"a","roles":[]}` + strings.Repeat(" ", api.MaxBody), "there is data after the JSON value"},
		"a long unknown name": {`{"` + strings.Repeat("k", 5000) + `":1}`, "unknown field"},
	} {
		w := o.do(o.as("admin"), "POST", "/v1/accounts", c.body)
		if p := problem(t, w); w.Code != 400 || !strings.Contains(p.Detail, c.says) || len(p.Detail) > 200 {
			t.Errorf("%s: %d %.300s", name, w.Code, p.Detail)
		}
	}
	var l api.Accounts
	if o.call(o.as("admin"), "GET", "/v1/accounts", nil, 200, &l); len(l.Accounts) != 1 {
		t.Errorf("an account was made: %+v", l)
	}
}

// The value goes one way, also where it is refused.
func TestASecretsValueDoesNotComeBack(t *testing.T) {
	o := open(t, "admin")
	const fresh = "cnry-0c1xq8w2ldm5-fresh"
	body := func(more string) string { return `{"fields":{"token":"` + fresh + `"}` + more + `}` }
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/v1/secrets/crm-token", body(""), 400}, // where may it go?
		{"PUT", "/v1/secrets/crm-token", body(`,"scope":{"origins":["https://crm.example.com"]}`), 200},
		{"PUT", "/v1/secrets/crm-token", body(""), 200}, // as before
		{"PUT", "/v1/secrets/crm-token", body(`,"oops":1`), 400},
		{"PUT", "/v1/secrets/crm-token", `{"fields":{"token":["` + fresh + `"]}}`, 400},
		{"PUT", "/v1/secrets/crm-token", `{"fields":"` + fresh + `"}`, 400},
		{"PUT", "/v1/secrets/crm-token", body("") + fresh, 400},
		{"PUT", "/v1/secrets/" + fresh, body(""), 400},
		{"GET", "/v1/secrets/" + fresh, "", 404},
		{"POST", "/v1/secrets/crm-token/rotate", `{"fields":{"token":"` + fresh + `-2"}}`, 200},
		{"GET", "/v1/secrets/crm-token", "", 200},
		{"GET", "/v1/secrets", "", 200},
		{"GET", "/v1/audit/entries", "", 200},
		{"DELETE", "/v1/secrets/crm-token", "", 204},
	} {
		var b any
		if c.body != "" {
			b = c.body
		}
		w := o.do(o.as("admin"), c.method, c.path, b)
		if w.Code != c.status {
			t.Errorf("%s %s: %d, not %d: %s", c.method, c.path, w.Code, c.status, w.Body)
		}
		if strings.Contains(w.Body.String(), fresh) {
			t.Errorf("%s %s: the answer has it: %s", c.method, c.path, w.Body)
		}
	}
	if strings.Contains(o.log.String(), fresh) {
		t.Errorf("the log has it: %s", o.log)
	}
}

func TestAValuePrintsAsNothing(t *testing.T) {
	v := api.SecretValue{Fields: map[string]api.Value{"token": api.Value(canary)}}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%s %v %+v %#v", b, v, v, v); strings.Contains(s, canary) {
		t.Errorf("it prints %s", s)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"verdict":"approve","digest":"00"}`, `{"verdict":1}`, `{"x":{}}`, `[]`, ``, `{} {}`, `{"fields":{"token":"a"}}`,
		`{"resources":[{"kind":"Team","name":"a"}]}`, "{\"reason\":\"\xff\"}", `{"verdict":"a","verdict":"b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, into := range []any{&api.Verdict{}, &api.SecretValue{}, &api.Apply{}, &api.StartRun{}} {
			err := api.Decode(body, into)
			switch {
			case err == nil && !json.Valid([]byte(body)):
				t.Fatalf("%q was read as %T", body, into)
			case err != nil && fault.KindOf(err) != fault.Invalid:
				t.Fatalf("%q: %v", body, err)
			case err != nil && len(err.Error()) > 250:
				t.Fatalf("%q: the error repeats it at length", body)
			}
			if a, ok := into.(*api.Apply); ok && err == nil {
				if _, err := api.DecodeResources(a.Resources); err != nil && fault.KindOf(err) != fault.Invalid {
					t.Fatalf("%q: %v", body, err)
				}
			}
		}
	})
}
