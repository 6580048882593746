package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/api"
)

// who calls: nobody, each role, the Run that the path names, another Run, and an
// outside Worker as itself.
var callers = []string{"nobody", "requester", "approver", "builder", "auditor", "admin", "run", "other-run", "worker"}

// expected is what each caller gets from a route.
type expected map[string]int

// only some people: these get a status, other people and every Run are denied.
func only(status int, people ...string) expected {
	e := expected{"nobody": 401}
	for _, c := range callers[1:] {
		e[c] = 403
	}
	for _, p := range people {
		e[p] = status
	}
	return e
}

// but changes what some get.
func (e expected) but(status int, who ...string) expected {
	e = maps.Clone(e)
	for _, c := range who {
		e[c] = status
	}
	return e
}

func everybody(status int) expected { return only(status, callers...) }
func signedIn(status int) expected  { return only(status, callers[1:6]...) }

// matrix is every route with an empty JSON object as its body and, in its path, a
// Run of the requester's and things that do not exist. A 400, 404 or 409 means
// that the caller came past the door.
var matrix = map[string]expected{
	"GET /healthz":      everybody(200),
	"GET /readyz":       everybody(200),
	"POST /v1/sessions": everybody(401), // nobody has an empty name
	"GET /v1/seal":      everybody(200),
	"POST /v1/unseal":   everybody(409), // it is unsealed

	"DELETE /v1/sessions/current": signedIn(204),
	"POST /v1/me/password":        signedIn(400),
	"GET /v1/me":                  signedIn(200),

	"GET /v1/connections":                                             only(200, "builder", "admin", "auditor"),
	"POST /v1/connections/{connection}/authorizations":                only(404, "admin"),
	"GET /v1/connections/{connection}/authorizations/{authorization}": only(404, "admin"),

	"GET /v1/integrations":                     only(200, "builder", "admin", "auditor"),
	"POST /v1/integrations/{integration}/pull": only(404, "builder", "admin"),
	"POST /v1/integrations/{integration}/test": only(404, "builder", "admin"),
	"GET /v1/tool-changes":                     only(200, "builder", "admin", "auditor"),
	"POST /v1/tool-changes/{change}/accept":    only(403), // without a proof
	"POST /v1/tool-changes/{change}/refuse":    only(403),

	"GET /v1/missions":                    signedIn(200),
	"POST /v1/missions/{mission}/runs":    only(404, "requester"),
	"POST /v1/missions/{mission}/hand-in": only(404, "requester"),
	"POST /v1/policy/explain":             signedIn(400),
	"GET /v1/runs/{run}/replay":           signedIn(200).but(404, "approver"),

	"GET /v1/runs":             signedIn(200),
	"POST /v1/runs/{run}/stop": signedIn(403).but(204, "requester", "admin").but(404, "builder", "approver"),
	// The requester's own Run, those who see all Runs, and the Run itself. The
	// approver has no action of the Run to decide on.
	"GET /v1/runs/{run}":                  signedIn(200).but(404, "builder", "approver").but(200, "run"),
	"GET /v1/runs/{run}/intents":          signedIn(200).but(404, "builder", "approver").but(200, "run"),
	"GET /v1/runs/{run}/intents/{intent}": signedIn(404).but(404, "run"),
	"GET /v1/runs/{run}/observations":     signedIn(200).but(404, "builder", "approver").but(200, "run"),
	"GET /v1/runs/{run}/follow":           signedIn(200).but(404, "builder", "approver").but(200, "run"),

	"GET /v1/runs/{run}/brief":                        only(200, "run"),
	"GET /v1/runs/{run}/pending":                      only(200, "run"),
	"POST /v1/runs/{run}/intents/{intent}/withdraw":   only(404, "run"),
	"GET /v1/workers":                                 signedIn(200),
	"GET /v1/workers/{worker}":                        signedIn(404),
	"GET /v1/workers/{worker}/tokens":                 only(403).but(404, "admin").but(200, "auditor"),
	"POST /v1/workers/{worker}/tokens":                only(403).but(404, "admin"),
	"POST /v1/workers/{worker}/tokens/{token}/revoke": only(403).but(404, "admin"),
	"POST /v1/runs/{run}/intents":                     only(403), // past the door it is the gate that refuses an empty proposal
	"POST /v1/runs/{run}/observations":                only(400, "run"),
	"POST /v1/runs/{run}/end":                         only(204, "run"),

	"GET /v1/decisions":             only(200, "approver", "auditor", "admin"),
	"GET /v1/decisions/events":      only(200, "approver", "auditor", "admin"),
	"GET /v1/decisions/{decision}":  only(404, "approver", "auditor", "admin"),
	"POST /v1/decisions/{decision}": only(404, "approver"),
	"POST /v1/decisions":            only(400, "approver"),

	"POST /v1/decisions/{decision}/break-glass":                 only(404, "admin"),
	"POST /v1/decisions/{decision}/edit":                        only(404, "approver"),
	"POST /v1/decisions/{decision}/questions":                   only(404, "approver"),
	"POST /v1/decisions/{decision}/questions/{question}/answer": signedIn(404),
	"GET /v1/runs/{run}/questions":                              signedIn(200).but(404, "builder", "approver"),

	"GET /v1/unknown":                                  only(200, "auditor", "admin"),
	"POST /v1/intents/{intent}/resolution":             only(404, "admin"),
	"GET /v1/stops":                                    only(200, "approver", "auditor", "admin"),
	"POST /v1/stops":                                   signedIn(400),      // what they may stop is the gate's business
	"POST /v1/stops/resume":                            only(403, "admin"), // without a proof, also an admin
	"GET /v1/incidents":                                only(200, "auditor", "admin"),
	"GET /v1/incidents/{incident}":                     only(404, "auditor", "admin"),
	"POST /v1/incidents/{incident}/close":              only(404, "admin"),
	"GET /v1/secrets":                                  only(200, "builder", "auditor", "admin"),
	"GET /v1/secrets/{secret}":                         only(404, "builder", "auditor", "admin"),
	"PUT /v1/secrets/{secret}":                         only(400, "admin"),
	"POST /v1/secrets/{secret}/rotate":                 only(400, "admin"),
	"POST /v1/secrets/{secret}/activate":               only(404, "admin"),
	"POST /v1/secrets/{secret}/disable":                only(404, "admin"),
	"PATCH /v1/secrets/{secret}":                       only(404, "admin"),
	"POST /v1/secrets/{secret}/rollback":               only(404, "admin"),
	"DELETE /v1/secrets/{secret}":                      only(404, "admin"),
	"POST /v1/secrets/{secret}/move":                   only(404, "admin"),
	"GET /v1/secrets/{secret}/leases":                  only(404, "builder", "auditor", "admin"),
	"GET /v1/rotations":                                only(200, "builder", "auditor", "admin"),
	"GET /v1/doctor/secrets":                           only(200, "builder", "auditor", "admin"),
	"GET /v1/doctor/backends":                          only(200, "auditor", "admin"),
	"POST /v1/doctor/backends/{backend}/ask":           only(404, "admin"),
	"POST /v1/secrets/{secret}/rotation-policy":        only(400, "admin"),
	"POST /v1/secrets/{secret}/rotation-policy/remove": only(403, "admin"), // without a password
	"POST /v1/secrets/{secret}/rotation":               only(403, "admin"),
	"POST /v1/rotations/{rotation}/resolve":            only(403, "admin"),
	"POST /v1/hooks/rotation/{secret}":                 everybody(403), // it is signed, or refused
	"POST /v1/hooks/backend/{backend}":                 everybody(403), // the same
	"GET /v1/seals":                                    only(200, "auditor", "admin"),
	"POST /v1/seals":                                   only(404, "admin"),
	"POST /v1/seals/{seal}/renew":                      only(404, "admin"),
	"POST /v1/seals/{seal}/remove":                     only(404, "admin"),
	"GET /v1/keys":                                     only(200, "auditor", "admin"),
	"POST /v1/keys/rotate":                             only(400, "admin"),
	"GET /v1/intake-key":                               only(200, "admin"),

	"POST /v1/incidents/{incident}/promote": only(404, "admin"),
	"POST /v1/incidents/{incident}/dismiss": only(404, "admin"),

	"DELETE /v1/secrets/{secret}/versions/{version}": only(404, "admin"),
	"GET /v1/accounts":                                      only(200, "admin"),
	"POST /v1/accounts":                                     only(400, "admin"),
	"POST /v1/accounts/{account}/reset":                     only(404, "admin"),
	"POST /v1/accounts/{account}/disable":                   only(404, "admin"),
	"POST /v1/backup":                                       only(400, "admin"),
	"GET /v1/channels":                                      only(200, "builder", "auditor", "admin"),
	"GET /v1/channels/{channel}":                            only(404, "builder", "auditor", "admin"),
	"POST /v1/channels/{channel}/test":                      only(404, "builder", "admin"),
	"GET /v1/resources":                                     only(200, "builder", "auditor", "admin"),
	"POST /v1/resources":                                    only(200, "builder"),
	"GET /v1/audit/entries":                                 only(200, "auditor", "admin"),
	"GET /v1/me/passkeys":                                   signedIn(200),
	"POST /v1/me/passkeys/challenge":                        signedIn(200),
	"POST /v1/me/passkeys":                                  signedIn(400), // without a name
	"POST /v1/me/passkeys/{passkey}/remove":                 signedIn(403), // without a password
	"GET /v1/accounts/{account}/passkeys":                   only(404, "auditor", "admin"),
	"POST /v1/accounts/{account}/passkey-link":              only(404, "admin"),
	"POST /v1/accounts/{account}/passkeys/{passkey}/remove": only(403),
	"POST /v1/decisions/{decision}/challenge":               only(404, "approver", "admin"),
	"GET /v1/audit/query":                                   only(400, "auditor", "admin"),
	"POST /v1/runs/{run}/erase":                             only(403, "admin"), // without a password
	"GET /v1/holds":                                         only(200, "auditor", "admin"),
	"POST /v1/holds":                                        only(400, "auditor", "admin"),
	"POST /v1/audit/prune":                                  only(400, "admin"),
	"POST /v1/audit/forget-records":                         only(403, "admin"),
	"POST /v1/holds/lift":                                   only(403, "admin"),
	"POST /v1/audit/reindex":                                only(204, "admin"),
	"GET /v1/audit/status":                                  only(200, "auditor", "admin"),
	"POST /v1/audit/rotate-key":                             only(403, "admin"),
}

// Routes beside the table: the document is for everybody, the log's tiles are
// for who may read the log.
var beside = map[string]expected{
	"GET /v1/openapi.json":           everybody(200),
	"GET /v1/audit/log/checkpoint":   only(200, "auditor", "admin"),
	"GET /v1/nothing":                everybody(404),
	"GET /v1/secrets/{secret}/value": everybody(404), // there is no such thing
	"POST /healthz":                  everybody(405),
}

func TestEveryRouteHasAnExpectation(t *testing.T) {
	o := open(t)
	routes := o.api.Routes()
	for r := range routes {
		if matrix[r] == nil {
			t.Errorf("%s is new: say in the matrix who gets what", r)
		}
	}
	for r := range matrix {
		if routes[r] == nil {
			t.Errorf("%s is expected and not there", r)
		}
	}
}

func TestEveryCallerGetsWhatIsExpectedOfEveryRoute(t *testing.T) {
	o := open(t, "requester", "approver", "builder", "auditor", "admin")
	other := o.run()
	o.employ()
	agent := o.minted("ann", "night").Token
	all := maps.Clone(matrix)
	maps.Copy(all, beside)
	routes := slices.Sorted(maps.Keys(all))
	last := "DELETE /v1/sessions/current" // it signs them out
	routes = append(slices.DeleteFunc(routes, func(r string) bool { return r == last }), last)
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		for _, caller := range callers {
			if route == last && caller == "requester" {
				defer func() { o.check(route, last, caller, o.as("requester"), "", all[route][caller]) }() // who starts the Runs goes last
				continue
			}
			token, path := "", pattern
			if strings.Contains(pattern, "{run}") || caller == "run" {
				s := o.run()
				if path = strings.ReplaceAll(pattern, "{run}", s.Run.ID); caller == "run" {
					token = s.Token
				}
				if strings.HasSuffix(pattern, "/follow") { // so that the stream ends
					o.call(o.as("requester"), "POST", "/v1/runs/"+s.Run.ID+"/stop", nil, 204, nil)
					if caller == "run" {
						continue // its token has ended with it; see TestARunsTokenEndsWithIt
					}
				}
			}
			switch caller {
			case "nobody", "run":
			case "other-run":
				token = other.Token
			case "worker":
				token = agent
			default:
				token = o.as(caller)
			}
			o.check(route, method+" "+path, caller, token, "{}", all[route][caller])
		}
	}
}

var absent = strings.NewReplacer("{mission}", "nowhere", "{intent}", "int_none", "{decision}", "dec_none", "{secret}", "none", "{seal}", "seal_none", "{account}", "acc_none", "{passkey}", "pky_none", "{version}", "1", "{worker}", "nobody", "{token}", "wtk_none", "{run}", "run_none", "{rotation}", "rot_none")

func (o *office) check(route, request, caller, token, body string, status int) {
	o.t.Helper()
	method, path, _ := strings.Cut(absent.Replace(request), " ")
	var b any
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		b = body
	}
	if path == "/v1/sessions" {
		o.plus.Add(int64(time.Minute)) // failed attempts slow down the next
	}
	w := o.do(token, method, path, b)
	if w.Code != status {
		o.t.Errorf("%s as %s: %d, not %d: %s", route, caller, w.Code, status, w.Body)
	}
	if w.Code >= 400 && w.Code != http.StatusMethodNotAllowed {
		problem(o.t, w)
	}
	for h, v := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if w.Header().Get(h) != v {
			o.t.Errorf("%s as %s: %s is %q", route, caller, h, w.Header().Get(h))
		}
	}
}

func TestACallerHasToSayWhoItIs(t *testing.T) {
	o := open(t, "requester")
	good := o.as("requester")
	if w := o.do("", "GET", "/v1/me", nil, "Authorization", "bearer "+good); w.Code != 200 {
		t.Errorf("the scheme's case: %d", w.Code)
	}
	flipped := []byte(good)
	flipped[20] ^= 1
	for name, headers := range map[string][]string{
		"nothing":              nil,
		"an empty token":       {"Authorization", "Bearer "},
		"another scheme":       {"Authorization", "Basic " + good},
		"no scheme":            {"Authorization", good},
		"a cookie":             {"Cookie", "session=" + good + "; token=" + good},
		"another header":       {"X-Api-Key", good},
		"no token of ours":     {"Authorization", "Bearer sps_guess"},
		"a changed token":      {"Authorization", "Bearer " + string(flipped)},
		"a token in two parts": {"Authorization", "Bearer " + good[:30] + " " + good[30:]},
		"a long token":         {"Authorization", "Bearer " + strings.Repeat("s", 30<<10)},
	} {
		w := o.do("", "GET", "/v1/me", nil, headers...)
		if p := problem(t, w); w.Code != 401 || p.Kind != "unauthenticated" || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), good[10:40]) {
			t.Errorf("%s: the answer repeats the token", name)
		}
	}
	if w := o.do("", "GET", "/v1/me?token="+good+"&access_token="+good, nil); w.Code != 401 {
		t.Errorf("a token in the query: %d", w.Code)
	}
}

func TestASessionEndsWhenItIsToldTo(t *testing.T) {
	o := open(t, "requester")
	token := o.as("requester")
	if w := o.do("", "DELETE", "/v1/sessions/current", nil, "Authorization", "Bearer  "+token); w.Code != 204 {
		t.Errorf("signing out with two spaces: %d %s", w.Code, w.Body)
	}
	if w := o.do(token, "GET", "/v1/me", nil); w.Code != 401 {
		t.Errorf("signed out: %d", w.Code)
	}
}

func TestASessionEndsAfterAnIdleDayAndAfterAWeek(t *testing.T) {
	o := open(t, "requester")
	token := o.as("requester")
	for day := range 7 * 4 {
		if w := o.do(token, "GET", "/v1/me", nil); w.Code != 200 {
			t.Fatalf("in use, after %d hours: %d", day*6, w.Code)
		}
		o.plus.Add(int64(6 * time.Hour))
	}
	if w := o.do(token, "GET", "/v1/me", nil); w.Code != 401 {
		t.Errorf("after a week: %d", w.Code)
	}
	delete(o.tokens, "requester")
	token = o.as("requester")
	o.plus.Add(int64(13 * time.Hour))
	if w := o.do(token, "GET", "/v1/me", nil); w.Code != 401 {
		t.Errorf("after 13 idle hours: %d", w.Code)
	}
}

func TestARunsTokenEndsWithIt(t *testing.T) {
	o := open(t, "requester")
	s := o.run()
	path := "/v1/runs/" + s.Run.ID
	o.call(s.Token, "GET", path, nil, 200, nil)
	o.call(s.Token, "POST", path+"/end", map[string]any{"verdict": "done"}, 204, nil)
	for _, p := range []string{path, path + "/observations", path + "/follow", path + "/brief"} {
		if w := o.do(s.Token, "GET", p, nil); w.Code != 401 {
			t.Errorf("GET %s after the end: %d %s", p, w.Code, w.Body)
		}
	}
}

// A stream ends with the verdict, one Observation a line.
func TestFollowingEndsWithTheVerdict(t *testing.T) {
	o := open(t, "requester")
	s := o.run()
	o.call(s.Token, "POST", "/v1/runs/"+s.Run.ID+"/end", map[string]any{"verdict": "done", "summary": "all of it"}, 204, nil)
	w := o.do(o.as("requester"), "GET", "/v1/runs/"+s.Run.ID+"/follow", nil)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	var lastLine struct{ Kind, Title string }
	o.must(json.Unmarshal([]byte(lines[len(lines)-1]), &lastLine))
	if w.Header().Get("Content-Type") != "application/x-ndjson" || len(lines) != 2 || lastLine.Kind != "verdict" || lastLine.Title != "done" {
		t.Errorf("%s: %q", w.Header().Get("Content-Type"), lines)
	}
}

// The account that is disabled can do nothing with the token that it had.
func TestADisabledAccountIsOut(t *testing.T) {
	o := open(t, "requester", "admin")
	token := o.as("requester")
	o.call(o.as("admin"), "POST", "/v1/accounts/"+o.people["requester"].account.ID+"/disable", nil, 204, nil)
	if w := o.do(token, "GET", "/v1/me", nil); w.Code != 401 {
		t.Errorf("its token: %d", w.Code)
	}
	w := o.do("", "POST", "/v1/sessions", map[string]any{"name": "requester", "password": password("requester"), "code": o.code("requester")})
	if w.Code != 401 {
		t.Errorf("signing in: %d %s", w.Code, w.Body)
	}
}

// What signing in answers is the same for a name that is not there and for a
// wrong password or code.
func TestSigningInDoesNotTellWhoIsThere(t *testing.T) {
	o := open(t, "requester")
	texts := map[string]bool{}
	for _, in := range []api.SignIn{
		{Name: "nobody", Password: password("nobody"), Code: "123456"},
		{Name: "requester", Password: "wrong", Code: o.code("requester")},
	} {
		w := o.do("", "POST", "/v1/sessions", in)
		texts[fmt.Sprint(w.Code, w.Body)] = true
	}
	if len(texts) != 1 {
		t.Errorf("they differ: %v", texts)
	}
}
