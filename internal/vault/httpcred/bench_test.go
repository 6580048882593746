package httpcred_test

import (
	"fmt"
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

// BenchmarkEvents is 1 MB of a model's deltas through a door: with the media type
// of events, whose texts are put together, and as plain text, which is scanned as
// it stands.
func BenchmarkEvents(b *testing.B) {
	var answer strings.Builder
	words := strings.Fields("The vendor Acme GmbH of Hamburg was taken on , its bank account is verified and the contract signed .")
	for i := 0; answer.Len() < 1<<20; i++ {
		fmt.Fprintf(&answer, `data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1700000000,"model":"m-1","choices":[{"index":0,"delta":{"content":" %s"},"finish_reason":null}]}`+"\n\n", words[i%len(words)])
	}
	for _, mediaType := range []string{"text/event-stream", "text/plain"} {
		b.Run(mediaType, func(b *testing.B) {
			door := openFor(b, "GET", schemes["bearer"], "https://llm.example", roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{"Content-Type": {mediaType}},
					Body: io.NopCloser(strings.NewReader(answer.String()))}, nil
			}))
			b.SetBytes(int64(answer.Len()))
			b.ReportAllocs()
			for b.Loop() {
				resp, err := door.RoundTrip(request(b, "GET", "https://llm.example/v1", ""))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}
