package oauthcred_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/oauthcred"
)

const metadata = `{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a","token_endpoint":"https://as.example/t","code_challenge_methods_supported":["S256"]}`

type answering func(*http.Request) (int, string, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func config(f answering) oauthcred.Config {
	return oauthcred.Config{Auth: resource.Auth{Scheme: resource.SchemeOAuthUser, Issuer: "https://as.example"}, Resource: "https://rs.example/mcp", Base: f,
		Fields: map[string]plain.Value{"client_id": plain.New([]byte("client-1")), "client_secret": plain.New([]byte("cnry-9f27Kq0ZxW4v81"))}}
}

func TestAServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := oauthcred.Refresh(t.Context(), config(func(r *http.Request) (int, string, error) {
			<-r.Context().Done()
			return 0, "", r.Context().Err()
		}), plain.New([]byte("rt")))
		if !fault.Is(err, fault.Unavailable) || time.Since(began) > 21*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// FuzzServer: whatever the servers say, a token comes from the issuer's origin alone,
// nothing secret goes anywhere else, and nothing of an answer is in an error.
func FuzzServer(f *testing.F) {
	const mark = "cnry-said-by-the-server"
	f.Add(`{"resource":"https://rs.example/mcp","authorization_servers":["https://as.example"]}`, metadata, `{"access_token":"cnry-said-by-the-server","token_type":"bearer","expires_in":60}`, 200)
	f.Add(``, strings.ReplaceAll(metadata, "as.example/t", "evil.example/t"), `{}`, 200)
	f.Add(`{"resource":"https://rs.example.evil"}`, `{"issuer":"https://as.example","token_endpoint":"//as.example@evil.example/t"}`, mark, 400)
	f.Add(`[`, metadata, `{"error":"cnry-said-by-the-server","expires_in":1e999}`, 401)
	f.Add(``, metadata, `{"access_token":"a\nb","token_type":"bearer","expires_in":-1}`, 302)
	f.Fuzz(func(t *testing.T, rs, as, token string, status int) {
		c := config(func(r *http.Request) (int, string, error) {
			if r.Method == http.MethodGet {
				if r.Header.Get("Authorization") != "" || r.Body != nil && r.Body != http.NoBody {
					t.Error("something goes with a question for metadata")
				}
				if r.URL.Host == "rs.example" {
					return 200, rs, nil
				}
				return 200, as, nil
			}
			if r.URL.Host != "as.example" || r.URL.Scheme != "https" || r.URL.User != nil {
				t.Errorf("the credential goes to %s", r.URL)
			}
			return status, token, nil
		})
		got, err := oauthcred.Refresh(t.Context(), c, plain.New([]byte("rt-1")))
		switch {
		case err != nil && strings.Contains(err.Error()+fault.HintOf(err), mark):
			t.Errorf("the answer is in the error: %v", err)
		case err == nil && (len(plain.Bytes(got.Access)) == 0 || got.Life <= 0 || got.Life > 24*time.Hour):
			t.Errorf("a token of %s", got.Life)
		}
		if a, err := oauthcred.Begin(t.Context(), c, "https://us.example/cb", "the-state", ""); err == nil {
			u, err := url.Parse(a.URL)
			if err != nil || u.Scheme != "https" || u.Host != "as.example" || u.Query().Get("state") != "the-state" || len(u.Query()["redirect_uri"]) != 1 {
				t.Errorf("the person is sent to %s", a.URL)
			}
		}
	})
}
