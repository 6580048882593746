package cli_test

import (
	"testing"
	"time"

	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/vault"
)

func TestATimeToExpireAtIsASpanADayOrATime(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 500, time.UTC)
	for in, want := range map[string]string{
		"12h": "2026-11-24T00:00:00Z", "90d": "2027-02-21T12:00:00Z", "2w": "2026-12-07T12:00:00Z",
		"2027-03-01": "2027-03-01T00:00:00Z", "2027-03-01T10:00:00+02:00": "2027-03-01T08:00:00Z",
	} {
		if got, err := cli.Expiry(in, now); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %s: %v", in, got, err)
		}
	}
	for _, in := range []string{"soon", "0d", "-1d", "d", "1y", "2026-11-23", "2026-11-23T12:00:00Z", "999999999999h", "40000d", "99999999999999999999d", "2027-13-01", " 90d", "1.5d"} {
		if got, err := cli.Expiry(in, now); err == nil {
			t.Errorf("%q is %s", in, got)
		}
	}
	if got, err := cli.Expiry("", now); err != nil || !got.IsZero() {
		t.Errorf("nothing is %s: %v", got, err)
	}
}

func TestAnExpiryIsWarnedAboutFromFourteenDaysBefore(t *testing.T) {
	end := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	v := vault.Version{Scope: vault.Scope{NotAfter: end}}
	for before, want := range map[time.Duration]string{
		15 * 24 * time.Hour: "", 14 * 24 * time.Hour: "expires in 14 days", 25 * time.Hour: "expires in a day", time.Hour: "expires in less than a day", 0: "has expired", -time.Hour: "has expired",
	} {
		if _, got := cli.Expires(v, end.Add(-before)); got != want {
			t.Errorf("%s before it: %q, want %q", before, got, want)
		}
	}
	if cell, warning := cli.Expires(vault.Version{}, end); cell+warning != "" {
		t.Errorf("never is %q, %q", cell, warning)
	}
}
