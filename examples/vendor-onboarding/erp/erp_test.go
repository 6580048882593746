package erp_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/erp"
	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
)

const (
	read  = "Authorization: Bearer canary-erp-read-01"
	write = "Authorization: Bearer canary-erp-write-1"
)

func start(t *testing.T, dir string) *systemtest.Server {
	return systemtest.Start(t, erp.System(), dir,
		system.Credential{Name: "erp-read-token", Token: strings.TrimPrefix(read, "Authorization: Bearer "), Scopes: []string{erp.ScopeRead}},
		system.Credential{Name: "erp-write-token", Token: strings.TrimPrefix(write, "Authorization: Bearer "), Scopes: []string{erp.ScopeWrite}})
}

func find(t *testing.T, s *systemtest.Server, q url.Values) erp.FindResult {
	t.Helper()
	a := s.Do("GET", "/v1/vendors?"+q.Encode(), "", read)
	if a.Status != 200 {
		t.Fatalf("find %v: %+v", q, a)
	}
	var res erp.FindResult
	a.JSON(t, &res)
	return res
}

func TestTheSameRequestTwiceMakesTwoVendorsAndBothSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	const body = `{"name":"Volkswagen AG","country":"DE","tax_id":"DE115235681","city":"Wolfsburg","contact_email":"orders@vw.example.com"}`
	var ids []string
	for range 2 {
		a := s.Do("POST", "/v1/vendors", body, write, "Client-Reference: int_abc")
		var v erp.Vendor
		if a.JSON(t, &v); a.Status != 201 || a.Header.Get("Location") != "/v1/vendors/"+v.ID || v.ClientReference != "int_abc" {
			t.Fatalf("create: %+v", a)
		}
		ids = append(ids, v.ID)
	}
	for range 2 {
		if got := s.Stats().Durable; got["vendors_created"] != 2 || got["vendors"] != len(erp.Existing())+2 {
			t.Errorf("durable = %v", got)
		}
		if res := find(t, s, url.Values{"client_reference": {"int_abc"}}); res.Count != 2 || res.Vendors[0].ID != ids[0] || res.Vendors[1].ID != ids[1] {
			t.Errorf("by reference: %+v", res)
		}
		if a := s.Do("GET", "/v1/vendors/"+ids[1], "", read); a.Status != 200 || !strings.Contains(a.Body, "Wolfsburg") {
			t.Errorf("get: %+v", a)
		}
		s.Close()
		s = start(t, dir)
	}
	if a := s.Do("GET", "/v1/vendors/V-999999", "", read); a.Status != 404 {
		t.Errorf("get of none: %+v", a)
	}
}

func TestWritersAtTheSameTimeGetDifferentNumbers(t *testing.T) {
	s := start(t, t.TempDir())
	var mu sync.Mutex
	var ids []string
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			a, err := systemtest.Try("POST", s.URL+"/v1/vendors", `{"name":"Same","country":"DE"}`, write)
			var v erp.Vendor
			if err != nil || json.Unmarshal([]byte(a.Body), &v) != nil {
				t.Errorf("create: %v %+v", err, a)
			}
			mu.Lock()
			ids = append(ids, v.ID)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 10 {
		t.Errorf("%d different ids of 10", n)
	}
}

func TestTheWriteTokenCannotReadAndTheReadTokenCannotWrite(t *testing.T) {
	s := start(t, t.TempDir())
	if a := s.Do("POST", "/v1/vendors", `{"name":"X","country":"DE"}`, read); a.Status != 403 {
		t.Errorf("create with the read token: %+v", a)
	}
	for _, p := range []string{"/v1/vendors?name=SAP", "/v1/vendors/V-100001"} {
		if a := s.Do("GET", p, "", write); a.Status != 403 {
			t.Errorf("GET %s with the write token: %+v", p, a)
		}
	}
	if got := s.Stats().Durable["vendors_created"]; got != 0 {
		t.Errorf("created = %d", got)
	}
}

func TestAVendorIsOnDiskWhileItsAnswerIsHeld(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.Behave(system.Behaviour{Mode: system.SlowCommit, Method: "POST"})
	gone := make(chan error)
	go func() {
		_, err := systemtest.Try("POST", s.URL+"/v1/vendors", `{"name":"Held","country":"DE"}`, write, "Client-Reference: int_held")
		gone <- err
	}()
	s.AwaitHeld("1")
	if res := find(t, s, url.Values{"client_reference": {"int_held"}}); res.Count != 1 {
		t.Errorf("while held: %+v", res)
	}
	s.Close()
	if err := <-gone; err == nil {
		t.Log("the client got an answer at the end; the vendor counts all the same")
	}
	if got := start(t, dir).Stats().Durable["vendors_created"]; got != 1 {
		t.Errorf("after a restart: %d", got)
	}
}

func TestBadVendorsAreRefused(t *testing.T) {
	s := start(t, t.TempDir())
	for _, body := range []string{
		`{"name":"","country":"DE"}`, `{"name":"...","country":"DE"}`, `{"name":"X"}`, `{"name":"X","country":"de"}`, `{"name":"X","country":"DEU"}`,
		`{"name":"X","country":"DE","tax_id":"DE 1"}`, `{"name":"X","country":"DE","contact_email":"nobody"}`, `{"name":"X","country":"DE","contact_email":"A <a@b.example>"}`,
		`{"name":"X","country":"DE","id":"V-1"}`, `{"name":"X","country":"DE","client_reference":"int_1"}`, `{"name":"` + strings.Repeat("x", 201) + `","country":"DE"}`,
	} {
		if a := s.Do("POST", "/v1/vendors", body, write); a.Status != 422 && a.Status != 400 {
			t.Errorf("%.60s: %+v", body, a)
		}
	}
	for _, ref := range []string{"Client-Reference: a b", "Client-Reference: " + strings.Repeat("x", 129)} {
		if a := s.Do("POST", "/v1/vendors", `{"name":"X","country":"DE"}`, write, ref); a.Status != 400 {
			t.Errorf("%.40s: %+v", ref, a)
		}
	}
	if a := s.Do("GET", "/v1/vendors", "", read); a.Status != 400 {
		t.Errorf("a search for nothing: %+v", a)
	}
	if got := s.Stats().Durable["vendors_created"]; got != 0 {
		t.Errorf("created = %d", got)
	}
}

func TestVendorsAreFoundByTaxIDAndByName(t *testing.T) {
	s := start(t, t.TempDir())
	for _, c := range []struct {
		q    url.Values
		id   string
		by   string
		high bool
	}{
		{url.Values{"tax_id": {"de 129.274-202"}}, "V-100001", "tax_id", true},
		{url.Values{"tax_id": {"DE129274202"}, "name": {"Something else"}}, "V-100001", "tax_id", true},
		{url.Values{"name": {"SOCIETE GENERALE"}}, "V-100004", "name", true},
		{url.Values{"name": {"skoda auto"}}, "V-100011", "name", true},
		{url.Values{"name": {"Telefonica"}}, "V-100006", "name", true},
		{url.Values{"name": {"InBev Anheuser Busch"}}, "V-100012", "name", false},
	} {
		res := find(t, s, c.q)
		if res.Count == 0 || res.Vendors[0].ID != c.id || res.Vendors[0].Match.By != c.by || c.high && res.Vendors[0].Match.Score != 1 {
			t.Errorf("%v: %+v", c.q, res)
		}
	}
	if a := s.Do("GET", "/v1/vendors?name=Nobody+Knows+Them", "", read); !strings.Contains(a.Body, `"vendors":[]`) {
		t.Errorf("nobody: %+v", a)
	}
}
