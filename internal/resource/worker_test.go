package resource_test

import (
	"strings"
	"testing"

	"sallyport.dev/internal/resource"
)

func outside() *resource.Worker {
	return &resource.Worker{Head: head(resource.KindWorker), Owner: "ann", Limits: resource.WorkerLimits{OpenRuns: 2},
		JWT: &resource.WorkerJWT{Issuer: "https://login.example.com/realms/agents", Subject: "7mNq2VbX9cLdR4tYw8ZpKs3JhGf6TaQe", Claims: map[string]string{"client_id": "agents"}}}
}

func TestAWorkerWithAnIssuerPasses(t *testing.T) {
	if err := outside().Check(); err != nil {
		t.Error(err)
	}
}

// A token that stands for a Worker is asked for by who it is for; what would let
// every token of an issuer in, or let an issuer be asked in the clear, is refused.
func TestAWorkersTokensAreNamedExactly(t *testing.T) {
	for at, change := range map[string]func(*resource.Worker){
		"owner":                func(w *resource.Worker) { w.Owner = "" },
		"jwt.subject":          func(w *resource.Worker) { w.JWT.Subject, w.JWT.Claims = "", nil },
		"jwt.claims":           func(w *resource.Worker) { w.JWT.Claims = map[string]string{"aud": "x"} },
		"jwt.issuer":           func(w *resource.Worker) { w.JWT.Issuer = "http://login.example.com" },
		"jwt.issuer ":          func(w *resource.Worker) { w.JWT.Issuer = "https://u:p@login.example.com" },
		"jwt.issuer  ":         func(w *resource.Worker) { w.JWT.Issuer = "https://login.example.com/?a=b" },
		"jwt.network":          func(w *resource.Worker) { w.JWT.Network.AllowPrivate = []string{"10.0.0.1/8x"} },
		"limits.parked":        func(w *resource.Worker) { w.Limits.Parked = -1 },
		"ownerLimits.openRuns": func(w *resource.Worker) { w.OwnerLimits.OpenRuns = 1_000_000 },
		"jwt.jwksFile":         func(w *resource.Worker) { w.JWT.JWKSFile = "keys.json" },
		"jwt.claims.a":         func(w *resource.Worker) { w.JWT.Claims = map[string]string{"a": ""} },
		"jwt.claims.agent": func(w *resource.Worker) {
			w.JWT.Claims = map[string]string{"agent": "ghp_" + strings.Repeat("a1B2", 10)}
		},
		"limits.callsPerHour": func(w *resource.Worker) { w.Limits.CallsPerHour = 1 << 30 },
	} {
		w := outside()
		change(w)
		if err := w.Check(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(at)) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestAMissionListsItsWorkersOnce(t *testing.T) {
	m := mission()
	m.Workers = []string{"agent", "agent"}
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "workers[1]") {
		t.Error(err)
	}
	m.Workers = []string{"agent"}
	if refs := resource.References(m); refs[len(refs)-1] != (resource.Reference{Path: "workers[0]", Kind: resource.KindWorker, Name: "agent"}) {
		t.Errorf("refers to %v", refs)
	}
}
