package ticketing_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
	"sallyport.dev/examples/vendor-onboarding/ticketing"
)

var login = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("worker:canary-ticket-pw"))

func start(t *testing.T, dir string) *systemtest.Server {
	return systemtest.Start(t, ticketing.System(), dir,
		system.Credential{Name: "ticketing-login", Username: "worker", Password: "canary-ticket-pw", Scopes: []string{ticketing.ScopeAPI}},
		system.Credential{Name: "ticketing-mcp-token", Token: "canary-ticket-token", Scopes: []string{ticketing.ScopeMCP}})
}

func TestTicketsAreFoundByReferenceAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if a := s.Do("POST", "/v1/tickets", `{"title":"Vendor onboarded","body":"V-200001 is there","reference":"V-200001"}`, login, "Client-Reference: int_1"); a.Status != 201 || !strings.Contains(a.Body, `"T-10001"`) {
		t.Fatalf("create: %+v", a)
	}
	s.Close()
	s = start(t, dir)
	for q, want := range map[string]int{"reference=V-200001": 1, "client_reference=int_1": 1, "reference=V-200002": 0, "client_reference=V-200001": 0} {
		var res ticketing.FindResult
		if s.Do("GET", "/v1/tickets?"+q, "", login).JSON(t, &res); res.Count != want || len(res.Tickets) != want {
			t.Errorf("%s: %+v", q, res)
		}
	}
	if got := s.Stats().Durable["tickets"]; got != 1 {
		t.Errorf("tickets = %d", got)
	}
}

func TestBadTicketsAreRefused(t *testing.T) {
	s := start(t, t.TempDir())
	for _, body := range []string{
		`{"title":"","body":"b","reference":"V-1"}`, `{"title":"t","body":"b","reference":""}`, `{"title":"t","body":"b","reference":"a b"}`,
		`{"title":"` + strings.Repeat("x", 201) + `","body":"b","reference":"V-1"}`, `{"title":"t","body":"b","reference":"V-1","id":"T-1"}`,
	} {
		if a := s.Do("POST", "/v1/tickets", body, login); a.Status != 422 && a.Status != 400 {
			t.Errorf("%.60s: %+v", body, a)
		}
	}
	for _, path := range []string{"/v1/tickets", "/v1/tickets?id=T-10001"} {
		if a := s.Do("GET", path, "", login); a.Status != 400 {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := s.Do("POST", "/v1/tickets", `{"title":"t","body":"b","reference":"V-1"}`); a.Status != 401 || s.Stats().Durable["tickets"] != 0 {
		t.Errorf("without a login: %+v", a)
	}
}

// The key is on disk with its ticket: also the next process gives the first answer.
func TestTheSameKeyIsOneTicketAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	const body = `{"title":"Vendor onboarded","body":"V-200001 is there","reference":"V-200001"}`
	first := s.Do("POST", "/v1/tickets", body, login, "Idempotency-Key: k-1")
	s.Close()
	s = start(t, dir)
	if again := s.Do("POST", "/v1/tickets", body, login, "Idempotency-Key: k-1"); first.Status != 201 || again.Status != 201 || again.Body != first.Body {
		t.Errorf("%+v, and then %+v", first, again)
	}
	if strings.Contains(first.Body, "k-1") {
		t.Errorf("the answer has the key: %s", first.Body)
	}
	if a := s.Do("POST", "/v1/tickets", strings.Replace(body, "V-200001 is", "V-200002 is", 1), login, "Idempotency-Key: k-1"); a.Status != 422 {
		t.Errorf("another body under the same key: %+v", a)
	}
	if a := s.Do("POST", "/v1/tickets", body, login, "Idempotency-Key: k 1"); a.Status != 400 {
		t.Errorf("a key that is none: %+v", a)
	}
	if got := s.Stats().Durable["tickets"]; got != 1 {
		t.Errorf("tickets = %d", got)
	}
	if a := s.Do("POST", "/v1/tickets", body, login); a.Status != 201 || s.Stats().Durable["tickets"] != 2 {
		t.Errorf("without a key: %+v", a)
	}
}
