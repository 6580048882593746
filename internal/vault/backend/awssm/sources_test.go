package awssm_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/awssm"
)

// web signs in with the web identity.
func web(t *testing.T, f *fakeAWS) awssm.Config {
	t.Helper()
	c := config(t, f)
	c.Credentials, c.RoleARN, c.TokenFile = "webIdentity", webRole, file(t, "jwt", f.jwt)
	return c
}

// here is a machine's or a container's metadata service.
func here(t *testing.T, old bool) string {
	t.Helper()
	give := func(w http.ResponseWriter) {
		_ = json.NewEncoder(w).Encode(map[string]string{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAHERE", "SecretAccessKey": "secret-key-of-here", "Token": "session-of-here",
			"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const path = "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.URL.Path == "/pod" && r.Header.Get("Authorization") == "pod-token":
			give(w)
		case r.URL.Path == "/latest/api/token" && old:
			w.WriteHeader(405)
		case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			_, _ = w.Write([]byte("imds-token"))
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token" && !old:
			w.WriteHeader(401)
		case r.URL.Path == path:
			_, _ = w.Write([]byte("sallyport-role"))
		case r.URL.Path == path+"sallyport-role":
			give(w)
		default:
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAContainersAndAnInstancesCredentialsSign(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	f.keys["ASIAHERE"], f.session["ASIAHERE"] = "secret-key-of-here", "session-of-here"
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here(t, false)+"/pod")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file(t, "pod", "pod-token"))
	c := config(t, f)
	c.Credentials = "container"
	if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "crm"}); err != nil {
		t.Errorf("of a container: %v", err)
	}
	if got, err := awssm.InstanceForTest(t.Context(), here(t, false)); err != nil || got != "ASIAHERE" {
		t.Errorf("of an instance: %s, %v", got, err)
	}
}

func TestAMetadataServiceWithoutSessionTokensIsNotAsked(t *testing.T) {
	if got, err := awssm.InstanceForTest(t.Context(), here(t, true)); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("it gave the key %q, %v", got, err)
	}
}

func TestARoleIsAssumedWithTheSourcesKeys(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	f.outside = "what-its-owner-asks-for"
	c := web(t, f)
	c.AssumeRole = &awssm.AssumeRole{RoleARN: secondRole, ExternalID: f.outside}
	b := open(t, c, time.Now)
	for range 3 {
		if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"AssumeRoleWithWebIdentity", "AssumeRole"}; !slices.Equal(f.assumed, want) {
		t.Errorf("STS was asked for %v, want %v", f.assumed, want)
	}
	clear(f.session) // both are revoked: both are got anew
	if _, err := ask(t, b, backend.Ask{Path: "crm"}); err != nil {
		t.Errorf("after both were revoked: %v", err)
	}
	f.outside = "another"
	if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("a wrong external id: %v", err)
	}
	c.AssumeRole.RoleARN = "arn:aws:iam::1:user/x"
	if _, err := awssm.New(c, time.Now); err == nil {
		t.Error("a role that is none was taken")
	}
}

func TestWhySTSGivesNoKeyIsToldApartAndNotRepeated(t *testing.T) {
	for says, want := range map[string]backend.Reason{
		"400 Throttling": backend.Away, "400 IDPCommunicationError": backend.Away, "500 InternalFailure": backend.Away, "429 x": backend.Away,
		"403 AccessDenied": backend.Refused, "400 ExpiredTokenException": backend.Refused, "400 InvalidIdentityToken": backend.Refused,
	} {
		f := newFake()
		f.stsSays = says
		_, err := ask(t, open(t, web(t, f), time.Now), backend.Ask{Path: "crm"})
		if backend.ReasonOf(err) != want || strings.Contains(err.Error(), "cnry") {
			t.Errorf("%s: %v (%s), want %s", says, err, backend.ReasonOf(err), want)
		}
	}
	f := newFake()
	f.stsTwice = true
	if _, err := ask(t, open(t, web(t, f), time.Now), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Wrong {
		t.Errorf("two keys in one answer: %v", err)
	}
}

// Each variable alone leads an SDK with its defaults elsewhere, or makes it somebody
// else. Here all of them lead nowhere: the fake is asked, as who the file says.
func TestTheEnvironmentNeitherLeadsElsewhereNorSaysWhoWeAre(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		w.WriteHeader(500)
	}))
	defer thief.Close()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(home, "ran")
	profile := "[default]\naws_access_key_id=AKIATHIEF\naws_secret_access_key=secret-key-of-the-thief\ncredential_process=/bin/touch " + ran + "\nendpoint_url=" + thief.URL + "\n"
	for _, name := range []string{"credentials", "config"} {
		if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(profile), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	in := web(t, f)
	static := config(t, f)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": thief.URL, "AWS_ENDPOINT_URL_SECRETS_MANAGER": thief.URL, "AWS_ENDPOINT_URL_STS": thief.URL,
		"HTTPS_PROXY": thief.URL, "HTTP_PROXY": thief.URL, "ALL_PROXY": thief.URL, "https_proxy": thief.URL, "AWS_CA_BUNDLE": filepath.Join(home, "none.pem"),
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": thief.URL, "AWS_EC2_METADATA_DISABLED": "true", "AWS_EC2_METADATA_V1_DISABLED": "false",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": thief.URL + "/x", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
		"AWS_ACCESS_KEY_ID": "AKIATHIEF", "AWS_SECRET_ACCESS_KEY": "secret-key-of-the-thief", "AWS_SESSION_TOKEN": "thief",
		"AWS_ROLE_ARN": "arn:aws:iam::666666666666:role/thief", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "other", "eyJ.t.h"), "AWS_ROLE_SESSION_NAME": "thief",
		"AWS_PROFILE": "default", "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, ".aws", "credentials"), "AWS_CONFIG_FILE": filepath.Join(home, ".aws", "config"), "HOME": home,
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
		"AWS_SDK_LOAD_CONFIG": "1", "AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive", "AWS_NEW_RETRIES_2026": "true", "AWS_AUTH_SCHEME_PREFERENCE": "noAuth", "AWS_DEFAULTS_MODE": "auto",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			for which, c := range map[string]awssm.Config{"webIdentity": in, "file": static} {
				if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "crm"}); err != nil {
					t.Errorf("%s: %v", which, err)
				}
			}
			if got, err := awssm.InstanceForTest(t.Context(), here(t, false)); err != nil || got != "ASIAHERE" {
				t.Errorf("instance: %s, %v", got, err)
			}
			if secrets, sts, err := awssm.Places(awssm.Config{Region: "eu-central-1"}); err != nil || secrets != "https://secretsmanager.eu-central-1.amazonaws.com" || sts != "https://sts.eu-central-1.amazonaws.com" {
				t.Errorf("the addresses are %s and %s, %v", secrets, sts, err)
			}
		})
	}
	if stolen.Load() > 0 {
		t.Errorf("%d requests went elsewhere", stolen.Load())
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a profile's program was run")
	}
}

func TestAProfileThatNamesAProgramOrARoleHasNoKeys(t *testing.T) {
	f := newFake()
	f.put("crm", "cnry-one-of-the-fake")
	c := config(t, f)
	ran := filepath.Join(t.TempDir(), "ran")
	c.CredentialsFile = file(t, "credentials", "[default]\ncredential_process = /bin/touch "+ran+"\nsource_profile=other\nrole_arn="+webRole+"\n[other]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-key-of-the-fake\n")
	if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("it was used: %v", err)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Error("the program was run")
	}
}

func TestTheAddressesAreThoseOfTheRegionsPartition(t *testing.T) {
	for want, c := range map[string]awssm.Config{
		"https://secretsmanager.cn-north-1.amazonaws.com.cn https://sts.cn-north-1.amazonaws.com.cn":      {Region: "cn-north-1"},
		"https://secretsmanager-fips.us-east-1.amazonaws.com https://sts-fips.us-east-1.amazonaws.com":    {Region: "us-east-1", FIPS: true},
		"https://secretsmanager-fips.us-gov-west-1.amazonaws.com https://sts.us-gov-west-1.amazonaws.com": {Region: "us-gov-west-1", FIPS: true},
		"https://vpce-1.example.com https://sts.eu-west-1.amazonaws.com":                                  {Region: "eu-west-1", Endpoint: "https://vpce-1.example.com/"},
	} {
		if secrets, sts, err := awssm.Places(c); err != nil || secrets+" "+sts != want {
			t.Errorf("%+v: %s %s, %v", c, secrets, sts, err)
		}
	}
	for _, c := range []awssm.Config{{Region: "us-east-1", FIPS: true, Endpoint: "https://x.example.com"}, {Region: "us-east-1@evil.example.com#-1"}, {}} {
		if _, _, err := awssm.Places(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
