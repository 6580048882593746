package httpcred

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault/internal/plain"
)

// defaultField is the field that a scheme with one value takes.
const defaultField = "token"

// Inject gives what puts a credential into its place of a request to origin, for
// who sends it by itself: a rotation's order, whose answer has a value that no door
// may show. Errors as of [New].
func Inject(a resource.Auth, origin resource.Origin, fields map[string]plain.Value) (func(*http.Request) error, error) {
	return injector(a, origin, fields)
}

// injector prepares the injection: what it returns sets the one place of the
// credential, replacing whatever a request had there.
func injector(a resource.Auth, origin resource.Origin, fields map[string]plain.Value) (func(*http.Request) error, error) {
	switch a.Scheme { //nolint:exhaustive // the others have one value, below
	case resource.SchemeBasic:
		return basic(fields)
	case resource.SchemeNone:
		return func(*http.Request) error { return nil }, nil
	}
	name := a.Field
	if name == "" {
		name = defaultField
	}
	value, err := field(fields, name)
	if err != nil {
		return nil, err
	}
	switch a.Scheme {
	case resource.SchemeBearer:
		return header("Authorization", "Bearer "+value)
	case resource.SchemeHeader:
		return header(a.Name, value)
	case resource.SchemeQuery:
		return query(a.Name, value)
	case resource.SchemeSignature:
		return signature(value)
	case resource.SchemeAddress:
		return address(value, origin)
	case resource.SchemeBasic, resource.SchemeNone, resource.SchemeLogin, resource.SchemeEnv, resource.SchemeFile,
		resource.SchemeOAuthClient, resource.SchemeOAuthUser: // these are above, or not HTTP's
	}
	return nil, fault.Newf(fault.Invalid, "the credential scheme %q is not known", fault.Quote(string(a.Scheme)))
}

// field gives a field as the string that net/http needs.
func field(fields map[string]plain.Value, name string) (string, error) {
	v, ok := fields[name]
	if !ok {
		return "", fault.Newf(fault.Invalid, "the secret has no field %q", fault.Quote(name)).
			WithHint("bearer, header and query credentials take the field %q unless the Connection names another; basic takes username and password", defaultField)
	}
	return string(plain.Bytes(v)), nil
}

func basic(fields map[string]plain.Value) (func(*http.Request) error, error) {
	user, err := field(fields, "username")
	if err != nil {
		return nil, err
	}
	password, err := field(fields, "password")
	if err != nil {
		return nil, err
	}
	if strings.Contains(user, ":") {
		return nil, fault.New(fault.Invalid, "the user name has a colon, which basic authentication can't carry")
	}
	return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

func header(name, value string) (func(*http.Request) error, error) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name) || reserved[name]:
		return nil, fault.Newf(fault.Invalid, "a credential can't be put into the header %q", fault.Quote(name))
	case !httpguts.ValidHeaderFieldValue(value):
		return nil, fault.New(fault.Invalid, "the secret's value has characters that a header can't carry").
			WithHint("a line break at the end of a file is a usual cause: store the value without it")
	}
	return func(r *http.Request) error {
		// Spellings that differ in case would be sent beside it.
		for k := range r.Header {
			if strings.EqualFold(k, name) {
				delete(r.Header, k)
			}
		}
		r.Header[name] = []string{value}
		return nil
	}, nil
}

// query replaces every parameter of the name and leaves the others as they
// were written.
func query(name, value string) (func(*http.Request) error, error) {
	if name == "" {
		return nil, fault.New(fault.Invalid, "a query credential needs the parameter's name")
	}
	return func(r *http.Request) error {
		var kept []string
		for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
			key, _, _ := strings.Cut(part, "=")
			plainKey, err := url.QueryUnescape(key)
			if err != nil || strings.Contains(part, ";") {
				return fault.New(fault.Invalid, "the URL's query can be read in two ways")
			}
			if part != "" && !strings.EqualFold(plainKey, name) {
				kept = append(kept, part)
			}
		}
		kept = append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value))
		r.URL.RawQuery = strings.Join(kept, "&")
		return nil
	}, nil
}
