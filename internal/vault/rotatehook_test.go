package vault_test

import (
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// signed is a signature as others make it.
func signed(t *testing.T, key, id, at, body string) string {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Sign(id, time.Unix(n, 0), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
