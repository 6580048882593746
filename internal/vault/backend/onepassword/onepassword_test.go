package onepassword_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/onepassword"
	"sallyport.dev/internal/vault/internal/plain"
)

const (
	theVault = "aaaabbbbccccddddeeeeffff11"
	another  = "zzzzbbbbccccddddeeeeffff11"
	canary   = "cnry-of-the-contract-81kq"
)

// fakeConnect answers as the Connect server's API reference says.
type fakeConnect struct {
	mu    sync.Mutex
	fault backendtest.Fault
	token string
	items []*item
}

type item struct {
	ID       string              `json:"id"`
	Title    string              `json:"title"`
	Vault    map[string]string   `json:"vault"`
	Category string              `json:"category"`
	Version  int                 `json:"version"`
	State    string              `json:"state,omitempty"`
	Fields   []map[string]string `json:"fields,omitempty"`
}

func no(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "message": canary})
}

func (f *fakeConnect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+f.token {
		no(w, 401)
		return
	}
	if r.URL.Path == "/v1/vaults/"+theVault {
		_ = json.NewEncoder(w).Encode(map[string]any{"id": theVault, "name": "Integrations", "items": len(f.items)})
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/vaults/"+theVault+"/items")
	if !ok {
		no(w, 403) // another vault than the token is for
		return
	}
	if f.misbehaves(w, r) {
		return
	}
	switch rest = strings.TrimPrefix(rest, "/"); {
	case r.Method == http.MethodGet && rest == "":
		f.list(w, r.URL.Query().Get("filter"))
	case r.Method == http.MethodPost && rest == "":
		f.put(w, r, &item{ID: strings.ToLower(rand.Text())})
	default:
		f.one(w, r, rest)
	}
}

// list gives items without their fields.
func (f *fakeConnect) list(w http.ResponseWriter, filter string) {
	out := []item{}
	for _, i := range f.items {
		if filter == "" || filter == `title eq "`+i.Title+`"` {
			short := *i
			short.Fields = nil
			if f.fault == backendtest.Stranger {
				short.Title = "another"
			}
			out = append(out, short)
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fakeConnect) put(w http.ResponseWriter, r *http.Request, i *item) {
	id, version := i.ID, i.Version
	if json.NewDecoder(r.Body).Decode(i) != nil || i.Vault["id"] != theVault {
		no(w, 400)
		return
	}
	if i.ID, i.Version = id, version+1; version == 0 {
		f.items = append(f.items, i)
	}
	_ = json.NewEncoder(w).Encode(i)
}

func (f *fakeConnect) one(w http.ResponseWriter, r *http.Request, id string) {
	for n, i := range f.items {
		if i.ID != id {
			continue
		}
		switch r.Method {
		case http.MethodPut:
			f.put(w, r, i)
		case http.MethodDelete:
			f.items = append(f.items[:n:n], f.items[n+1:]...)
			w.WriteHeader(204)
		default:
			_ = json.NewEncoder(w).Encode(i)
		}
		return
	}
	no(w, 404)
}

func (f *fakeConnect) misbehaves(w http.ResponseWriter, r *http.Request) bool {
	switch f.fault {
	case backendtest.Refusing:
		no(w, 403)
	case backendtest.Busy:
		no(w, 429)
	case backendtest.Broken:
		no(w, 500)
	case backendtest.Garbage:
		_, _ = w.Write([]byte("x"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`[{"id":"a","id":"b","title":"x"}]`))
	default:
		return backendtest.Misanswer(w, r, f.fault, &f.mu, `[{"id":`)
	}
	return true
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T) (*fakeConnect, onepassword.Config, backend.Backend) {
	t.Helper()
	f := &fakeConnect{token: "eyJ.connect.token"}
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	c := onepassword.Config{Address: s.URL, Vault: theVault, TokenFile: file(t, "token", f.token+"\n"),
		CAFile: file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))}
	b, err := onepassword.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f, c, b
}

// world keeps the contract's items with the administrator's half of the API.
func world(t *testing.T, b backend.Backend, prefix string) backendtest.World {
	ctx := context.WithoutCancel(t.Context())
	put := func(t *testing.T, path string, fields map[string]string) string {
		t.Helper()
		version, err := onepassword.PutForTest(ctx, b, path, fields)
		if err != nil {
			t.Fatal(err)
		}
		return version
	}
	return backendtest.World{Backend: b, Path: func(word string) string { return prefix + word }, Put: put, Remove: func(t *testing.T, path string) { put(t, path, nil) }}
}

func TestAVaultOf1PasswordKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, _, b := start(t)
		w := world(t, b, "sallyport/")
		w.Fault = func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() }
		w.Knows = []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
			backendtest.Cut, backendtest.Elsewhere, backendtest.Silent, backendtest.Stranger}
		return w
	})
}

// The contract against a Connect server that SALLYPORT_TEST_CONNECT_HOST names, with
// the token in SALLYPORT_TEST_CONNECT_TOKEN_FILE, in the vault
// SALLYPORT_TEST_CONNECT_VAULT. It may make and delete items there.
func TestARealConnectServerKeepsTheContract(t *testing.T) {
	c := onepassword.Config{Address: os.Getenv("SALLYPORT_TEST_CONNECT_HOST"), Vault: os.Getenv("SALLYPORT_TEST_CONNECT_VAULT"), TokenFile: os.Getenv("SALLYPORT_TEST_CONNECT_TOKEN_FILE")}
	if c.Address == "" {
		t.Skip("SALLYPORT_TEST_CONNECT_HOST names no server")
	}
	b, err := onepassword.New(c)
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		return world(t, b, "sallyport-test-"+strings.ToLower(rand.Text()[:8])+"-")
	})
}

func fetch(t *testing.T, b backend.Backend, path string) (map[string]string, error) {
	t.Helper()
	got, err := b.Fetch(t.Context(), backend.Ask{Path: path})
	out := map[string]string{}
	for k, v := range got.Fields {
		out[k] = string(plain.Bytes(v))
	}
	got.Wipe()
	return out, err
}

func TestAnItemIsFoundByItsIdOrByATitleThatItAloneHas(t *testing.T) {
	f, _, b := start(t)
	one := &item{ID: "11112222333344445555666677", Title: "crm", Vault: map[string]string{"id": theVault}, Version: 1, Fields: []map[string]string{{"id": "password", "label": "password", "value": "cnry-one"}}}
	f.items = []*item{one}
	for _, path := range []string{"crm", one.ID} {
		if got, err := fetch(t, b, path); err != nil || got["password"] != "cnry-one" {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	second := *one
	second.ID = "21112222333344445555666677"
	f.items = append(f.items, &second)
	if _, err := fetch(t, b, "crm"); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("two items of one title: %v", err)
	}
	one.State = "ARCHIVED"
	if _, err := fetch(t, b, one.ID); backend.ReasonOf(err) != backend.Missing {
		t.Errorf("an archived item by its id: %v", err)
	}
	if _, err := fetch(t, b, "crm"); err != nil {
		t.Errorf("the one that is left: %v", err)
	}
	second.Vault = map[string]string{"id": another}
	for _, path := range []string{"crm", second.ID} {
		if _, err := fetch(t, b, path); backend.ReasonOf(err) != backend.Wrong {
			t.Errorf("%s of another vault: %v", path, err)
		}
	}
}

func TestTwoFieldsOfOneLabelGoByTheirIds(t *testing.T) {
	f, _, b := start(t)
	field := func(id, label, value string) map[string]string {
		return map[string]string{"id": id, "label": label, "value": value}
	}
	i := &item{ID: "11112222333344445555666677", Title: "crm", Vault: map[string]string{"id": theVault}, Version: 1, Fields: []map[string]string{
		field("username", "username", "svc"), field("a1", "key", "cnry-one"), field("a2", "key", "cnry-two"), field("notesPlain", "notesPlain", ""), field("a3", "", "cnry-three")}}
	f.items = []*item{i}
	got, err := fetch(t, b, "crm")
	if err != nil || len(got) != 4 || got["username"] != "svc" || got["a1"] != "cnry-one" || got["a2"] != "cnry-two" || got["a3"] != "cnry-three" {
		t.Errorf("%v, %v", got, err)
	}
	i.Fields = append(i.Fields, field("a4", "a1", "cnry-four"), field("a5", "username", "cnry-five"))
	got, err = fetch(t, b, "crm")
	if err != nil || got["a1"] != "cnry-one" || got["a4"] != "cnry-four" || got["username"] != "svc" || got["a5"] != "cnry-five" {
		t.Errorf("labels that are other fields' ids: %v, %v", got, err)
	}
	i.Fields = []map[string]string{field("a", "x", "cnry-one"), field("a", "x", "cnry-two")}
	if got, err := fetch(t, b, "crm"); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("two fields that nothing tells apart: %v, %v", got, err)
	}
}

func TestATokenIsReadAtEachUse(t *testing.T) {
	f, c, b := start(t)
	f.items = []*item{{ID: "11112222333344445555666677", Title: "crm", Vault: map[string]string{"id": theVault}, Version: 1}}
	f.token = "eyJ.another.token"
	if _, err := fetch(t, b, "crm"); backend.ReasonOf(err) != backend.Refused || strings.Contains(err.Error(), canary) {
		t.Errorf("a token that has ended: %v", err)
	}
	if err := os.WriteFile(c.TokenFile, []byte(f.token), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, b, "crm"); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*onepassword.Config){
		"no vault's id": func(c *onepassword.Config) { c.Vault = "Private" }, "no token": func(c *onepassword.Config) { c.TokenFile = "" },
		"plain HTTP": func(c *onepassword.Config) { c.Address = "http://connect.example.com:8080" }, "a path": func(c *onepassword.Config) { c.Address += "/v1" },
	} {
		c := c
		spoil(&c)
		if _, err := onepassword.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzAnItem(f *testing.F) {
	const id = "11112222333344445555666677"
	f.Add([]byte(`{"id":"` + id + `","title":"crm","vault":{"id":"` + theVault + `"},"version":3,"fields":[{"id":"a","label":"b","value":"c"},{"id":"d"}]}`))
	f.Add([]byte(`[{"id":"` + id + `","title":"crm","vault":{"id":"` + theVault + `"},"state":"DELETED"}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := onepassword.Read(raw, theVault, id); err == nil && (a.Fields == nil || !strings.Contains(string(raw), theVault)) {
			t.Errorf("an item of nobody's: %q", raw)
		}
		if got, err := onepassword.One(raw, theVault); err == nil && len(got) != 26 {
			t.Errorf("an id %q", got)
		}
	})
}
