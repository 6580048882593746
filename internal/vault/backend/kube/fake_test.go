package kube_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/kube"
)

// fakeKube answers as a kube-apiserver 1.37 was seen to: Secrets of the namespace
// "prod", Status objects for what is not, and watches on one name.
type fakeKube struct {
	t     *testing.T
	file  string // of the token
	mu    sync.Mutex
	fault backendtest.Fault
	token string
	rev   int
	there map[string]secret
	log   []told
	// forgotten is the version up to which the server knows no changes any more.
	forgotten int
	moved     chan struct{} // closed at each change
	ended     chan struct{} // closed: watches end in good order
	hostile   string        // written to each watch in place of what it should say
	mute      bool          // no watch says anything
	asked     []string      // the versions that watches went on from
	begun     chan struct{} // has an element for each watch
}

type secret struct {
	data map[string][]byte
	rev  int
}

// told is one event.
type told struct {
	kind, name string
	rev        int
}

// fake is a server and the backend that asks it.
func fake(t *testing.T) (*fakeKube, backend.Backend) {
	t.Helper()
	dir := t.TempDir()
	f := &fakeKube{t: t, file: filepath.Join(dir, "token"), rev: 100, there: map[string]secret{}, moved: make(chan struct{}), ended: make(chan struct{}), begun: make(chan struct{}, 1000)}
	s := httptest.NewTLSServer(f)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	f.end()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o640); err != nil {
		t.Fatal(err)
	}
	b, err := kube.New(kube.Config{Namespace: "prod", Address: s.URL, CAFile: ca, TokenFile: f.file})
	if err != nil {
		t.Fatal(err)
	}
	return f, kube.Hurry(b)
}

// end replaces the token, as Kubernetes does.
func (f *fakeKube) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = "eyJ.other." + strconv.FormatInt(time.Now().UnixNano(), 36)
	next := f.file + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(f.token+"\n"), 0o640), os.Rename(next, f.file)); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeKube) put(name string, fields map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := map[string][]byte{}
	for k, v := range fields {
		data[k] = []byte(v)
	}
	kind := "ADDED"
	if _, ok := f.there[name]; ok {
		kind = "MODIFIED"
	}
	f.move(kind, name)
	f.there[name] = secret{data, f.rev}
	return strconv.Itoa(f.rev)
}

func (f *fakeKube) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.there, name)
	f.move("DELETED", name)
}

// move writes a change down. The lock is held.
func (f *fakeKube) move(kind, name string) {
	f.rev++
	f.log = append(f.log, told{kind, name, f.rev})
	close(f.moved)
	f.moved = make(chan struct{})
}

// turn ends every watch that there is, in good order.
func (f *fakeKube) turn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.ended)
	f.ended = make(chan struct{})
}

func status(w http.ResponseWriter, code int, reason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

func (f *fakeKube) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/apis" { // whom it doesn't know is told so before it looks at roles
		switch {
		case r.Header.Get("Authorization") != "Bearer "+f.token:
			status(w, 401, "Unauthorized", "Unauthorized")
		case f.fault == backendtest.Refusing:
			status(w, 403, "Forbidden", "forbidden: User cannot get path \"/apis\"")
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}})
		}
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api/v1/namespaces/NS/secrets/NAME
	if len(part) < 5 || part[2] != "namespaces" || part[3] != "prod" || part[4] != "secrets" {
		status(w, 404, "NotFound", "the server could not find the requested resource")
		return
	}
	if f.misbehaves(w, r, part[len(part)-1]) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+f.token {
		status(w, 401, "Unauthorized", "Unauthorized")
		return
	}
	if len(part) == 5 {
		f.watch(w, r)
		return
	}
	name, ns := part[5], "prod"
	there, ok := f.there[name]
	if !ok {
		status(w, 404, "NotFound", fmt.Sprintf("secrets %q not found", name))
		return
	}
	if f.fault == backendtest.Stranger {
		ns = "kube-system"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": there.data,
		"metadata": map[string]any{"name": name, "namespace": ns, "uid": "u", "resourceVersion": strconv.Itoa(there.rev), "creationTimestamp": "2026-11-23T19:30:39Z",
			"managedFields": []any{map[string]any{"manager": "curl", "operation": "Update", "fieldsV1": map[string]any{"f:data": map[string]any{"f:a": map[string]any{}}}}}}})
}

// misbehaves reports whether it has answered. The lock is held.
func (f *fakeKube) misbehaves(w http.ResponseWriter, r *http.Request, name string) bool {
	switch f.fault {
	case backendtest.Refusing:
		status(w, 403, "Forbidden", `secrets "x" is forbidden: User "system:serviceaccount:sallyport:sallyport" cannot get resource "secrets" in API group "" in the namespace "prod"`)
	case backendtest.Busy:
		w.Header().Set("Retry-After", "1")
		status(w, 429, "TooManyRequests", "Too many requests, please try again later.")
	case backendtest.Broken:
		status(w, 500, "InternalError", "etcdserver: request timed out")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("ok"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"` + name + `","namespace":"prod"},"data":{"password":"YQ==","password":"Yg=="}}`))
	default:
		return backendtest.Misanswer(w, r, f.fault, &f.mu, `{"kind":`)
	}
	return true
}

// watch tells of one name, as long as the client listens. The lock is held.
func (f *fakeKube) watch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name, one := strings.CutPrefix(q.Get("fieldSelector"), "metadata.name=")
	if !one || q.Get("watch") != "1" || q.Get("timeoutSeconds") == "" {
		status(w, 403, "Forbidden", `secrets is forbidden: User "system:serviceaccount:sallyport:sallyport" cannot watch resource "secrets" in API group "" in the namespace "prod"`)
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		status(w, 406, "NotAcceptable", "this test is of metadata alone")
		return
	}
	f.asked = append(f.asked, q.Get("resourceVersion"))
	ended, from, over := f.ended, f.rev, false
	f.begun <- struct{}{}
	say := func(kind string, meta map[string]any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}})
	}
	about := func(e told) map[string]any {
		return map[string]any{"name": e.name, "namespace": "prod", "uid": "u", "resourceVersion": strconv.Itoa(e.rev)}
	}
	switch since, err := strconv.Atoi(q.Get("resourceVersion")); {
	case f.hostile != "":
		_, _ = w.Write([]byte(f.hostile))
	case f.mute:
	case q.Get("resourceVersion") == "":
		if there, ok := f.there[name]; ok {
			say("ADDED", about(told{name: name, rev: there.rev}))
		}
		say("BOOKMARK", map[string]any{"resourceVersion": strconv.Itoa(f.rev), "annotations": map[string]string{"k8s.io/initial-events-end": "true"}})
	case err != nil:
		status(w, 500, "", `resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax`)
		return
	case since < f.forgotten:
		_, _ = fmt.Fprintf(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: %d (%d)","reason":"Expired","code":410}}`+"\n", since, f.rev)
		return
	default:
		from = since
	}
	for {
		for _, e := range f.log {
			if e.rev > from && e.name == name && !f.mute && f.hostile == "" {
				say(e.kind, about(e))
			}
		}
		from = f.rev
		if over {
			if !f.mute && f.hostile == "" {
				say("BOOKMARK", map[string]any{"resourceVersion": strconv.Itoa(f.rev)})
			}
			return
		}
		_ = http.NewResponseController(w).Flush()
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-r.Context().Done():
			over = true
		case <-ended:
			over = true
		case <-moved:
		}
		f.mu.Lock()
	}
}
