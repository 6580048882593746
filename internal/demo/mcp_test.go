package demo_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/sqlite"
)

func overMCP(c *demo.Config) { c.Tickets = company.OverMCP }

// The same Mission, with the ticketing system as an MCP server under a credential of
// its own.
func TestASupplierIsOnboardedWithTheTicketOverMCP(t *testing.T) {
	w := start(t, overMCP)
	run := w.run("onboarded")
	w.must(w.decide("approver", w.waiting(run), "approve"))
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	s := w.stats("ticketing")
	if s.Durable["tickets"] != 1 || s.Credentials["ticketing-mcp-token"].Requests == 0 || s.Credentials["ticketing-login"].Requests != 0 {
		t.Errorf("the ticketing system counts %+v", s)
	}
}

// A write over MCP whose answer was lost is looked up by its reference, and not sent
// again.
func TestATicketWhoseAnswerWasLostOverMCPIsFoundAgain(t *testing.T) {
	w := start(t, overMCP)
	run := w.run("onboarded")
	it := w.waiting(run)
	w.behave("ticketing", system.Behaviour{Mode: system.Drop, Contains: `"createTicket"`})
	w.must(w.decide("approver", it, "approve"))
	w.eventually("the ticket is filed", func() bool { return w.stats("ticketing").Durable["tickets"] == 1 })
	w.behave("ticketing", system.Behaviour{})
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q (%s)\n%s", r.Verdict, r.Summary, w.rail(run))
	}
	if s := w.stats("ticketing"); s.Durable["tickets"] != 1 {
		t.Errorf("the ticketing system counts %+v", s)
	}
}

// outsider builds the example's outside agent, from its own module.
func outsider(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "outside-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../../examples/outside-agent", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the outside agent: %v\n%s", err, out)
	}
	return bin
}

// The same Mission, by a program that is no part of the product: over MCP, with the
// protocol's official SDK and the Worker's own token.
func TestAnOutsideAgentOnboardsASupplierOverMCP(t *testing.T) {
	bin := outsider(t)
	w := start(t, overMCP)
	var m struct{ Token string }
	w.must(w.as("admin").Call(t.Context(), "POST", "/v1/workers/onboarding-agent/tokens", map[string]any{"password": w.People["admin"].Password, "code": w.code("admin")}, &m))
	input, err := demo.Sample("onboarded")
	w.must(err)
	supplier, err := json.Marshal(input)
	w.must(err)
	agent := exec.CommandContext(t.Context(), bin, "-url", w.URL()+"/mcp/vendor-onboarding", "-supplier", string(supplier))
	agent.Env = append(os.Environ(), "SALLYPORT_TOKEN="+m.Token)
	var said strings.Builder
	agent.Stdout, agent.Stderr = &said, &said
	w.must(agent.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said.String())
		}
	})
	var run string
	w.eventually("the agent's Run is there", func() bool {
		var out struct{ Runs []intent.Run }
		w.must(w.as("auditor").Call(t.Context(), "GET", "/v1/runs", nil, &out))
		if len(out.Runs) > 0 {
			run = out.Runs[0].ID
		}
		return run != ""
	})
	it := w.waiting(run)
	if it.Intent.Reason == "" || it.Intent.Starter != "worker:onboarding-agent" {
		t.Errorf("the approver sees %+v", it.Intent)
	}
	w.must(w.decide("approver", it, "approve"))
	if err := agent.Wait(); err != nil || !strings.Contains(said.String(), "verdict: onboarded") {
		t.Errorf("%v\n%s\n%s", err, said.String(), w.rail(run))
	}
	if s := w.stats("erp"); s.Durable["vendors_created"] != 1 {
		t.Errorf("the ERP counts %+v", s)
	}
	if s := w.stats("ticketing"); s.Durable["tickets"] != 1 {
		t.Errorf("the ticketing system counts %+v", s)
	}
	if r := w.ended(run); r.Verdict != "onboarded" {
		t.Errorf("the verdict is %q", r.Verdict)
	}
}

// The ticketing system repeats all that it received, over MCP too, in every encoding.
func TestATicketOverMCPBringsNoCredentialBack(t *testing.T) {
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	w := start(t, func(c *demo.Config) {
		overMCP(c)
		c.LogHandler = slog.NewTextHandler(s.at("logs"), &slog.HandlerOptions{Level: slog.LevelDebug})
	})
	_, wanted := credentials(w)
	w.behave("ticketing", system.Behaviour{Mode: system.Echo})
	run, marked := w.run("onboarded"), false
	w.must(w.decide("approver", w.waiting(run), "approve"))
	w.ended(run)
	w.crawl(s, []string{run})
	for _, it := range w.intents(run) {
		marked = marked || it.Result != nil && it.Connection == "tickets" && bytes.Contains(it.Result.Body, []byte("[secret:ticketing-mcp-token]"))
	}
	if !marked {
		t.Errorf("the echo, or the scrubbing, did not happen:\n%s", w.rail(run))
	}
	s.rows(t, filepath.Join(demo.ServerDir(w.dir), sqlite.File))
	s.clean(t, wanted, "logs", "answers of the API", "table "+sqlite.File+" intent", "table "+sqlite.File+" observation")
}
