package demo_test

import (
	"log" //nolint:depguard // it is what is tested
	"strings"
	"testing"
)

// net/http quotes in the standard library's log what a system sends on a
// connection that nobody waits on. That log goes through the scrubber too.
func TestWhatTheStandardLibraryLogsIsScrubbed(t *testing.T) {
	w := start(t, nil)
	const canary = "cnry-stdlog-2f8Kq1xV"
	var out struct{}
	w.must(w.as("admin").Call(t.Context(), "PUT", "/v1/secrets/planted", map[string]any{
		"fields": map[string]string{"token": canary}, "scope": map[string]any{"origins": []string{"https://x.example.com"}}}, &out))
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q", "Bearer "+canary)
	if s := w.logs.String(); strings.Contains(s, canary) || !strings.Contains(s, "[secret:planted]") {
		t.Errorf("the log has %s", s)
	}
}
