// Program outside-agent does the Mission vendor-onboarding as an agent that is no
// part of Sallyport would: over the Model Context Protocol, with the protocol's
// official Go SDK and nothing else. Where a model would decide, a script does; it
// decides from what the tools answer.
//
//	export SALLYPORT_TOKEN=...      # of the Worker: sallyport worker token create NAME
//	outside-agent -url http://127.0.0.1:PORT/mcp/vendor-onboarding \
//	  -supplier '{"name":"Volkswagen AG","country":"DE","tax_id":"DE115235681"}'
//
// It never has a credential of the ERP, the ticketing system or the tax office: its
// own token opens this one door, and what it may do behind it the Mission says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	url := flag.String("url", "", "the server's MCP `address` of the Mission, like http://127.0.0.1:7411/mcp/vendor-onboarding")
	supplier := flag.String("supplier", "", "the supplier, as `JSON` with name, country, tax_id, city and contact_email")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *supplier); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, supplier string) error {
	token := os.Getenv("SALLYPORT_TOKEN")
	var in map[string]any
	if url == "" || token == "" || json.Unmarshal([]byte(supplier), &in) != nil {
		return errors.New("-url, -supplier and the environment variable SALLYPORT_TOKEN are needed")
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "outside-agent", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: url, HTTPClient: &http.Client{Transport: bearer(token)}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = session.Close() }()
	a := &agent{session: session, in: in}
	return a.onboard(ctx)
}

// bearer puts the Worker's own token into each request.
type bearer string

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

type agent struct {
	session *mcp.ClientSession
	in      map[string]any // the supplier
}

func (a *agent) text(key string) string {
	s, _ := a.in[key].(string)
	return s
}

// onboard is the Mission, step by step.
func (a *agent) onboard(ctx context.Context) error {
	if _, err := a.call(ctx, "start_run", map[string]any{"input": a.in}); err != nil {
		return err
	}
	verdict, summary, failed := a.decide(ctx)
	if failed != nil {
		verdict, summary = "failed", failed.Error()
	}
	if _, err := a.call(ctx, "end_run", map[string]any{"verdict": verdict, "summary": summary}); err != nil {
		return err
	}
	fmt.Printf("verdict: %s: %s\n", verdict, summary)
	return failed
}

func (a *agent) decide(ctx context.Context) (verdict, summary string, err error) {
	tax, err := a.call(ctx, "tax-check__verifyTaxId", map[string]any{"id": a.text("tax_id"), "country": a.text("country")})
	if err != nil {
		return "", "", err
	}
	if tax["valid"] != true {
		return "rejected", fmt.Sprintf("the tax id is %v: %v", tax["status"], tax["reason"]), nil
	}
	number, _ := tax["number"].(string)
	found, err := a.call(ctx, "erp-read__findVendors", map[string]any{"tax_id": number, "name": a.text("name")})
	if err != nil {
		return "", "", err
	}
	if v, ok := a.duplicate(found); ok {
		return "duplicate", "the ERP has it as " + v, nil
	}
	vendor, err := a.call(ctx, "erp-write__createVendor", map[string]any{
		"name": a.text("name"), "country": a.text("country"), "tax_id": number, "city": a.text("city"), "contact_email": a.text("contact_email"),
		"reason": "The tax id is valid and no vendor of the ERP is alike.",
	})
	if no, ok := errors.AsType[*refusal](err); ok {
		return "rejected", no.Error(), nil
	}
	if err != nil {
		return "", "", err
	}
	id, _ := vendor["id"].(string)
	if _, err := a.call(ctx, "tickets__createTicket", map[string]any{
		"title": "Vendor onboarded: " + a.text("name"), "body": "The vendor " + id + " was created after approval.", "reference": id,
		"reason": "Confirms what was approved.",
	}); err != nil {
		return "", "", err
	}
	return "onboarded", "it is vendor " + id, nil
}

// duplicate finds a vendor with the same tax id, or one of the country whose name is
// alike.
func (a *agent) duplicate(found map[string]any) (id string, ok bool) {
	vendors, _ := found["vendors"].([]any)
	for _, v := range vendors {
		vendor, _ := v.(map[string]any)
		match, _ := vendor["match"].(map[string]any)
		score, _ := match["score"].(float64)
		if match["by"] == "tax_id" || score >= 0.85 && vendor["country"] == a.text("country") {
			id, _ = vendor["id"].(string)
			return id, true
		}
	}
	return "", false
}

// refusal is what a tool answered that did nothing, in its own words.
type refusal struct{ tool, text string }

// Error implements error.
func (r *refusal) Error() string { return r.tool + ": " + r.text }

// call calls a tool. While a person has not decided yet, it asks how it stands; that
// may take days, and this program may be ended and started again meanwhile.
func (a *agent) call(ctx context.Context, tool string, args map[string]any) (map[string]any, error) {
	fmt.Printf("-> %s\n", tool)
	res, err := a.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	for ; err == nil; res, err = a.session.CallTool(ctx, &mcp.CallToolParams{Name: "await_decision", Arguments: args}) {
		out := structured(res)
		if out["status"] != "pending" {
			break
		}
		fmt.Printf("   waits for a person: %v\n", out["waitsFor"])
		args = map[string]any{"id": out["id"]}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", tool, err)
	case res.IsError:
		return nil, &refusal{tool, words(res)}
	}
	return structured(res), nil
}

// structured is a result's data: the structured content, or JSON in its text.
func structured(res *mcp.CallToolResult) map[string]any {
	if out, ok := res.StructuredContent.(map[string]any); ok {
		return out
	}
	var out map[string]any
	_ = json.Unmarshal([]byte(words(res)), &out) // what is no JSON has no data
	return out
}

// words is what a result says.
func words(res *mcp.CallToolResult) string {
	var all []string
	for _, c := range res.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			all = append(all, t.Text)
		}
	}
	return strings.Join(all, "\n")
}
