package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
)

// maxBody bounds a request's body, in bytes; an apply carries OpenAPI documents.
// What strangers can send is bounded by maxOpen.
const (
	maxBody = 16 << 20
	maxOpen = 16 << 10
)

// access says who may call a route.
type access struct {
	open   bool         // anybody
	run    bool         // a Run, by its token, for itself
	person bool         // anybody who is signed in; what they see is the function's business
	roles  []ident.Role // people with one of these
	// outside: an outside Worker as itself, by its token or one of its issuer
	outside bool
}

var (
	anybody  = access{open: true}
	signedIn = access{person: true}
	worker   = access{run: true}
)

func with(roles ...ident.Role) access { return access{roles: roles} }

// route is a line of the table.
type route struct {
	method, pattern string
	summary         string
	access          access
	req, resp       reflect.Type
	status          int
	media           string // of a good answer, where it is not one JSON value
}

// call is one authenticated request.
type call struct {
	*http.Request
	who ident.Principal
	// status is what a good answer gets; a function may change it.
	status int
}

// none is the request or the answer of a route that has none.
type none struct{}

// handle adds a route. Req is decoded from the body, strictly, unless it is
// none; Resp is encoded.
func handle[Req, Resp any](a *API, method, pattern, summary string, acc access, fn func(*call, Req) (Resp, error)) {
	rt := route{method: method, pattern: pattern, summary: summary, access: acc,
		req: reflect.TypeFor[Req](), resp: reflect.TypeFor[Resp](), status: http.StatusOK}
	a.routes = append(a.routes, rt)
	a.mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, status: rt.status}
		var err error
		if c.who, err = a.caller(r, acc); err != nil {
			a.problem(w, r, err)
			return
		}
		var req Req
		if rt.req != reflect.TypeFor[none]() {
			if acc.open {
				r.Body = http.MaxBytesReader(w, r.Body, maxOpen)
			}
			if err := decode(w, r, &req); err != nil {
				if acc.open { // to a stranger nothing of the input is repeated
					err = fault.New(fault.Invalid, "the request's body is not what this route takes").WithHint("/v1/openapi.json says what it is")
				}
				a.problem(w, r, err)
				return
			}
		}
		resp, err := fn(c, req)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		a.send(w, r, c, resp)
	})
}

// caller authenticates a request and checks that it may use the route.
func (a *API) caller(r *http.Request, acc access) (ident.Principal, error) {
	if acc.open {
		return ident.Principal{}, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return ident.Principal{}, fault.New(fault.Unauthenticated, "the request carries no token").WithHint("sign in with: sallyport login")
	}
	token = strings.TrimSpace(token)
	authenticate := a.Directory.Authenticate
	if strings.HasPrefix(token, identity.WorkerPrefix) || strings.Contains(token, ".") {
		authenticate = a.Directory.Caller
	}
	who, err := authenticate(r.Context(), token, a.Now())
	if err != nil {
		return who, err
	}
	if !acc.allows(who, r.PathValue("run")) {
		return who, fault.New(fault.Denied, "this account or Run may not do this").WithHint("%s", acc.hint())
	}
	return who, nil
}

func (acc access) allows(who ident.Principal, run string) bool {
	if who.Kind == ident.Worker {
		return acc.outside
	}
	if who.Kind == ident.Run {
		return acc.run && run != "" && run == who.ID
	}
	if acc.person && who.Kind == ident.Person {
		return true
	}
	for _, r := range acc.roles {
		if who.Has(r) {
			return true
		}
	}
	return false
}

func (acc access) hint() string {
	if acc.run {
		return "only the Run's own Worker may, with the Run's token"
	}
	if acc.person {
		return "this route is for people who are signed in; a Run's token opens its own Run and nothing else"
	}
	names := make([]string, len(acc.roles))
	for i, r := range acc.roles {
		names[i] = string(r)
	}
	return "it takes the role " + strings.Join(names, " or ")
}

// decode reads one JSON value with known fields only.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	return strictly(json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)), into)
}

// strict decodes one JSON value in memory.
func strict(b []byte, into any) error {
	return strictly(json.NewDecoder(bytes.NewReader(b)), into)
}

func strictly(d *json.Decoder, into any) error {
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return fault.New(fault.Invalid, "there is data after the JSON value")
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return fault.Newf(fault.Invalid, "the request's body is larger than %d MiB", maxBody>>20)
	}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fault.Newf(fault.Invalid, "the field %q has the wrong type", fault.Quote(t.Field))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fault.Newf(fault.Invalid, "there is an unknown field %s", fault.Quote(field))
	}
	return fault.New(fault.Invalid, "the request's body is not JSON, or ends too early")
}

// send writes an answer. What became a Secret after it was recorded is taken out:
// the store has texts of all ages.
func (a *API) send(w http.ResponseWriter, r *http.Request, c *call, v any) {
	if _, empty := v.(none); empty {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		a.problem(w, r, fault.Wrap(fault.Internal, "encoding an answer", err))
		return
	}
	b, known := a.Vault.Scrub(c.who.Tenant).Bytes(b)
	if known.Found() && !json.Valid(b) {
		a.problem(w, r, fault.New(fault.Denied, "the answer can't be shown: a Secret's value stands in what holds it together").
			WithHint("an admin finds out which Secret it is, and rotates or removes it"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(c.status)
	_, _ = w.Write(append(b, '\n')) // the client is gone when this fails
}
