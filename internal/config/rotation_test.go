package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// policies are those of docs/rotation.md.
func policies(t testing.TB) (out [][]byte) {
	t.Helper()
	b, err := os.ReadFile("../../docs/rotation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(b, -1) {
		out = append(out, m[1])
	}
	return out
}

// Every policy of the document is one.
func TestTheRotationPoliciesOfTheDocumentHold(t *testing.T) {
	kinds := map[resource.RotatorKind]bool{}
	for _, b := range policies(t) {
		r, err := config.ParseRotation(b)
		if err != nil {
			t.Errorf("%v (%s): %s", err, fault.HintOf(err), b)
		}
		kinds[r.Rotator.Kind] = true
	}
	if len(kinds) != 5 {
		t.Errorf("the document has policies of %v", kinds)
	}
}

// web is a policy of the kind http, with more in it.
func web(more string) string {
	return "rotator: {kind: http, http: {baseURL: 'https://crm.example', auth: {scheme: bearer}, tryAuth: {scheme: bearer}, " +
		"create: {method: POST, path: /keys}, try: {method: GET, path: /me}, fields: {token: /token}, id: /id, " + more + "}}"
}

func TestARotationPolicyIsReadStrictly(t *testing.T) {
	good := "every: 720h\ngrace: 1h\nrotator:\n  kind: postgres\n  admin: db-admin\n  sql: {host: db.example, port: 5432, users: [app_a, app_b]}\n"
	r, err := config.ParseRotation([]byte(good))
	if err != nil || r.Every.D(0) != 720*time.Hour || len(r.Rotator.SQL.Users) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := config.ParseRotation([]byte(web("delete: {method: DELETE, path: '/keys/{id}'}, once: Idempotency-Key"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"an unknown field":     good + "extra: 1\n",
		"two documents":        good + "---\n" + good,
		"a bomb":               "a: &a [x, x]\nb: [*a, *a]\n" + good,
		"every minute":         "every: 1m\nrotator: {kind: postgres, sql: {host: db, port: 1}}",
		"no rotator":           "every: 720h",
		"another part":         "rotator: {kind: http, sql: {host: db, port: 1}}",
		"one user twice":       "rotator: {kind: postgres, admin: a, sql: {host: db, port: 1, users: [x, x]}}",
		"two without an admin": "rotator: {kind: postgres, sql: {host: db, port: 1, users: [x, y]}}",
		"plain HTTP":           "rotator: {kind: refresh, refresh: {tokenURL: http://id.example/token}}",
		"a path":               "rotator: {kind: exec, exec: {program: /bin/sh, generate: {password: 32}}}",
		"a short value":        "rotator: {kind: exec, exec: {program: ldap, generate: {password: 8}}}",
		"a password in a URL":  "rotator: {kind: refresh, refresh: {tokenURL: https://a:b@id.example/token}}",
		// A step without {id} would take away the credential in use, where it is meant
		// for another one.
		"a delete of nobody knows what": web("delete: {method: DELETE, path: /keys/previous}"),
		"a disable of the same":         web("delete: {method: DELETE, path: '/keys/{id}'}, disable: {method: POST, path: /keys/previous/off}"),
		"an id in a body alone":         strings.Replace(web("delete: {method: POST, path: /off, body: {key: '{id}'}}"), "id: /id,", "", 1),
		"a header that steers":          strings.Replace(web("once: x-key"), "auth: {scheme: bearer}", "auth: {scheme: header, name: Host}", 1),
		"a nameless header":             strings.Replace(web("once: x-key"), "auth: {scheme: bearer}", "auth: {scheme: header}", 1),
		"a try in another's place":      strings.Replace(web("once: x-key"), "tryAuth: {scheme: bearer}", "tryAuth: {scheme: query, name: 'a&b'}", 1),
		"once in the credential's":      web("once: Authorization"),
		"a CA that is not looked at":    "rotator: {kind: postgres, sql: {host: localhost, port: 1, ca: x, network: {allowLoopbackHTTP: true}}}",
		"a name that is cut":            "rotator: {kind: postgres, admin: a, sql: {host: db, port: 1, users: [" + strings.Repeat("x", 64) + ", y]}}",
	} {
		if _, err := config.ParseRotation([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is misplaced is named with its place and what could stand there.
func TestAMistakeInARotationPolicyHasItsPlace(t *testing.T) {
	_, err := config.ParseRotation([]byte("every: 720h\nnetwork: {allowLoopbackHTTP: true}\nrotator:\n  kind: http\n  http:\n    baseUrl: https://crm.example\n"))
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{"policy:2:1: ", "rotator.http", "policy:6:5: ", "baseURL"} {
		if !strings.Contains(everything(err), want) {
			t.Errorf("nothing says %q: %s", want, everything(err))
		}
	}
}

// everything is an error with its hints.
func everything(err error) (out string) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out += everything(e) + "\n"
		}
		return out
	}
	return err.Error() + " (" + fault.HintOf(err) + ")"
}

func FuzzRotation(f *testing.F) {
	for _, b := range policies(f) {
		f.Add(b)
	}
	f.Add([]byte("rotator: {kind: http}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := config.ParseRotation(b)
		if err == nil && r.Check() != nil {
			t.Error("what was read does not hold")
		}
	})
}
