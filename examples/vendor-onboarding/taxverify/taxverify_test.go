package taxverify_test

import (
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/system"
	"sallyport.dev/examples/vendor-onboarding/system/systemtest"
	"sallyport.dev/examples/vendor-onboarding/taxid"
	"sallyport.dev/examples/vendor-onboarding/taxverify"
)

const key = "X-Api-Key: canary-tax-key-0001"

func start(t *testing.T, dir string) *systemtest.Server {
	return systemtest.Start(t, taxverify.System(), dir, system.Credential{Name: "taxverify-key", Token: strings.TrimPrefix(key, "X-Api-Key: ")})
}

func TestVerdictsSayTheRuleAndWhatIsNotVerified(t *testing.T) {
	s := start(t, t.TempDir())
	for _, c := range []struct {
		path            string
		valid, verified bool
		number          string
		status          taxid.Status
	}{
		{"/v1/tax-ids/DE129274202?country=DE", true, true, "DE129274202", taxid.Valid},
		{"/v1/tax-ids/DE%20129%20274%20202", true, true, "DE129274202", taxid.Valid},
		{"/v1/tax-ids/DE129274203?country=DE", false, true, "DE129274203", taxid.Invalid},
		{"/v1/tax-ids/12-3456789?country=US", false, false, "", taxid.Unsupported},
		{"/v1/tax-ids/..%2F..%2Fv1?country=DE", false, true, "DEV1", taxid.Invalid},
	} {
		a := s.Do("GET", c.path, "", key)
		var got taxverify.Answer
		a.JSON(t, &got)
		if a.Status != 200 || got.Valid != c.valid || got.Verified != c.verified || got.Number != c.number || got.Status != c.status || got.Rule == "" {
			t.Errorf("%s: %d %+v", c.path, a.Status, got)
		}
	}
}

func TestOddQuestionsAreRefusedAndTheKeyIsNeeded(t *testing.T) {
	s := start(t, t.TempDir())
	for path, want := range map[string]int{
		"/v1/tax-ids/" + strings.Repeat("1", 33): 400, "/v1/tax-ids/DE1?country=DEU": 400, "/v1/tax-ids/DE1?other=1": 400, "/v1/tax-ids/": 404, "/v1/tax-ids/a/b": 404,
	} {
		if a := s.Do("GET", path, "", key); a.Status != want {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := s.Do("GET", "/v1/tax-ids/DE129274202", ""); a.Status != 401 {
		t.Errorf("without the key: %+v", a)
	}
	if got := s.Stats().Durable["checks"]; got != 0 {
		t.Errorf("checks = %d", got)
	}
}

func TestChecksAreCountedOverRestarts(t *testing.T) {
	dir := t.TempDir()
	for want := range 3 {
		s := start(t, dir)
		if got := s.Stats().Durable["checks"]; got != want {
			t.Errorf("checks = %d, want %d", got, want)
		}
		s.Do("GET", "/v1/tax-ids/DE129274202", "", key)
		s.Close()
	}
}
