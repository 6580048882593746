package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/mcptest"
	"sallyport.dev/internal/resource"
)

// plain names everything as the server behind does: the suite knows its names only.
type plain struct{}

func (plain) Tool(t intent.Tool) string                      { return t.Tool }
func (plain) Prompt(_, name string) string                   { return name }
func (plain) URI(_, uri string) string                       { return uri }
func (plain) UpstreamPrompt(n string) (string, string, bool) { return "fixture", n, true }
func (plain) UpstreamURI(u string) (string, string, bool)    { return "fixture", u, true }

// TestTheOfficialSuitePassesThroughUs runs the suite against the program with the
// suite's own server behind it: its calls go through the door, the gate, the policy,
// the audit log and the vault's door, and its answers come back scrubbed. What is not
// passed through is in testdata/conformance-through.yaml, each with its reason; the
// suite fails on an entry there that passes.
func TestTheOfficialSuitePassesThroughUs(t *testing.T) {
	peers := mcptest.Installed(t)
	h := newHall(t, func(c *mcpgateway.Config) {
		c.Names = plain{}
		c.Times = mcpgateway.Times{First: 10 * time.Millisecond, Beat: 25 * time.Millisecond, Look: 100 * time.Millisecond, PollHint: 100 * time.Millisecond, Listen: 3 * time.Second}
	})
	h.known("fixture-key", realKey)
	h.behind("fixture", resource.MCP{URL: peers.Fixture(t), Network: loopback}, resource.Auth{Scheme: resource.SchemeBearer, Secret: "fixture-key"}, true, everyTool...)
	c, door := h.agent(), h.handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+c.Token) // the suite has no tokens
		door.ServeHTTP(w, r)
	}))
	defer srv.Close()
	known, err := filepath.Abs("testdata/conformance-through.yaml")
	h.must(err)
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			out, err := peers.Suite(t, "server", "--url", srv.URL+"/mcp", "--expected-failures", known, "--requirements", revision).CombinedOutput()
			if err != nil || os.Getenv(mcptest.Variable+"_SHOW") != "" {
				t.Logf("%s", out)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
