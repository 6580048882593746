package mcpgateway_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mcpgateway"
)

const create = `{"name":"ACME","reason":"the vendor passed all checks"}`

// patient is a door that holds for long, before a desk where what waits is approved
// when its client was told so many times that it waits.
func patient(t *testing.T, d *desk, times int) string {
	t.Helper()
	long := quick
	long.Hold, long.Listen = 20*time.Second, time.Second
	c, told := config(d, long), atomic.Int64{}
	c.Waits = func(_ context.Context, it intent.Intent) string {
		if told.Add(1) == int64(times) {
			time.AfterFunc(20*time.Millisecond, func() { d.approve(it.ID) })
		}
		return "approval by finance"
	}
	return serve(t, mcpgateway.New(c)).URL + "/mcp"
}

func task(t *testing.T, url, token, id string) answer {
	t.Helper()
	return modern(t, url, token, "tasks/get", `{"taskId":"`+id+`"}`, withTasks)
}

func TestAClientWithTasksGetsATaskThatOutlivesEverything(t *testing.T) {
	d := company()
	url := door(t, d)
	a := callTool(t, url, "run-a", "erp__create", create, withTasks)
	id, _ := a.field("taskId").(string)
	if a.field("resultType") != "task" || a.field("status") != "working" || id != d.only(t) || a.field("statusMessage") != "waiting for approval by finance; not executed" {
		t.Fatalf("the task is %s", a.last().Result)
	}
	if again := callTool(t, url, "run-a", "erp__create", create, withTasks); again.field("taskId") != id {
		t.Errorf("the same call is another task: %s", again.last().Result)
	}
	if !d.approve(id) || d.approve(id) {
		t.Fatal("approved not just once")
	}
	restarted := door(t, d) // another process on the same store
	a = task(t, restarted, "run-a", id)
	if a.field("status") != "completed" || a.field("result", "structuredContent", "created") != true || a.field("result", "isError") != nil {
		t.Errorf("after a restart the task is %s", a.last().Result)
	}
	if again := callTool(t, restarted, "run-a", "erp__create", create, withTasks); again.field("structuredContent", "created") != true || d.executed[`create{"name":"ACME"}`] != 1 {
		t.Errorf("the same call after it: %s, executed %v", again.last().Result, d.executed)
	}
}

func TestATasksIDIsNoAuthority(t *testing.T) {
	d := company()
	url := door(t, d)
	callTool(t, url, "run-a", "erp__create", create, withTasks)
	id := d.only(t)
	for method, params := range map[string]string{"tasks/get": `{"taskId":"` + id + `"}`, "tasks/cancel": `{"taskId":"` + id + `"}`, "tasks/update": `{"taskId":"` + id + `","inputResponses":{}}`} {
		other, none := modern(t, url, "run-b", method, params, withTasks), modern(t, url, "run-b", method, strings.Replace(params, id, "int_none", 1), withTasks)
		if other.code() != -32602 || other.last().Error.Message != none.last().Error.Message {
			t.Errorf("%s by another Run: %+v, of none: %+v", method, other.last().Error, none.last().Error)
		}
		if a := modern(t, url, "run-a", method, params); a.code() != -32021 {
			t.Errorf("%s without the capability: %+v", method, a.last())
		}
	}
	for _, tl := range []string{"await_decision", "withdraw_decision"} {
		if a := callTool(t, url, "run-b", tl, `{"id":"`+id+`"}`); a.field("isError") != true {
			t.Errorf("%s by another Run: %s", tl, a.last().Result)
		}
	}
	if d.rows[id].State != intent.Parked {
		t.Errorf("another Run has made it %s", d.rows[id].State)
	}
}

func TestARejectionIsCompletedWithAnErrorAndSaysThatNothingWasDone(t *testing.T) {
	for _, caps := range []string{withTasks, ""} {
		d := company()
		url := door(t, d)
		callTool(t, url, "run-a", "erp__create", create, withTasks)
		id := d.only(t)
		d.end(id, intent.Rejected, "the tax id is wrong", nil)
		a := callTool(t, url, "run-a", "await_decision", `{"id":"`+id+`"}`, caps)
		if a.field("isError") != true || a.text() != "NOT EXECUTED. An approver rejected it: the tax id is wrong" {
			t.Errorf("awaited: %s", a.last().Result)
		}
		if a = task(t, url, "run-a", id); a.field("status") != "completed" || a.field("result", "isError") != true || a.field("error") != nil {
			t.Errorf("the task: %s", a.last().Result)
		}
	}
}

func TestCancellingATaskWithdrawsItUnlessItIsOnItsWay(t *testing.T) {
	d := company()
	url := door(t, d)
	callTool(t, url, "run-a", "erp__create", create, withTasks)
	id := d.only(t)
	modern(t, url, "run-a", "tasks/cancel", `{"taskId":"`+id+`"}`, withTasks)
	if a := task(t, url, "run-a", id); a.field("status") != "cancelled" || d.rows[id].State != intent.Withdrawn {
		t.Errorf("the task: %s", a.last().Result)
	}
	if a := modern(t, url, "run-a", "tasks/cancel", `{"taskId":"`+id+`"}`, withTasks); a.last().Error != nil {
		t.Errorf("cancelled again: %+v", a.last().Error)
	}
}

func TestWithoutTasksTheAnswerIsHeldAndShowsLife(t *testing.T) {
	d := company()
	url := patient(t, d, 4) // after some signs of life
	a := callTool(t, url, "run-a", "erp__create", create)
	if len(a.events) < 3 || !a.comment || a.field("structuredContent", "created") != true {
		t.Fatalf("%d events, comment %t, the answer %s", len(a.events), a.comment, a.last().Result)
	}
	last := 0.0
	for _, e := range a.events[:len(a.events)-1] {
		var p struct {
			ProgressToken, Message string
			Progress               float64
		}
		_ = json.Unmarshal(e.Params, &p)
		if e.Method != "notifications/progress" || p.ProgressToken != "p1" || p.Progress <= last || p.Message != "waiting for approval by finance; not executed" {
			t.Errorf("an event: %s %s", e.Method, e.Params)
		}
		last = p.Progress
	}
}

func TestAHeldAnswerOutlivesTheServersOwnTimeouts(t *testing.T) {
	d := company()
	long := quick
	long.Hold = 20 * time.Second
	s := httptest.NewUnstartedServer(mcpgateway.New(config(d, long)))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	s.Start()
	defer s.Close()
	time.AfterFunc(900*time.Millisecond, func() { d.approve(d.only(t)) })
	if a := callTool(t, s.URL+"/mcp", "run-a", "erp__create", create); a.field("structuredContent", "created") != true {
		t.Errorf("the answer is %s", a.last().Result)
	}
}

func TestAServerThatEndsCutsItsConnections(t *testing.T) {
	d := company()
	long := quick
	long.Hold, long.First = 20*time.Second, time.Hour
	ctx, end := context.WithCancel(t.Context())
	defer end()
	s := httptest.NewUnstartedServer(mcpgateway.New(config(d, long)))
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.Start()
	defer s.Close()
	go func() {
		d.only(t)
		end()
	}()
	body, headers := request("1", "tools/call", `{"name":"erp__create","arguments":`+create+`}`, "")
	if a, err := trySend(t.Context(), s.URL+"/mcp", "run-a", body, headers...); err == nil {
		t.Errorf("a client is told something: %+v", a)
	}
	if a := callTool(t, door(t, d), "run-a", "erp__create", create, withTasks); a.field("taskId") != d.only(t) {
		t.Errorf("the next server: %s", a.last().Result)
	}
}

func TestAfterTheHoldThereIsAPendingResultToGoOnWith(t *testing.T) {
	d := company()
	url := door(t, d)
	a := callTool(t, url, "run-a", "erp__create", create)
	id := d.only(t)
	if s, _ := a.field("structuredContent").(map[string]any); a.field("isError") != true || s["status"] != "pending" || s["executed"] != false || s["id"] != id || !strings.HasPrefix(a.text(), "NOT EXECUTED. Pending: waiting for approval by finance") {
		t.Fatalf("the result is %s", a.last().Result)
	}
	restarted := door(t, d)
	if l := callTool(t, restarted, "run-a", "list_my_pending", `{}`); !strings.Contains(l.text(), id+" erp__create: waiting for approval by finance") {
		t.Errorf("pending: %s", l.text())
	}
	if l := callTool(t, restarted, "run-b", "list_my_pending", `{}`); l.text() != "Nothing is pending." {
		t.Errorf("another Run's: %s", l.text())
	}
	if again := callTool(t, restarted, "run-a", "erp__create", create); again.field("structuredContent", "id") != id {
		t.Errorf("the same call has another decision: %s", again.last().Result)
	}
	if a = callTool(t, patient(t, d, 2), "run-a", "await_decision", `{"id":"`+id+`"}`); a.field("structuredContent", "created") != true {
		t.Errorf("awaited: %s", a.last().Result)
	}
	if d.executed[`create{"name":"ACME"}`] != 1 {
		t.Errorf("executed: %v", d.executed)
	}
}

func TestAClientThatDiesEndsTheWaitAndNotTheAction(t *testing.T) {
	d := company()
	times := quick
	times.Hold = time.Minute
	url := serve(t, mcpgateway.New(config(d, times))).URL + "/mcp"
	ctx, kill := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		body, headers := request("1", "tools/call", `{"name":"erp__create","arguments":`+create+`}`, "")
		_, _ = trySend(ctx, url, "run-a", body, headers...)
	}()
	id := d.only(t)
	kill()
	<-gone
	if d.rows[id].State != intent.Parked || !d.approve(id) {
		t.Fatalf("the action is %s", d.rows[id].State)
	}
	if a := callTool(t, url, "run-a", "erp__create", create); a.field("structuredContent", "created") != true {
		t.Errorf("the next client: %s", a.last().Result)
	}
}

func TestADeliberateRepetitionIsAnotherAction(t *testing.T) {
	d := company()
	url := door(t, d)
	first := callTool(t, url, "run-a", "erp__create", create, withTasks)
	again := callTool(t, url, "run-a", "erp__create", `{"name":"ACME","reason":"a second one","repeat":true}`, withTasks)
	id, _ := again.field("taskId").(string)
	if first.field("taskId") == id || !d.rows[id].Repeat || string(d.rows[id].Args) != `{"name":"ACME"}` {
		t.Errorf("the repetition is %+v", d.rows[id])
	}
}

func TestAWithdrawnActionIsNotDone(t *testing.T) {
	d := company()
	url := door(t, d)
	callTool(t, url, "run-a", "erp__create", create, withTasks)
	id := d.only(t)
	if a := callTool(t, url, "run-a", "withdraw_decision", `{"id":"`+id+`"}`); a.text() != "Withdrawn. It was not executed." {
		t.Errorf("withdrawn: %s", a.last().Result)
	}
	if d.approve(id) {
		t.Error("it could be approved afterwards")
	}
	if a := callTool(t, url, "run-a", "withdraw_decision", `{"id":"`+id+`"}`); a.field("structuredContent", "status") != "conflict" {
		t.Errorf("withdrawn again: %s", a.last().Result)
	}
}

func TestWhoListensIsToldOfItsOwnTasks(t *testing.T) {
	d := company()
	callTool(t, door(t, d), "run-a", "erp__create", create, withTasks)
	id := d.only(t)
	url := patient(t, d, 1) // when it was told that it waits
	a := modern(t, url, "run-a", "subscriptions/listen", `{"notifications":{"taskIds":["`+id+`","int_none"],"toolsListChanged":true}}`, withTasks)
	if len(a.events) != 4 || a.events[0].Method != "notifications/subscriptions/acknowledged" || !strings.Contains(string(a.events[0].Params), `"notifications":{"taskIds":["`+id+`"]}`) {
		t.Fatalf("events: %+v", a.events)
	}
	for i, status := range []string{"working", "completed"} {
		if e := a.events[i+1]; e.Method != "notifications/tasks" || !strings.Contains(string(e.Params), `"status":"`+status+`"`) {
			t.Errorf("event %d: %s %s", i+1, e.Method, e.Params)
		}
	}
	if a = modern(t, url, "run-b", "subscriptions/listen", `{"notifications":{"taskIds":["`+id+`"]}}`, withTasks); len(a.events) != 2 || strings.Contains(string(a.events[0].Params), id) {
		t.Errorf("another Run is told: %+v", a.events)
	}
}
