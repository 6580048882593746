package kube_test

import (
	"os"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/backend/kube"
)

func TestSecretsOfKubernetesKeepTheContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f, b := fake(t)
		return backendtest.World{Backend: b, Path: func(word string) string { return word },
			Put:    func(_ *testing.T, path string, fields map[string]string) string { return f.put(path, fields) },
			Remove: func(_ *testing.T, path string) { f.remove(path) },
			Fault:  func(x backendtest.Fault) { f.mu.Lock(); f.fault = x; f.mu.Unlock() },
			Knows: []backendtest.Fault{backendtest.Refusing, backendtest.Busy, backendtest.Broken, backendtest.Garbage, backendtest.Twice, backendtest.Endless,
				backendtest.Cut, backendtest.Elsewhere, backendtest.Stranger, backendtest.Silent},
			End: f.end,
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
