package httpcred_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkCall is a call with an answer of 1 KB, without a network.
func BenchmarkCall(b *testing.B) {
	answer := strings.Repeat(`{"vendor":"Acme GmbH","country":"DE"},`, 27)
	door := openFor(b, "POST", schemes["bearer"], "https://erp.example", roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(answer))}, nil
	}))
	for b.Loop() {
		resp, err := door.RoundTrip(request(b, "POST", "https://erp.example/vendors?page=2", `{"name":"Acme GmbH"}`))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
