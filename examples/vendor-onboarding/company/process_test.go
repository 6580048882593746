package company_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/examples/vendor-onboarding/erp"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
)

// TestMain makes the test binary a system when it is started as one, as the
// product's own binary is.
func TestMain(m *testing.M) {
	if name := os.Getenv("EXAMPLE_SYSTEM"); name != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := company.Run(ctx, name, os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// process is a system in a process of its own.
type process struct {
	system.Ready
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func run(t *testing.T, name, data, keys string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-data", data, "-credentials", company.Path(keys, name), "-control", "127.0.0.1:0", "-die-with-stdin")
	cmd.Env = append(os.Environ(), "EXAMPLE_SYSTEM="+name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // ended already in a test that passes
	line, err := p.out.ReadString('\n')
	if err != nil || json.Unmarshal([]byte(line), &p.Ready) != nil {
		t.Fatalf("%s said %q: %v", name, line, err)
	}
	return p
}

// end closes standard input, as a parent's death does, and waits.
func (p *process) end(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	rest, _ := io.ReadAll(p.out)
	if err := p.cmd.Wait(); err != nil || len(rest) > 0 {
		t.Errorf("ended with %v, having said %q", err, rest)
	}
}

func writeKeys(t *testing.T) (company.Keys, string) {
	t.Helper()
	k, dir := company.NewKeys(), t.TempDir()
	if err := k.Write(dir); err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func TestAVendorSurvivesKillingTheERPWhileItsAnswerIsHeld(t *testing.T) {
	k, keys := writeKeys(t)
	data := t.TempDir()
	p := run(t, company.ERP, data, keys)
	auth := func(name string) string { return "Authorization: Bearer " + k.Secrets()[name]["token"] }
	if a, err := systemtest.Try("POST", "http://"+p.Control+"/behaviour", `{"mode":"slow-commit","method":"POST"}`); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	lost := make(chan error)
	go func() {
		_, err := systemtest.Try("POST", "http://"+p.Addr+"/v1/vendors", `{"name":"Killed","country":"DE"}`, auth("erp-write-token"), "Client-Reference: int_k")
		lost <- err
	}()
	if a, err := systemtest.Try("GET", "http://"+p.Control+"/held?at_least=1", ""); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; err == nil {
		t.Error("there was an answer from a killed process")
	}
	_ = p.cmd.Wait()

	p = run(t, company.ERP, data, keys)
	a, err := systemtest.Try("GET", "http://"+p.Addr+"/v1/vendors?client_reference=int_k", "", auth("erp-read-token"))
	var res erp.FindResult
	if err != nil {
		t.Fatal(err)
	}
	if a.JSON(t, &res); res.Count != 1 {
		t.Errorf("after the restart: %+v", res)
	}
	p.end(t)
}

func TestASystemThatCannotStartSaysWhyAndNoSecret(t *testing.T) {
	k, keys := writeKeys(t)
	for _, args := range [][]string{
		nil, {"-data", t.TempDir()}, {"-nonsense"}, {"-data", t.TempDir(), "-credentials", company.Path(keys, company.ERP), "extra"},
		{"-data", t.TempDir(), "-credentials", company.Path(keys, company.ERP), "-addr", "0.0.0.0:0"},
	} {
		var out strings.Builder
		err := company.Run(t.Context(), company.ERP, args, &out)
		if err == nil || out.Len() > 0 || strings.Contains(err.Error(), k.Secrets()["erp-read-token"]["token"]) {
			t.Errorf("%v: %v, said %q", args, err, out.String())
		}
	}
	if err := company.Run(t.Context(), "payroll", nil, io.Discard); err == nil {
		t.Error("a system that is none ran")
	}
}

// The whole workflow over the real protocols, with a Worker's loop that does
// nothing but carry calls to systems and results back: what the product does,
// without what makes it safe.
func TestTheSystemsAndTheScriptAgreeOnEverySupplier(t *testing.T) {
	k, keys := writeKeys(t)
	at := map[string]string{}
	for _, name := range company.Names {
		p := run(t, name, t.TempDir(), keys)
		defer p.end(t)
		at[name] = "http://" + p.Addr
	}
	s := k.Secrets()
	w := worker{t: t, at: at, secrets: s}
	created := 0
	for _, sup := range suppliers(t) {
		verdict := w.onboard(sup.Input())
		if verdict != sup.Expect {
			t.Errorf("%s: %s, expected %s", sup.Name, verdict, sup.Expect)
		}
		if sup.Expect == "onboarded" {
			created++
		}
	}
	if w.vendors != created || w.tickets != created {
		t.Errorf("%d vendors and %d tickets for %d onboarded", w.vendors, w.tickets, created)
	}
}

// worker is a loop without a Boundary.
type worker struct {
	t                *testing.T
	at               map[string]string
	secrets          map[string]map[string]string
	vendors, tickets int
}

type object = map[string]any

func function(name string, props ...string) object {
	p := object{}
	for _, k := range props {
		p[k] = object{"type": "string"}
	}
	return object{"type": "function", "function": object{"name": name, "parameters": object{"type": "object", "properties": p}}}
}

func (w *worker) onboard(input object) (verdict string) {
	in, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	messages := []any{object{"role": "user", "content": string(in)}}
	tools := []any{
		function("tax-check__verifyTaxId", "id", "country"), function("erp-read__findVendors", "name", "tax_id"),
		function("erp-write__createVendor", "name", "country", "tax_id", "city", "contact_email"), function("tickets__createTicket", "title", "body", "reference"), function("finish", "verdict", "summary"),
	}
	for range 10 {
		b, err := json.Marshal(object{"model": "scripted-procurement", "messages": messages, "tools": tools})
		if err != nil {
			w.t.Fatal(err)
		}
		a := w.send("POST", w.at[company.ScriptedModel]+"/v1/chat/completions", string(b), w.bearer("model-key"))
		var out struct {
			Choices []struct{ Message json.RawMessage }
		}
		var msg struct {
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		if a.JSON(w.t, &out); json.Unmarshal(out.Choices[0].Message, &msg) != nil || len(msg.ToolCalls) != 1 {
			w.t.Fatalf("completion: %+v", a)
		}
		call := msg.ToolCalls[0]
		var args map[string]string
		if err := json.Unmarshal([]byte(call.Function.Arguments), &args); err != nil {
			w.t.Fatal(err)
		}
		if call.Function.Name == "finish" {
			return args["verdict"]
		}
		result := w.do(call.Function.Name, args)
		messages = append(messages, out.Choices[0].Message, object{"role": "tool", "tool_call_id": call.ID, "content": result})
	}
	return "no verdict"
}

func (w *worker) bearer(secret string) string {
	return "Authorization: Bearer " + w.secrets[secret]["token"]
}

func (w *worker) send(method, target, body string, headers ...string) systemtest.Answer {
	a, err := systemtest.Try(method, target, body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *worker) do(tool string, args map[string]string) string {
	var a systemtest.Answer
	body, err := json.Marshal(args)
	if err != nil {
		w.t.Fatal(err)
	}
	switch tool {
	case "tax-check__verifyTaxId":
		a = w.send("GET", w.at[company.Taxverify]+"/v1/tax-ids/"+url.PathEscape(args["id"])+"?country="+args["country"], "", "X-Api-Key: "+w.secrets["taxverify-key"]["token"])
	case "erp-read__findVendors":
		a = w.send("GET", w.at[company.ERP]+"/v1/vendors?"+url.Values{"name": {args["name"]}, "tax_id": {args["tax_id"]}}.Encode(), "", w.bearer("erp-read-token"))
	case "erp-write__createVendor":
		w.vendors++
		a = w.send("POST", w.at[company.ERP]+"/v1/vendors", string(body), w.bearer("erp-write-token"))
	case "tickets__createTicket":
		w.tickets++
		login := w.secrets["ticketing-login"]
		a = w.send("POST", w.at[company.Ticketing]+"/v1/tickets", string(body), "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(login["username"]+":"+login["password"])))
	default:
		w.t.Fatalf("the script called %q", tool)
	}
	return fmt.Sprintf(`{"state":"COMMITTED","status":%d,"body":%s}`, a.Status, a.Body)
}
