package awssm

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// fromSTS assumes a role with a token that Kubernetes, or another issuer that the
// account trusts, has written into a file.
func fromSTS(ctx context.Context, c Config, server string, client *http.Client) (*key, error) {
	role, file := c.RoleARN, c.TokenFile
	if role == "" {
		role = os.Getenv("AWS_ROLE_ARN")
	}
	if file == "" {
		file = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	token, err := safe.Credential(file)
	defer clear(token)
	if err != nil {
		return nil, none("the web identity's token: " + err.Error())
	}
	body := []byte(url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName": {"sallyport"}, "WebIdentityToken": {string(token)}}.Encode())
	defer clear(body)
	a, err := rest.Do(ctx, client, "AWS STS", rest.Request{Method: http.MethodPost, URL: server + "/",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: body})
	if err != nil {
		return nil, backend.Fail(backend.Away, err.Error())
	}
	defer clear(a.Body)
	switch {
	case a.Status == http.StatusOK:
		return fromXML(a.Body)
	case a.Status >= 500 || a.Status == http.StatusTooManyRequests || bytes.Contains(a.Body, []byte("<Code>Throttling")):
		return nil, backend.Fail(backend.Away, "AWS STS can't answer now")
	}
	return nil, none("AWS STS does not let the web identity assume the role")
}

// fromXML takes the four parts out of STS's answer. None of their characters is one
// that XML escapes; what has one is refused with the rest.
func fromXML(raw []byte) (*key, error) {
	_, creds, _ := bytes.Cut(raw, []byte("<Credentials>"))
	creds, _, ok := bytes.Cut(creds, []byte("</Credentials>"))
	part := func(name string) []byte {
		_, rest, _ := bytes.Cut(creds, []byte("<"+name+">"))
		value, after, ok := bytes.Cut(rest, []byte("</"+name+">"))
		if !ok || bytes.ContainsAny(value, "<>&") || bytes.Contains(after, []byte("<"+name+">")) {
			return nil
		}
		return bytes.Clone(bytes.TrimSpace(value))
	}
	end, err := time.Parse(time.RFC3339, string(part("Expiration")))
	session := part("SessionToken")
	if !ok || err != nil || len(session) == 0 {
		return nil, none("AWS STS's answer is not the one that is expected")
	}
	return made(part("AccessKeyId"), part("SecretAccessKey"), session, end)
}
