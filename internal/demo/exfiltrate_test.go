package demo_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport.dev/internal/resource"
)

// A builder applies a Connection of their own that names somebody else's Secret,
// to a system of their own. The Secret does not go there: it was stored for the
// system that issued it.
func TestABuilderCannotSendASecretToTheirOwnSystem(t *testing.T) {
	w := start(t, nil)
	var got atomic.Value
	mine := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{}`))
	}))
	t.Cleanup(mine.Close)
	head := func(k resource.Kind, name string) map[string]any {
		return map[string]any{"apiVersion": resource.APIVersion, "kind": k, "name": name}
	}
	with := func(m map[string]any, more map[string]any) map[string]any {
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	w.must(w.as("builder").Call(t.Context(), "POST", "/v1/resources", map[string]any{"resources": []any{
		with(head(resource.KindIntegration, "mine"), map[string]any{"http": map[string]any{
			"baseURL": mine.URL, "network": map[string]any{"allowLoopbackHTTP": true}, "openapiFile": "mine.json",
			"openapi": map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": "mine", "version": "1"}, "paths": map[string]any{
				"/x": map[string]any{"get": map[string]any{"operationId": "look", "responses": map[string]any{"200": map[string]any{"description": "ok"}}}}}},
		}}),
		with(head(resource.KindConnection, "mine"), map[string]any{"integration": "mine", "tools": []string{"look"},
			"auth": map[string]any{"scheme": "bearer", "secret": "erp-write-token"}}),
		with(head(resource.KindMission, "mine"), map[string]any{"goal": "Look.", "connections": []string{"mine"}}),
	}}, nil))
	var started struct {
		Run   struct{ ID string }
		Token string
	}
	w.must(w.as("builder").Call(t.Context(), "POST", "/v1/missions/mine/runs", map[string]any{"outside": true}, &started))
	var it struct{ State, Why string }
	w.must(w.client(started.Token).Call(t.Context(), "POST", "/v1/runs/"+started.Run.ID+"/intents", map[string]any{"connection": "mine", "tool": "look"}, &it))
	if v, _ := got.Load().(string); v != "" {
		t.Fatalf("the builder's system got %d bytes of a credential", len(v))
	}
	if it.State != "FAILED" || !strings.Contains(it.Why, "usage scope") {
		t.Errorf("the Worker is told %+v", it)
	}
}
