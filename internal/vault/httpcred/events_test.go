package httpcred_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/httpcred"
	"sallyport.dev/internal/vault/internal/plain"
)

// said is a text in deltas of five bytes.
func said(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(5, len(text))
		fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text[:n])
		text = text[n:]
	}
	return b.String() + "data: [DONE]\n\n"
}

// heard is what the deltas that came through say.
func heard(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if _, text, ok := strings.Cut(line, `"content":"`); ok {
			b.WriteString(text[:strings.Index(text, `"}}]}`)])
		}
	}
	return b.String()
}

func TestASecretThatIsCutIntoEventsIsTakenOutWithTheSecretsOfThenAndNow(t *testing.T) {
	old, now := known(t), build(t, "new", "cnry-7k55Jd8MnC2w94-four")
	text := "I have " + token + ", " + foreign + " and cnry-7k55Jd8MnC2w94-four."
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, said(text)) // to memory
	_ = z.Close()
	door, err := httpcred.New(httpcred.Config{Auth: schemes["bearer"], Origin: resource.Origin{Scheme: "https", Host: "llm.example:443"}, Method: "GET",
		Fields: map[string]plain.Value{"token": plain.New([]byte(token))}, Known: old, Latest: func() *scrub.Set { return now },
		Base: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Status: "200 OK", Body: io.NopCloser(&packed),
				Header: http.Header{"Content-Type": {"Text/Event-Stream; charset=utf-8"}, "Content-Encoding": {"gzip"}}}, nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := door.RoundTrip(request(t, "GET", "https://llm.example/v1", ""))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if got, want := heard(string(b)), "I have [secret:erp], [secret:crm] and [secret:new]."; err != nil || got != want {
		t.Errorf("%v: %q, not %q", err, got, want)
	}
}

func build(t *testing.T, name, value string) *scrub.Set {
	t.Helper()
	set, err := scrub.Build([]scrub.Secret{{Name: name, Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// An event leaves when it came, and not with the one after it.
func TestAnEventComesThroughBeforeTheNextOneIsSent(t *testing.T) {
	next := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: {\"t\":\"a word.\"}\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
	})
	resp, err := open(t, schemes["bearer"], s.URL, s.Client().Transport).RoundTrip(request(t, "GET", s.URL+"/x", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	event := make([]byte, len("data: {\"t\":\"a word.\"}\n\n"))
	for range 3 {
		if _, err := io.ReadFull(resp.Body, event); err != nil {
			t.Fatal(err)
		}
		next <- struct{}{}
	}
}
