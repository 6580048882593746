package awssm_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The two roles: the first for the web identity, the second for whoever has a key of
// the first account and the external id.
const (
	webRole    = "arn:aws:iam::123456789012:role/sallyport"
	secondRole = "arn:aws:iam::999999999999:role/secrets/reader"
)

// sts answers as STS's API reference says: a form in, XML out.
func (f *fakeAWS) sts(w http.ResponseWriter, r *http.Request, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, err := url.ParseQuery(string(body))
	if err != nil || in.Get("Version") != "2011-06-15" || in.Get("RoleSessionName") != "sallyport" {
		stsNo(w, 400, "ValidationError")
		return
	}
	if f.stsSays != "" {
		status, code, _ := strings.Cut(f.stsSays, " ")
		n, _ := strconv.Atoi(status)
		w.Header().Set("Retry-After", "7")
		stsNo(w, n, code)
		return
	}
	action := in.Get("Action")
	switch action {
	case "AssumeRoleWithWebIdentity": // as nobody
		if r.Header.Get("Authorization") != "" || in.Get("RoleArn") != webRole {
			stsNo(w, 403, "AccessDenied")
			return
		}
		if in.Get("WebIdentityToken") != f.jwt {
			stsNo(w, 400, "InvalidIdentityToken")
			return
		}
	case "AssumeRole":
		if code := f.signed(r, body, "sts"); code != "" {
			stsNo(w, 403, strings.TrimSuffix(code, "Exception"))
			return
		}
		if in.Get("RoleArn") != secondRole || !f.trusts(in.Get("ExternalId")) {
			stsNo(w, 403, "AccessDenied")
			return
		}
	default:
		stsNo(w, 400, "InvalidAction")
		return
	}
	f.assumed = append(f.assumed, action)
	id := fmt.Sprintf("ASIA%04d", len(f.assumed))
	f.keys[id], f.session[id] = "secret-key-of-"+id, "session/of+"+id+"=="
	creds := fmt.Sprintf("<Credentials><SessionToken>%s</SessionToken><SecretAccessKey>%s</SecretAccessKey><Expiration>%s</Expiration><AccessKeyId>%s</AccessKeyId></Credentials>",
		f.session[id], f.keys[id], f.now().Add(f.life).UTC().Format(time.RFC3339), id)
	if f.stsTwice {
		creds += creds
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser><AssumedRoleId>AROA:sallyport</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/sallyport/sallyport</Arn></AssumedRoleUser>%[2]s</%[1]sResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></%[1]sResponse>`, action, creds)
}

func (f *fakeAWS) trusts(id string) bool {
	if len(f.trust.Statement) == 0 {
		return id == f.outside
	}
	return f.trust.allows("sts:AssumeRole", "", map[string]string{"sts:ExternalId": id})
}

func stsNo(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>cnry-of-the-contract-81kq is not authorized</Message></Error><RequestId>x</RequestId></ErrorResponse>`, code)
}
