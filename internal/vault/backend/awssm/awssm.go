// Package awssm is AWS Secrets Manager, by its JSON API and Signature Version 4 of our
// own: the official SDK is 30 modules for three requests.
//
// It refuses an answer for another name or ARN, of another version or stage than was
// asked for; and to write over anything.
//
// # Security
//
// The credentials come from one source that the server's file names, and from no other:
// a chain that looks further would use whatever it finds. The metadata service is asked
// with a session token (IMDSv2) at its one address; every other request goes over TLS.
package awssm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sigv4"
)

// Config says which region of which account, and how to sign.
type Config struct {
	Region string `yaml:"region"`
	// Endpoint is the service's, https://host: of a VPC endpoint. The region's when empty.
	Endpoint string `yaml:"endpoint,omitempty"`
	CAFile   string `yaml:"caFile,omitempty"` // the system's certificates when empty
	// Credentials says where the keys are from, and is one of environment, file, webIdentity, container and instance.
	Credentials string `yaml:"source"`
	// CredentialsFile and Profile are of file: the shared credentials file.
	CredentialsFile string `yaml:"credentialsFile,omitempty"`
	Profile         string `yaml:"profile,omitempty"` // "default" when empty
	// RoleARN, TokenFile and STSEndpoint are of webIdentity; from the environment that
	// EKS sets when the first two are empty.
	RoleARN     string `yaml:"roleArn,omitempty"`
	TokenFile   string `yaml:"tokenFile,omitempty"`
	STSEndpoint string `yaml:"stsEndpoint,omitempty"`
	// Write says that "secret move" may make new secrets there.
	Write bool `yaml:"write,omitempty"`
}

// who is how errors name the service.
const who = "AWS Secrets Manager"

// manager is one region of one account.
type manager struct {
	cfg    Config
	server string
	host   string
	http   *http.Client
	creds  *credentials
	now    func() time.Time
}

// writer is one that takes values.
type writer struct{ *manager }

var (
	region  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)
	id      = regexp.MustCompile(`^[0-9A-Za-z-]{32,64}$`)
	secret  = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)
	fullARN = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$`)
)

// New checks the configuration. It asks nobody anything.
func New(c Config, now func() time.Time) (backend.Backend, error) {
	if !region.MatchString(c.Region) {
		return nil, bad("region is not the name of one, like eu-central-1")
	}
	domain := ".amazonaws.com"
	if strings.HasPrefix(c.Region, "cn-") {
		domain = ".amazonaws.com.cn"
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://secretsmanager." + c.Region + domain
	}
	if c.STSEndpoint == "" {
		c.STSEndpoint = "https://sts." + c.Region + domain
	}
	m := &manager{cfg: c, now: now}
	server, plainHTTP, err := rest.Address("the AWS backend's", c.Endpoint)
	if err != nil {
		return nil, err
	}
	m.server, m.host = server, server[strings.Index(server, "//")+2:]
	if m.http, err = rest.Client(rest.Options{Whose: "the AWS backend's", CAFile: c.CAFile, Plain: plainHTTP, Keep: true}); err != nil {
		return nil, err
	}
	if m.creds, err = newCredentials(c, m.http, now); err != nil {
		return nil, err
	}
	if c.Write {
		return writer{m}, nil
	}
	return m, nil
}

func bad(msg string) error {
	return fault.New(fault.Invalid, "the AWS backend's "+msg).WithHint("docs/bring-your-own-vault.md has an example")
}

// Named: a secret there is one value.
func (*manager) Named() bool { return false }

// Check takes a name or a whole ARN, and a stage or the id of a version.
func (*manager) Check(a backend.Ask) error {
	if !secret.MatchString(a.Path) && !fullARN.MatchString(a.Path) {
		return fault.New(fault.Invalid, "a path in AWS Secrets Manager is a secret's name, or its whole ARN with the six characters at its end")
	}
	return nil
}

// current is the stage that is meant where none is named.
const current = "AWSCURRENT"

// Fetch reads one version.
func (m *manager) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	body := `{"SecretId":"` + a.Path + `"` // neither has a character that JSON escapes
	stage, version := current, ""
	switch {
	case id.MatchString(a.Version):
		stage, version = "", a.Version
		body += `,"VersionId":"` + version + `"`
	case a.Version != "":
		stage = a.Version
		fallthrough
	default:
		body += `,"VersionStage":"` + stage + `"`
	}
	raw, err := m.call(ctx, "GetSecretValue", []byte(body+"}"))
	if err != nil {
		return out, err
	}
	defer clear(raw)
	plain.Do(func() { out, err = read(raw, a.Path, stage, version) })
	return out, err
}

// read takes an answer, where it is the one that was asked for.
func read(raw []byte, path, stage, version string) (out backend.Answer, err error) {
	wrong := func(msg string) (backend.Answer, error) {
		return backend.Answer{}, backend.Fail(backend.Wrong, who+"'s answer "+msg)
	}
	f, err := object.Members(raw)
	if err != nil {
		return wrong("is not the JSON that is expected")
	}
	if object.Word(f["Name"]) != path && object.Word(f["ARN"]) != path {
		return wrong("is for another secret than was asked for")
	}
	got := object.Word(f["VersionId"])
	if !id.MatchString(got) || version != "" && got != version || stage != "" && !slices.Contains(words(f["VersionStages"]), stage) {
		return wrong("is of another version than was asked for")
	}
	if b, ok := object.Text(f["SecretString"]); ok {
		return backend.Answer{Fields: backend.OneValue(b), Version: got}, nil
	}
	coded, ok := object.Text(f["SecretBinary"])
	b := make([]byte, base64.StdEncoding.DecodedLen(len(coded)))
	n, err := base64.StdEncoding.Strict().Decode(b, coded)
	clear(coded)
	if !ok || err != nil || n == 0 {
		return wrong("has no value")
	}
	return backend.Answer{Fields: backend.OneValue(b[:n]), Version: got}, nil
}

// words reads a list of texts, none of which is a secret or has an escape.
func words(raw []byte) (out []string) {
	for part := range strings.SplitSeq(strings.Trim(string(raw), "[] \n\t\r"), ",") {
		out = append(out, object.Word([]byte(strings.TrimSpace(part))))
	}
	return out
}

// call signs and sends one request; once more, where the credentials had ended.
func (m *manager) call(ctx context.Context, action string, body []byte) ([]byte, error) {
	k, err := m.creds.key(ctx)
	if err != nil {
		return nil, err
	}
	raw, ended, err := m.send(ctx, action, k, body)
	if ended && m.creds.drop(k) {
		if k, err = m.creds.key(ctx); err != nil {
			return nil, err
		}
		raw, _, err = m.send(ctx, action, k, body)
	}
	return raw, err
}

func (m *manager) send(ctx context.Context, action string, k *key, body []byte) (raw []byte, ended bool, err error) {
	h := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"secretsmanager." + action}}
	sigv4.Sign(k.Key, sigv4.Scope{Region: m.cfg.Region, Service: "secretsmanager", At: m.now()}, http.MethodPost, m.host, "/", h, body)
	a, err := rest.Do(ctx, m.http, who, rest.Request{Method: http.MethodPost, URL: m.server + "/", Header: h, Body: body})
	if err != nil {
		return nil, false, backend.Fail(backend.Away, err.Error())
	}
	if a.Status == http.StatusOK {
		return a.Body, false, nil
	}
	defer clear(a.Body)
	what := kind(a)
	return nil, what == "ExpiredTokenException" || what == "UnrecognizedClientException" || what == "InvalidClientTokenId", judge(a, what)
}

// kind is the error's name: the only word of an answer that is looked at.
func kind(a rest.Answer) string {
	name := a.Header.Get("X-Amzn-Errortype")
	if m, err := object.Members(a.Body); err == nil && name == "" {
		name = object.Word(m["__type"])
	}
	name, _, _ = strings.Cut(name, ":")
	return name[strings.LastIndexByte(name, '#')+1:]
}

// judge sorts an error by its name, then by its status.
func judge(a rest.Answer, what string) error {
	about := func(r backend.Reason, msg string) *backend.Error {
		return backend.Fail(r, who+" "+msg+" (status "+strconv.Itoa(a.Status)+")")
	}
	switch what {
	case "ResourceNotFoundException":
		return about(backend.Missing, "has no such secret or version")
	case "InvalidRequestException":
		return about(backend.Missing, "does not give the secret: it is marked for deletion, or has no value")
	case "ResourceExistsException":
		return about(backend.Taken, "has a secret of this name, or one that is marked for deletion")
	case "AccessDeniedException", "DecryptionFailure", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
		"ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired":
		return about(backend.Refused, "does not let us").
			WithHint("the role needs secretsmanager:GetSecretValue on the secret, and kms:Decrypt where it has a key of its own; docs/bring-your-own-vault.md has the policy")
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException":
		return about(backend.Throttled, "asks to be asked later").Later(rest.RetryAfter(a.Header))
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		return about(backend.Throttled, "asks to be asked later").Later(rest.RetryAfter(a.Header))
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		return about(backend.Refused, "does not let us")
	case a.Status >= 300 && a.Status < 400, a.Status >= 500:
		return about(backend.Away, "can't answer now")
	}
	return about(backend.Wrong, "does not take the request")
}

// Create makes a new secret. One name is all of it; several are a JSON object.
func (w writer) Create(ctx context.Context, path string, fields map[string]plain.Value) error {
	if !secret.MatchString(path) {
		return fault.New(fault.Invalid, "a new secret has a name, not an ARN")
	}
	value, ok := backend.JoinValue(fields)
	defer func() { clear(value) }()
	body := make([]byte, 0, 6*len(value)+len(path)+200)
	defer func() { clear(body[:cap(body)]) }()
	if ok {
		body = append(append(append(body, `{"Name":"`...), path...), `","ClientRequestToken":"`...)
		body = append(append(body, rand.Text()+"000000"...), `","SecretString":`...)
		body, ok = object.Append(body, value)
	}
	if !ok {
		return fault.New(fault.Invalid, who+" takes UTF-8 text alone")
	}
	raw, err := w.call(ctx, "CreateSecret", append(body, '}'))
	clear(raw)
	return err
}
