package mcpgateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
	"sallyport.dev/internal/resource"
)

// libraries is a desk with two upstream servers that have resources and prompts.
func libraries() *desk {
	d := newDesk()
	for _, c := range []string{"docs", "wiki"} {
		for _, name := range []string{"list_resources", "read_resource", "list_prompts", "get_prompt"} {
			d.tools = append(d.tools, tool(c, name, resource.Read, `{"type":"object"}`))
		}
	}
	answers := func(do func(it *intent.Intent) string) func(*intent.Intent) {
		return func(it *intent.Intent) { it.State, it.Result = intent.Committed, mcp(do(it)) }
	}
	d.act["list_resources"] = answers(func(it *intent.Intent) string {
		if arg(it, "cursor") == "" {
			return structured(`{"resources":[{"uri":"file:///a b","name":"a","_meta":{"x":1}}],"nextCursor":"2"}`)
		}
		return structured(`{"resources":[{"uri":"file:///c","name":"c"}]}`)
	})
	d.act["read_resource"] = answers(func(it *intent.Intent) string {
		if arg(it, "uri") != "file:///a b" {
			return `{"content":[],"isError":true}`
		}
		return structured(`{"contents":[{"uri":"file:///a b","text":"of ` + it.Connection + `, canary-7f3a"},{"uri":"file:///part","text":"more"}]}`)
	})
	d.act["list_prompts"] = answers(func(*intent.Intent) string { return structured(`{"prompts":[{"name":"greet"}]}`) })
	d.act["get_prompt"] = answers(func(it *intent.Intent) string {
		return structured(`{"description":"d","messages":[{"role":"user","content":{"type":"text","text":"` + it.Connection + " says " + arg(it, "name") + `"}}]}`)
	})
	return d
}

func TestResourcesAndPromptsBearTheirConnectionsName(t *testing.T) {
	d := libraries()
	url := door(t, d)
	got := string(modern(t, url, "run-a", "resources/list", "{}").last().Result)
	for _, want := range []string{`"uri":"sallyport://docs/file:%2F%2F%2Fa%20b","name":"a"}`, `"uri":"sallyport://docs/file:%2F%2F%2Fc"`, `"uri":"sallyport://wiki/file:%2F%2F%2Fa%20b"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	got = string(modern(t, url, "run-a", "resources/read", `{"uri":"sallyport://wiki/file:%2F%2F%2Fa%20b"}`).last().Result)
	if !strings.Contains(got, `"contents":[{"uri":"sallyport://wiki/file:%2F%2F%2Fa%20b","text":"of wiki, [scrubbed]"},{"uri":"sallyport://wiki/file:%2F%2F%2Fpart","text":"more"}]`) {
		t.Errorf("read: %s", got)
	}
	if got = string(modern(t, url, "run-a", "prompts/list", "{}").last().Result); !strings.Contains(got, `"prompts":[{"name":"docs__greet"},{"name":"wiki__greet"}]`) {
		t.Errorf("prompts: %s", got)
	}
	if got = string(modern(t, url, "run-a", "prompts/get", `{"name":"docs__greet"}`).last().Result); !strings.Contains(got, "docs says greet") || !strings.Contains(got, `"description":"d"`) {
		t.Errorf("the prompt: %s", got)
	}
}

func TestAResourceThatIsNotHeldAndOneThatIsNotThereAreToldAlike(t *testing.T) {
	url := door(t, libraries())
	session := began(t, url, "run-a")
	for _, uri := range []string{"sallyport://payroll/file:%2F%2F%2Fa", "sallyport://docs/../x", "file:///a b", "sallyport://docs/", "sallyport://docs/file:///a b"} {
		if a := modern(t, url, "run-a", "resources/read", `{"uri":"`+uri+`"}`); a.code() != -32602 || !strings.Contains(a.last().Error.Message, "the Mission does not hold it") || !strings.Contains(string(a.last().Error.Data), uri) {
			t.Errorf("%s: %+v", uri, a.last().Error)
		}
	}
	if a := modern(t, url, "run-a", "resources/read", `{"uri":"sallyport://docs/file:%2F%2F%2Fnone"}`); a.code() != -32602 {
		t.Errorf("one that is not there: %+v", a.last().Error)
	}
	if a := legacy(t, url, "run-a", session, `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"sallyport://docs/file:%2F%2F%2Fnone"}}`); a.code() != -32002 {
		t.Errorf("to an older client: %+v", a.last().Error)
	}
}

func TestLinksInAnswersAreToWhatCanBeRead(t *testing.T) {
	d := company()
	d.act["get"] = func(it *intent.Intent) {
		it.State, it.Result = intent.Committed, mcp(`{"content":[{"type":"resource_link","uri":"file:///x","name":"x"},{"type":"resource","resource":{"uri":"file:///y","text":"t"}},{"type":"text","text":"\"uri\""}]}`)
	}
	got := string(callTool(t, door(t, d), "run-a", "crm__get", `{"id":"1"}`).last().Result)
	for _, want := range []string{`{"type":"resource_link","uri":"sallyport://crm/file:%2F%2F%2Fx","name":"x"}`, `"resource":{"uri":"sallyport://crm/file:%2F%2F%2Fy","text":"t"}`, `{"type":"text","text":"\"uri\""}`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

// slow is a Gate whose Admit waits.
type slow struct {
	*desk
	entered chan context.Context
	leave   chan struct{}
}

func (s slow) Admit(ctx context.Context, who ident.Principal, p intent.Proposal) (intent.Intent, error) {
	s.entered <- ctx
	select {
	case <-s.leave:
	case <-ctx.Done():
		return intent.Intent{}, ctx.Err()
	}
	return s.desk.Admit(ctx, who, p)
}

func TestAClientThatLeavesEndsAReadAndNotAWriteThatWasBegun(t *testing.T) {
	for name, args := range map[string]string{"crm__get": `{"id":"1"}`, "erp__create": create} {
		s := slow{company(), make(chan context.Context, 1), make(chan struct{})}
		c := config(s.desk, quick)
		c.Gate = s
		url := serve(t, mcpgateway.New(c)).URL + "/mcp"
		ctx, kill := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			body, headers := request("1", "tools/call", `{"name":"`+name+`","arguments":`+args+`}`, "")
			_, _ = trySend(ctx, url, "run-a", body, headers...)
		}()
		admitted := <-s.entered
		kill()
		<-gone
		if name == "crm__get" {
			<-admitted.Done()
			continue
		}
		if admitted.Done() != nil {
			t.Error("a write that was begun ends with its client")
		}
		close(s.leave)
		if it := s.rows[s.only(t)]; it.State != intent.Parked {
			t.Errorf("the write is %s", it.State)
		}
	}
}

func TestACallThatTakesLongShowsLife(t *testing.T) {
	s := slow{company(), make(chan context.Context, 1), make(chan struct{})}
	c := config(s.desk, quick)
	c.Gate = s
	url := serve(t, mcpgateway.New(c)).URL + "/mcp"
	time.AfterFunc(300*time.Millisecond, func() { close(s.leave) })
	a := callTool(t, url, "run-a", "crm__get", `{"id":"1"}`)
	if len(a.events) < 3 || !strings.Contains(string(a.events[0].Params), "the call is under way") || a.field("structuredContent", "id") != "1" {
		t.Errorf("%d events: %+v", len(a.events), a.last())
	}
}

// breaking panics where it should propose.
type breaking struct{ *desk }

func (breaking) Admit(context.Context, ident.Principal, intent.Proposal) (intent.Intent, error) {
	panic("canary-7f3a")
}

func TestAFaultOfOursLeavesOpenWhetherAWriteWasDone(t *testing.T) {
	c := config(company(), quick)
	c.Gate = breaking{company()}
	url := serve(t, mcpgateway.New(c)).URL + "/mcp"
	if a := callTool(t, url, "run-a", "erp__create", create); !strings.HasPrefix(a.text(), "STATUS UNKNOWN") || strings.Contains(string(a.last().Result), "canary") {
		t.Errorf("a write: %s", a.last().Result)
	}
	if a := callTool(t, url, "run-a", "crm__get", `{"id":"1"}`); !strings.HasPrefix(a.text(), "NOT EXECUTED. something went wrong here") {
		t.Errorf("a read: %s", a.last().Result)
	}
}

// Attack: a server answers with its credential as two keys of one object, or in place
// of its braces, so that what it did seems to have failed.
func TestAnAnswerThatScrubbingBrokeIsToldAsWhatItIs(t *testing.T) {
	for _, body := range []string{`{"content":[],"structuredContent":{"[secret:x]":1,"[secret:x]":2}}`, `"{[secret:x]}"`, `{"content":"[secret:x]"}`} {
		d := company()
		d.act["create"] = func(it *intent.Intent) {
			it.State, it.Result = intent.Committed, &intent.Result{State: intent.Committed, ContentType: intent.MCPResult, Body: json.RawMessage(body), Redactions: 2}
		}
		a := callTool(t, door(t, d), "run-a", "erp__create", create)
		if a.code() != 0 || !strings.Contains(a.text(), "[secret:x]") || a.field("isError") != nil {
			t.Errorf("%s: %s %+v", body, a.last().Result, a.last().Error)
		}
	}
}

func TestAnAnswerThatCantBeScrubbedIsNotSent(t *testing.T) {
	c := config(company(), quick)
	c.Clean = func(_ ident.Tenant, b []byte) ([]byte, error) {
		if strings.Contains(string(b), "secret-id") {
			return nil, errors.New("it can't be shown")
		}
		return b, nil
	}
	url := serve(t, mcpgateway.New(c)).URL + "/mcp"
	if a := callTool(t, url, "run-a", "crm__get", `{"id":"secret-id"}`); a.code() != -32603 || strings.Contains(a.last().Error.Message, "secret-id") {
		t.Errorf("the answer is %+v", a.last())
	}
}

func TestOneCallerDoesNotTakeAllOfTheDoor(t *testing.T) {
	d := company()
	times := quick
	times.Listen = time.Minute
	url := serve(t, mcpgateway.New(config(d, times))).URL + "/mcp"
	ctx, end := context.WithCancel(t.Context())
	defer end()
	body, headers := request("1", "subscriptions/listen", `{"notifications":{}}`, "")
	begun := make(chan struct{}, 300)
	for range 256 {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
			req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer run-a"}}
			for i := 0; i+1 < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			resp, err := http.DefaultClient.Do(req)
			begun <- struct{}{}
			if err == nil {
				<-ctx.Done()
				_ = resp.Body.Close()
			}
		}()
	}
	for range 256 {
		<-begun
	}
	if a := callTool(t, url, "run-a", "crm__get", `{"id":"1"}`); a.status != http.StatusTooManyRequests {
		t.Errorf("one more is answered with %d", a.status)
	}
	if a := callTool(t, url, "run-b", "crm__get", `{"id":"1"}`); a.field("structuredContent", "id") != "1" {
		t.Errorf("another caller's: %+v", a.last())
	}
}

// Attack: one token holds as many of the largest messages open as the door takes.
func TestOneCallerDoesNotFillTheMemoryWithWhatItWaitsFor(t *testing.T) {
	d := company()
	times := quick
	times.Listen = time.Minute
	url := serve(t, mcpgateway.New(config(d, times))).URL + "/mcp"
	ctx, end := context.WithCancel(t.Context())
	defer end()
	body, headers := request("1", "subscriptions/listen", `{"notifications":{}}`, "")
	body += strings.Repeat(" ", 4<<20)
	begun := make(chan int, 20)
	for i := range 20 {
		go func() {
			var r io.Reader = strings.NewReader(body)
			if i%2 == 0 {
				r = io.MultiReader(r) // its length is not said
			}
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, r)
			req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer run-a"}}
			for i := 0; i+1 < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				begun <- http.StatusTooManyRequests // it was refused before it was read
				return
			}
			begun <- resp.StatusCode
			<-ctx.Done()
			_ = resp.Body.Close()
		}()
	}
	held := 0
	for range 20 {
		if <-begun == http.StatusOK {
			held++
		}
	}
	if held == 0 || held > 8 {
		t.Errorf("%d messages of 4 MiB are held for one caller", held)
	}
	if a := callTool(t, url, "run-b", "crm__get", `{"id":"1"}`); a.field("structuredContent", "id") != "1" {
		t.Errorf("another caller's: %+v", a.last())
	}
	end()
	for range 1000 { // what has ended makes room
		if a, err := trySend(t.Context(), url, "run-a", body, "MCP-Protocol-Version", "x"); err == nil && a.status != http.StatusTooManyRequests {
			return
		}
	}
	t.Error("there is no room afterwards")
}
