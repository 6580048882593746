package awssm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/sieve"
)

// current is the stage that is meant where none is named.
const current = "AWSCURRENT"

// Fetch reads one version.
func (m *manager) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &a.Path}
	switch {
	case id.MatchString(a.Version):
		in.VersionId = &a.Version
	case a.Version != "":
		in.VersionStage = &a.Version
	default:
		in.VersionStage = aws.String(current)
	}
	var got *secretsmanager.GetSecretValueOutput
	catch, err := m.call(ctx, func(ctx context.Context) error {
		got, err = m.client.GetSecretValue(ctx, in)
		return err
	})
	if err != nil {
		return out, err
	}
	defer catch.Wipe()
	plain.Do(func() { out, err = read(got, catch, in) })
	return out, err
}

// read takes an answer, where it is the one that was asked for.
func read(got *secretsmanager.GetSecretValueOutput, catch *sieve.Catch, in *secretsmanager.GetSecretValueInput) (out backend.Answer, err error) {
	wrong := func(msg string) (backend.Answer, error) {
		return backend.Answer{}, backend.Fail(backend.Wrong, who+"'s answer "+msg)
	}
	if path := *in.SecretId; aws.ToString(got.Name) != path && aws.ToString(got.ARN) != path {
		return wrong("is for another secret than was asked for")
	}
	version := aws.ToString(got.VersionId)
	if !id.MatchString(version) || in.VersionId != nil && version != *in.VersionId || in.VersionStage != nil && !slices.Contains(got.VersionStages, *in.VersionStage) {
		return wrong("is of another version than was asked for")
	}
	if b, ok := catch.Take("SecretString"); ok {
		return backend.Answer{Fields: backend.OneValue(b), Version: version}, nil
	}
	coded, ok := catch.Take("SecretBinary")
	b := make([]byte, base64.StdEncoding.DecodedLen(len(coded)))
	n, err := base64.StdEncoding.Strict().Decode(b, coded)
	clear(coded)
	if !ok || err != nil || n == 0 {
		return wrong("has no value")
	}
	return backend.Answer{Fields: backend.OneValue(b[:n]), Version: version}, nil
}

// call asks the service; once more, where the credentials had ended.
func (m *manager) call(ctx context.Context, do func(ctx context.Context) error) (*sieve.Catch, error) {
	for try := 0; ; try++ {
		inner, used := using(ctx)
		inner, catch := sieve.Into(inner)
		err := do(inner)
		if err == nil {
			return catch, nil
		}
		catch.Wipe()
		if name := errorName(err); try == 0 && catch.Err() == nil && (name == "ExpiredTokenException" || name == "UnrecognizedClientException" || name == "InvalidClientTokenId") && m.keys.drop(used.key) {
			continue
		}
		return nil, judge(err, catch)
	}
}

// errorName is the name that the service gives its error; the SDK reads it.
func errorName(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// judge sorts an error by its name, then by its status. The SDK's own words about it
// are not repeated.
func judge(err error, catch *sieve.Catch) error {
	if catch.Err() != nil {
		return catch.Err()
	}
	if e, ok := errors.AsType[*backend.Error](err); ok { // of signing in
		return e
	}
	about := func(r backend.Reason, msg string) *backend.Error {
		return backend.Fail(r, who+" "+msg+" (status "+strconv.Itoa(catch.Status)+")")
	}
	name, later := errorName(err), rest.RetryAfter(catch.Header)
	switch {
	case name == "ResourceNotFoundException":
		return about(backend.Missing, "has no such secret or version")
	case name == "InvalidRequestException":
		return about(backend.Missing, "does not give the secret: it is marked for deletion, or has no value")
	case name == "ResourceExistsException":
		return about(backend.Taken, "has a secret of this name, or one that is marked for deletion")
	case refusals[name]:
		return about(backend.Refused, "does not let us").
			WithHint("the role needs secretsmanager:GetSecretValue on the secret, and kms:Decrypt where it has a key of its own; docs/bring-your-own-vault.md has the policy")
	case throttles[name], catch.Status == http.StatusTooManyRequests:
		return about(backend.Throttled, "asks to be asked later").Later(later)
	case catch.Status == http.StatusForbidden, catch.Status == http.StatusUnauthorized:
		return about(backend.Refused, "does not let us")
	case broken(catch.Status):
		return about(backend.Away, "can't answer now").Later(later)
	case catch.Status == 0:
		return backend.Fail(backend.Wrong, who+" was not asked: the request could not be made")
	}
	return about(backend.Wrong, "does not take the request, or its answer is not one")
}

// Create makes a new secret. One name is all of it; several are a JSON object.
func (w writer) Create(ctx context.Context, path string, fields map[string]plain.Value) error {
	if !secret.MatchString(path) {
		return fault.New(fault.Invalid, "a new secret has a name, not an ARN")
	}
	value, ok := backend.JoinValue(fields)
	defer func() { clear(value) }()
	text := make([]byte, 0, 6*len(value)+2) // never grown
	defer func() { clear(text[:cap(text)]) }()
	if ok {
		text, ok = object.Append(text, value)
	}
	if !ok {
		return fault.New(fault.Invalid, who+" takes UTF-8 text alone")
	}
	place := rand.Text()
	catch, err := w.call(ctx, func(ctx context.Context) error {
		_, err := w.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &path, SecretString: &place}, func(o *secretsmanager.Options) {
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
				return s.Serialize.Insert(putting{place: []byte(`"` + place + `"`), text: text}, "OperationSerializer", middleware.After)
			})
		})
		return err
	})
	if err == nil {
		catch.Wipe()
	}
	return err
}

// putting puts the value into a request that the SDK has written and not signed yet,
// in the place of a word that holds it: so the value is never a string of the SDK's.
type putting struct{ place, text []byte }

// ID is the step's name.
func (putting) ID() string { return "PutValue" }

// HandleSerialize puts it in.
func (p putting) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, meta middleware.Metadata, err error) {
	r, ok := in.Request.(*smithyhttp.Request)
	if !ok || r.GetStream() == nil {
		return out, meta, errors.New("the request is not one of HTTP")
	}
	written, err := io.ReadAll(r.GetStream()) // nothing secret in it yet
	if err != nil || bytes.Count(written, p.place) != 1 {
		return out, meta, errors.New("the request does not have one place for the value")
	}
	before, after, _ := bytes.Cut(written, p.place)
	body := make([]byte, 0, len(written)+len(p.text))
	body = append(append(append(body, before...), p.text...), after...)
	defer clear(body)
	if r, err = r.SetStream(bytes.NewReader(body)); err != nil {
		return out, meta, err
	}
	in.Request = r
	return next.HandleSerialize(ctx, in)
}
