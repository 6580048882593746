package awssm_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/awssm"
	"sallyport.dev/internal/vault/backend/backendtest"
)

func TestTheSDKNeverHasTheValue(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	log, err := awssm.LoggedForTest(t.Context(), open(t, config(t, f), time.Now), "crm")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "VersionId") { // it does log answers
		t.Errorf("the SDK logged %q", log)
	}
	if strings.Contains(log, "cnry") {
		t.Errorf("the SDK logged the value: %s", log)
	}
}

func TestTheSDKRepeatsNothingAndSaysWhenToAskAgain(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	b := open(t, config(t, f), time.Now)
	for fault, want := range map[backendtest.Fault]time.Duration{backendtest.Busy: 7 * time.Second, backendtest.Broken: 0} {
		f.fault, f.asked = fault, 0
		_, err := ask(t, b, backend.Ask{Path: "crm"})
		e, ok := errors.AsType[*backend.Error](err)
		if !ok || e.After != want || f.asked != 1 {
			t.Errorf("it %s: asked %d times, %v after %s", fault, f.asked, err, e.After)
		}
	}
}

// answers are the same for every request.
type answers struct {
	status int
	body   []byte
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers gives whatever it likes to the SDK and to what is before and after it.
func FuzzAnswers(f *testing.F) {
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:crm-AbCdEf"
	f.Add(200, []byte(`{"ARN":"`+arn+`","Name":"crm","VersionId":"00000000-0000-0000-0000-000000000000","VersionStages":["AWSCURRENT"],"SecretString":"cnry"}`))
	f.Add(200, []byte(`{"Name":"crm","VersionId":"00000000-0000-0000-0000-000000000000","VersionStages":["AWSCURRENT"],"SecretBinary":"Y25yeQ=="}`))
	f.Add(200, []byte(`{"Name":"crm","VersionId":3,"VersionStages":[[{}],null],"SecretString":"cnry"}`))
	f.Add(400, []byte(`{"__type":"com.amazonaws#ResourceNotFoundException","Message":"cnry"}`))
	f.Add(503, []byte(`<html>cnry`))
	creds := file(f, "credentials", "[default]\naws_access_key_id=AKIATEST\naws_secret_access_key=secret-key-of-the-fake\n")
	f.Fuzz(func(t *testing.T, status int, raw []byte) {
		if status < 100 || status > 999 {
			return
		}
		b, err := awssm.OverForTest(awssm.Config{Region: "eu-central-1", Credentials: "file", CredentialsFile: creds}, answers{status, raw})
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Fetch(t.Context(), backend.Ask{Path: "crm"})
		if err == nil && (status != 200 || len(got.Fields) == 0 || len(got.Version) < 32 || !bytes.Contains(raw, []byte(got.Version))) {
			t.Errorf("an answer that is none: %d %q", status, raw)
		}
		if err != nil {
			if e, ok := errors.AsType[*backend.Error](err); !ok || e.Reason == "" || strings.Contains(err.Error(), "cnry") {
				t.Errorf("%v", err)
			}
		}
		got.Wipe()
	})
}
