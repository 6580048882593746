package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend/awssm"
	"sallyport.dev/internal/vault/backend/azurekv"
	"sallyport.dev/internal/vault/backend/onepassword"
)

func backends(t *testing.T, text string) (config.Backends, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backends.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadBackends(path)
}

// What docs/bring-your-own-vault.md shows loads as it stands.
func TestTheBackendsOfTheDocumentLoad(t *testing.T) {
	doc, err := os.ReadFile("../../docs/bring-your-own-vault.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range yamlFence.FindAllSubmatch(doc, -1) {
		if !strings.Contains(string(m[1]), "backends:") {
			continue // of Kubernetes itself
		}
		got, err := backends(t, string(m[1]))
		if err != nil {
			t.Errorf("%v in\n%s", err, m[1])
		}
		for _, b := range got.Backends { // those that need no file to begin with
			if b.AWS != nil {
				_, err = awssm.New(*b.AWS, time.Now)
			} else if b.Azure != nil {
				_, err = azurekv.New(*b.Azure, time.Now)
			} else if b.OnePassword != nil {
				_, err = onepassword.New(*b.OnePassword)
			}
			if err != nil {
				t.Errorf("%s: %v", b.Name, err)
			}
		}
		n++
	}
	if n < 4 {
		t.Errorf("only %d were found", n)
	}
}

func TestAFileOnBackendsThatIsNotOneIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"no list":            "backends: corp",
		"an empty list":      "backends: []",
		"an unknown key":     "backends:\n  - name: corp\n    vault: {address: 'https://bao', tokenfile: /x}\n",
		"a token in it":      "backends:\n  - name: corp\n    vault: {address: 'https://bao', token: hvs.x}\n",
		"two documents":      "backends: []\n---\nbackends: []\n",
		"a key that's twice": "backends: []\nbackends: []\n",
	} {
		if got, err := backends(t, text); err == nil {
			t.Errorf("%s was taken: %+v", name, got)
		}
	}
}

func TestAFileOnBackendsThatOthersCanWriteIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backends.yaml")
	if err := os.WriteFile(path, []byte("backends:\n  - name: a\n    files: {directory: /run/x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadBackends(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadBackends(path); !fault.Is(err, fault.Denied) {
		t.Errorf("read: %v", err)
	}
}
