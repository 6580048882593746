package vaultkv_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/internal/vaulttest"
)

// What a real server answers to every request that the backend makes, and to those
// that go wrong, is kept in a file: the fake has to answer the same, in every run of
// the tests, and the real one too where there is one. -update writes the file from
// the real one.
var update = flag.Bool("update", false, "write testdata from the real server")

// answersFiles are by the server's name.
var answersFiles = map[string]string{vaulttest.Vault: "testdata/vault-1.21.4.json", vaulttest.OpenBao: "testdata/openbao-2.4.0.json"}

// question is one request. In path, token and body a word in {} is the scene's.
type question struct {
	Name                string
	method, path, token string
	body                string
	cert                string // "good" or "stranger": the client certificate that is shown
	namespace           string
}

// answer is what came, with what differs each time taken out.
type answer struct {
	Name   string
	Status int
	Body   any
}

// scene is a server with the same values in it, real or not.
type scene struct {
	address string
	clients map[string]*http.Client // by the certificate that is shown; "" none
	words   map[string]string       // what stands for {word}
	seal    func()
}

const (
	crm    = "secret/data/sallyport/"
	lookup = "auth/token/lookup-self"
	renew  = "auth/token/renew-self"
)

// questions are asked in this order. What the policies are is in sceneOfReal.
var questions = []question{
	{Name: "engine 2: the newest", method: "GET", path: crm + "crm", token: "{writer}"},
	{Name: "engine 2: a version", method: "GET", path: crm + "crm?version=1", token: "{writer}"},
	{Name: "engine 2: a version that there is not", method: "GET", path: crm + "crm?version=9", token: "{writer}"},
	{Name: "engine 2: nothing", method: "GET", path: crm + "nothing", token: "{writer}"},
	{Name: "engine 2: deleted", method: "GET", path: crm + "deleted", token: "{writer}"},
	{Name: "engine 2: destroyed", method: "GET", path: crm + "destroyed", token: "{writer}"},
	{Name: "engine 2: to be deleted", method: "GET", path: crm + "later", token: "{writer}"},
	{Name: "engine 2: as engine 1", method: "GET", path: "secret/sallyport/crm", token: "{root}"},
	{Name: "engine 2: not allowed", method: "GET", path: crm + "crm", token: "{none}"},
	{Name: "engine 2: a token that was revoked", method: "GET", path: crm + "crm", token: "{revoked}"},
	{Name: "engine 2: without a token", method: "GET", path: crm + "crm"},
	{Name: "a mount that there is not", method: "GET", path: "nowhere/data/crm", token: "{root}"},
	{Name: "a mount that there is not, not allowed", method: "GET", path: "nowhere/data/crm", token: "{writer}"},
	{Name: "engine 2: create", method: "POST", path: crm + "new", token: "{writer}", body: `{"options":{"cas":0},"data":{"password":"y"}}`},
	{Name: "engine 2: create where something is, and may not update", method: "POST", path: crm + "new", token: "{writer}", body: `{"options":{"cas":0},"data":{"password":"z"}}`},
	{Name: "engine 2: create where something is, and may update", method: "POST", path: crm + "new", token: "{root}", body: `{"options":{"cas":0},"data":{"password":"z"}}`},
	{Name: "engine 2: create after a deleted one", method: "POST", path: crm + "deleted", token: "{root}", body: `{"options":{"cas":0},"data":{"password":"z"}}`},
	{Name: "engine 2: create, not allowed", method: "POST", path: crm + "new2", token: "{none}", body: `{"options":{"cas":0},"data":{"password":"z"}}`},
	{Name: "engine 1", method: "GET", path: "kv/sallyport/crm", token: "{root}"},
	{Name: "engine 1: nothing", method: "GET", path: "kv/sallyport/nothing", token: "{root}"},
	{Name: "engine 1: as engine 2", method: "GET", path: "kv/data/sallyport/crm", token: "{root}"},
	{Name: "engine 1: not allowed", method: "GET", path: "kv/sallyport/crm", token: "{none}"},
	{Name: "approle", method: "POST", path: "auth/approle/login", body: `{"role_id":"{role}","secret_id":"{secret}"}`},
	{Name: "approle: another secret id", method: "POST", path: "auth/approle/login", body: `{"role_id":"{role}","secret_id":"00000000-0000-0000-0000-000000000000"}`},
	{Name: "approle: another role", method: "POST", path: "auth/approle/login", body: `{"role_id":"00000000-0000-0000-0000-000000000000","secret_id":"{secret}"}`},
	{Name: "approle: no such mount", method: "POST", path: "auth/elsewhere/login", body: `{"role_id":"{role}","secret_id":"{secret}"}`},
	{Name: "jwt", method: "POST", path: "auth/jwt/login", body: `{"role":"sallyport","jwt":"{jwt}"}`},
	{Name: "jwt: another key", method: "POST", path: "auth/jwt/login", body: `{"role":"sallyport","jwt":"{forged}"}`},
	{Name: "jwt: another role", method: "POST", path: "auth/jwt/login", body: `{"role":"nobody","jwt":"{jwt}"}`},
	{Name: "kubernetes", method: "POST", path: "auth/kubernetes/login", body: `{"role":"sallyport","jwt":"{account}"}`},
	{Name: "kubernetes: the cluster does not take it", method: "POST", path: "auth/kubernetes/login", body: `{"role":"sallyport","jwt":"{stranger}"}`},
	{Name: "kubernetes: another role", method: "POST", path: "auth/kubernetes/login", body: `{"role":"nobody","jwt":"{account}"}`},
	{Name: "cert", method: "POST", path: "auth/cert/login", body: `{"name":"sallyport"}`, cert: "good"},
	{Name: "cert: without a role", method: "POST", path: "auth/cert/login", body: `{}`, cert: "good"},
	{Name: "cert: of another authority", method: "POST", path: "auth/cert/login", body: `{"name":"sallyport"}`, cert: "stranger"},
	{Name: "cert: none", method: "POST", path: "auth/cert/login", body: `{"name":"sallyport"}`},
	{Name: "look up a token that is renewable", method: "GET", path: lookup, token: "{writer}"},
	{Name: "look up the root token", method: "GET", path: lookup, token: "{root}"},
	{Name: "look up a token that was revoked", method: "GET", path: lookup, token: "{revoked}"},
	{Name: "renew", method: "POST", path: renew, token: "{writer}", body: `{}`},
	{Name: "renew what can't be", method: "POST", path: renew, token: "{root}", body: `{}`},
	{Name: "renew a token that was revoked", method: "POST", path: renew, token: "{revoked}", body: `{}`},
}

// namespaced are asked of OpenBao. HashiCorp's Vault ignores the header without
// Enterprise; with it, nobody has asked.
var namespaced = []question{
	{Name: "namespace: the newest", method: "GET", path: crm + "crm", token: "{teams}", namespace: "team"},
	{Name: "namespace: with a slash", method: "GET", path: crm + "crm", token: "{teams}", namespace: "team/"},
	{Name: "namespace: in the path", method: "GET", path: "team/" + crm + "crm", token: "{teams}"},
	{Name: "namespace: nothing", method: "GET", path: crm + "deleted", token: "{teams}", namespace: "team"},
	{Name: "namespace: by the root", method: "GET", path: crm + "crm", token: "{root}", namespace: "team"},
	{Name: "namespace: a token from above", method: "GET", path: crm + "crm", token: "{writer}", namespace: "team"},
	{Name: "namespace: a token from below", method: "GET", path: crm + "crm", token: "{teams}"},
	{Name: "namespace: a token from beside", method: "GET", path: crm + "crm", token: "{teams}", namespace: "other"},
	{Name: "namespace: there is no such one", method: "GET", path: crm + "crm", token: "{root}", namespace: "nobody"},
	{Name: "namespace: there is no such one, not allowed", method: "GET", path: crm + "crm", token: "{teams}", namespace: "nobody"},
	{Name: "namespace: sign in", method: "POST", path: "auth/approle/login", body: `{"role_id":"{teamrole}","secret_id":"{teamsecret}"}`, namespace: "team"},
	{Name: "namespace: sign in where there is no such one", method: "POST", path: "auth/approle/login", body: `{"role_id":"{teamrole}","secret_id":"{teamsecret}"}`, namespace: "nobody"},
	{Name: "namespace: look up", method: "GET", path: lookup, token: "{teams}", namespace: "team"},
	{Name: "namespace: renew", method: "POST", path: renew, token: "{teams}", namespace: "team", body: `{}`},
}

// sealed are asked after it was sealed.
var sealed = []question{
	{Name: "sealed: read", method: "GET", path: crm + "crm", token: "{writer}"},
	{Name: "sealed: sign in", method: "POST", path: "auth/approle/login", body: `{"role_id":"{role}","secret_id":"{secret}"}`},
	{Name: "sealed: renew", method: "POST", path: renew, token: "{writer}", body: `{}`},
}

func (s scene) ask(t *testing.T, q question) answer {
	t.Helper()
	fill := func(text string) string {
		for k, v := range s.words {
			text = strings.ReplaceAll(text, "{"+k+"}", v)
		}
		return text
	}
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(fill(q.body))
	}
	r, err := http.NewRequestWithContext(t.Context(), q.method, s.address+"/v1/"+fill(q.path), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Vault-Request", "true")
	if q.namespace != "" {
		r.Header.Set("X-Vault-Namespace", q.namespace)
	}
	if q.token != "" {
		r.Header.Set("X-Vault-Token", fill(q.token))
	}
	res, err := s.clients[q.cert].Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := answer{Name: q.Name, Status: res.StatusCode}
	if err := json.Unmarshal(raw, &out.Body); err != nil {
		out.Body = string(raw)
	}
	out.Body = plainly("", out.Body)
	return out
}

// each is what differs each time, and what stands for it.
var each = []struct {
	is   *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`^(hv)?[sb]\.[A-Za-z0-9_-]+$`), "<token>"},
	{regexp.MustCompile(`^[A-Za-z0-9]{24}(\.[A-Za-z0-9]{6})?$`), "<accessor>$1"},
	{regexp.MustCompile(`^(<accessor>|<id>)\.[A-Za-z0-9]{6}$`), "$1.<namespace>"},
	{regexp.MustCompile(`^([0-9a-f]{2}:){19}[0-9a-f]{2}$`), "<key id>"},
	{regexp.MustCompile(`^\d{12,}$`), "<serial>"},
}

// plainly takes out what differs each time.
func plainly(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plainly(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainly("", v[i])
		}
	case string:
		for _, e := range each {
			v = e.is.ReplaceAllString(v, e.word)
		}
		return v
	case float64:
		if name == "ttl" && v > 0 || name == "creation_time" {
			return "<number>"
		}
	}
	return v
}

// answers asks everything.
func (s scene) answers(t *testing.T) (out []answer) {
	t.Helper()
	for _, q := range questions {
		out = append(out, s.ask(t, q))
	}
	if s.words["teams"] != "" {
		for _, q := range namespaced {
			out = append(out, s.ask(t, q))
		}
	}
	s.seal()
	for _, q := range sealed {
		out = append(out, s.ask(t, q))
	}
	return out
}

// compare fails for each answer that is not the one of the file.
func compare(t *testing.T, answersFile string, got []answer) {
	t.Helper()
	b, err := os.ReadFile(answersFile)
	if err != nil {
		t.Fatal(err)
	}
	var want []answer
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Fatalf("%d answers, and the file has %d", len(got), len(want))
	}
	for i, w := range want {
		a, _ := json.Marshal(got[i])
		b, _ := json.Marshal(w)
		if !bytes.Equal(a, b) {
			t.Errorf("%s:\n got %s\nwant %s", w.Name, a, b)
		}
	}
}

func TestTheFakeAnswersAsTheRealOne(t *testing.T) {
	for name, file := range answersFiles {
		t.Run(name, func(t *testing.T) { compare(t, file, sceneOfFake(t, name).answers(t)) })
	}
}

func TestTheRealOneAnswersAsInTheFile(t *testing.T) {
	s := vaulttest.Start(t)
	answersFile := answersFiles[s.Name]
	if !strings.Contains(answersFile, s.Version) {
		t.Skipf("the answers are of another version than %s", s.Version)
	}
	got := sceneOfReal(t, s).answers(t)
	if *update {
		b, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(answersFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(answersFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, answersFile, got)
}
