package demo_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
)

// What waits for its dispatch names the system's address: with a system elsewhere it
// would be sent to whoever has the address now.
func TestASystemWhoseAddressIsTakenIsNotStartedElsewhere(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir, name, taken := t.TempDir(), company.Names[0], l.Addr().String()
	b, err := json.Marshal(map[string]string{name: taken})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "company", "addresses.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := demo.Start(t.Context(), demo.Config{Dir: dir, Command: command, SystemArgs: map[string][]string{name: {"-wait", "1ms"}}})
	if err == nil {
		_ = d.Stop(t.Context())
		t.Fatal("it was started elsewhere")
	}
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), taken) || fault.HintOf(err) == "" {
		t.Errorf("it said %v, with the hint %q", err, fault.HintOf(err))
	}
}
