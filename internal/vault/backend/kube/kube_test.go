package kube_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/kube"
)

// fakeKube answers as the reference of the API says: Secrets of namespaces, and
// Status objects for what is not.
type fakeKube struct {
	mu      sync.Mutex
	fault   backendtest.Fault
	token   string
	secrets map[string]map[string][]byte // by namespace/name
	rev     map[string]int
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})
}

func (f *fakeKube) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api/v1/namespaces/NS/secrets/NAME
	if len(part) != 6 || part[2] != "namespaces" || part[4] != "secrets" {
		status(w, 404, "NotFound")
		return
	}
	ns, name := part[3], part[5]
	switch f.fault {
	case backendtest.Refusing:
		status(w, 403, "Forbidden")
		return
	case backendtest.Busy:
		w.Header().Set("Retry-After", "1")
		status(w, 429, "TooManyRequests")
		return
	case backendtest.Broken:
		status(w, 500, "InternalError")
		return
	case backendtest.Garbage:
		_, _ = w.Write([]byte("ok"))
		return
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"` + name + `","namespace":"` + ns + `"},"data":{"password":"YQ==","password":"Yg=="}}`))
		return
	case backendtest.Endless:
		for range 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 4<<10))); err != nil {
				return
			}
		}
		return
	case backendtest.Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"kind":`))
		return
	case backendtest.Elsewhere:
		w.Header().Set("Location", "/x")
		w.WriteHeader(302)
		return
	case backendtest.Silent:
		f.mu.Unlock()
		<-r.Context().Done()
		f.mu.Lock()
		return
	case backendtest.Stranger:
		ns = "kube-system"
	default:
	}
	if r.Header.Get("Authorization") != "Bearer "+f.token {
		status(w, 401, "Unauthorized")
		return
	}
	there := f.secrets[part[3]+"/"+name]
	if there == nil {
		status(w, 404, "NotFound")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": there,
		"metadata": map[string]any{"name": name, "namespace": ns, "uid": "u", "resourceVersion": strconv.Itoa(f.rev[part[3]+"/"+name]), "annotations": map[string]string{"a": "b"}}})
}

func TestSecretsOfKubernetesKeepTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f := &fakeKube{token: "eyJ.one.x", secrets: map[string]map[string][]byte{}, rev: map[string]int{}}
		s := httptest.NewTLSServer(f)
		t.Cleanup(s.Close)
		dir := t.TempDir()
		token := filepath.Join(dir, "token")
		put := func(path string, b []byte) {
			if err := os.WriteFile(path, b, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		put(token, []byte(f.token))
		put(filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
		b, err := kube.New(kube.Config{Namespace: "prod", Address: s.URL, CAFile: filepath.Join(dir, "ca.crt"), TokenFile: token})
		if err != nil {
			t.Fatal(err)
		}
		rev := 100
		return backendtest.World{Backend: b, Path: func(word string) string { return word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				f.mu.Lock()
				defer f.mu.Unlock()
				data := map[string][]byte{}
				for k, v := range fields {
					data[k] = []byte(v)
				}
				rev++
				f.secrets["prod/"+path], f.rev["prod/"+path] = data, rev
				return strconv.Itoa(rev)
			},
			Remove: func(_ *testing.T, path string) { delete(f.secrets, "prod/"+path) },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Stranger, backendtest.Silent},
			End: func() { // Kubernetes replaces the token
				f.mu.Lock()
				defer f.mu.Unlock()
				f.token = "eyJ.other." + strconv.FormatInt(time.Now().UnixNano(), 36)
				put(token, []byte(f.token+"\n"))
			},
		}
	})
}

func TestAPathIsTheNameOfASecret(t *testing.T) {
	_, err := kube.New(kube.Config{Namespace: "prod", Address: "http://127.0.0.1:1", CAFile: os.DevNull})
	if err == nil {
		t.Fatal("a CA file without a certificate was taken")
	}
	if _, err = kube.New(kube.Config{Namespace: "Prod/x", Address: "http://127.0.0.1:1"}); err == nil {
		t.Fatal("a namespace that climbs was taken")
	}
}

func FuzzASecret(f *testing.F) {
	f.Add([]byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"crm","namespace":"prod","resourceVersion":"7"},"data":{"a":"YQ=="}}`))
	f.Add([]byte(`{"kind":"SecretList"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := kube.Read(raw, "prod", "crm"); err == nil && a.Fields == nil {
			t.Error("an answer without fields")
		}
		if _, err := kube.Read(raw, "kube-system", "crm"); err == nil && !strings.Contains(string(raw), "kube") && !strings.Contains(string(raw), `\u`) {
			t.Error("it is another namespace's")
		}
	})
}
