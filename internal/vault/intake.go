package vault

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/vault/internal/plain"
)

// Bounds of what is taken in.
const (
	maxVersion = 10_000
	maxFields  = 16
	maxField   = 32    // bytes of a field's name
	maxText    = 1_000 // bytes of a description, an owner
	maxLabels  = 16
	maxLabel   = 100 // bytes of a label's name, and of its value
	maxScope   = 50  // entries of a list in a usage scope
)

// userField is the field that is not sensitive: its value is not scrubbed by
// itself, and may be short or a word.
const userField = "username"

// clientField is an OAuth client's id, which is as public.
const clientField = "client_id"

// What an authorization by a person is bound to, and until when its token is good.
const (
	issuerField   = "token_issuer"
	resourceField = "token_resource"
	expiresField  = "token_expires" // seconds of Unix time
)

func public(field string) bool {
	switch field {
	case userField, clientField, issuerField, resourceField, expiresField:
		return true
	}
	return false
}

// Write is a value to store. The bytes of Fields are wiped, whatever happens, and
// so is what Sealed was decrypted to.
type Write struct {
	Tenant ident.Tenant
	Name   string
	// Fields: "token" for bearer, header and query credentials; "username" and
	// "password" for basic; or what a Connection names.
	Fields map[string][]byte
	// Sealed are the fields, encrypted to the key of IntakeKey for Tenant, Name,
	// Scope, Expires, AnyOrigin and AlthoughRecorded as they stand here. Either it or Fields is given.
	Sealed []byte
	// Pointer says where the value is, in place of a value.
	Pointer     *Pointer
	Description string            // empty: as it was
	Owner       string            // empty: as it was
	Labels      map[string]string // nil: as they were
	Scope       *Scope            // nil: as the latest version's, without its expiry
	Expires     time.Time         // of the new version, before what Scope says; zero: as Scope says
	// AnyOrigin says that a person means it when a Secret's scope names no
	// origin: whoever applies Connections can then send it where they like.
	AnyOrigin bool
	// AlthoughRecorded says that a person means it when the value stands in traffic
	// that was recorded: it will be replaced wherever it is shown from now on.
	AlthoughRecorded bool
	Actor            ident.Principal

	revealed plain.Value // what Sealed was decrypted to; Fields are parts of it
}

func (w *Write) wipe() {
	plain.Wipe(w.revealed)
	for _, v := range w.Fields {
		clear(v)
	}
}

// check refuses what can't be kept or can't be protected. Kind Invalid; nothing
// of a value is in the error.
func (w *Write) check() error {
	if err := checkCaller(w.Tenant, w.Actor); err != nil {
		return err
	}
	return w.Check()
}

// Check is what Set and Rotate refuse of a Write without looking at anything
// else: for who has a value and wants to know before sending it. Kind Invalid;
// nothing of a value is in the error.
func (w *Write) Check() error {
	if err := ident.CheckName(w.Name); err != nil {
		return err
	}
	if len(w.Fields) == 0 || len(w.Fields) > maxFields {
		return fault.Newf(fault.Invalid, "a secret has from 1 to %d fields", maxFields)
	}
	if err := w.checkTexts(); err != nil {
		return err
	}
	var known []scrub.Secret
	for _, name := range slices.Sorted(maps.Keys(w.Fields)) {
		value := w.Fields[name]
		if name == "" || len(name) > maxField || strings.ContainsFunc(name, notFieldName) {
			return fault.New(fault.Invalid, "a field's name has lower-case letters, digits and underscores only, at most 32")
		}
		if public(name) {
			if len(value) == 0 || len(value) > maxText {
				return fault.Newf(fault.Invalid, "a user name, client id, issuer, resource or time of expiry has from 1 to %d bytes", maxText)
			}
			continue
		}
		if err := scrub.Check(value); err != nil {
			return fault.Wrap(fault.Invalid, "the field "+name+" can't be protected", err)
		}
		known = append(known, scrub.Secret{Name: w.Name, Value: value})
	}
	return w.checkLeak(known)
}

// checkTexts bounds what people wrote.
func (w *Write) checkTexts() error {
	if len(w.Description) > maxText || len(w.Owner) > maxText || len(w.Labels) > maxLabels {
		return fault.Newf(fault.Invalid, "a description and an owner have at most %d bytes, and there are at most %d labels", maxText, maxLabels)
	}
	for k, v := range w.Labels {
		if k == "" || len(k) > maxLabel || len(v) > maxLabel {
			return fault.Newf(fault.Invalid, "a label's name and value have at most %d bytes", maxLabel)
		}
	}
	if w.Scope == nil {
		return nil
	}
	scope, err := w.Scope.normal()
	w.Scope = &scope
	return err
}

// methods are what a usage scope can name.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// expiry is a time as a version has it: to the second.
func expiry(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// normal checks a usage scope and gives a copy in its one form, since its hash
// is compared later.
func (s Scope) normal() (Scope, error) {
	if max(len(s.Integrations), len(s.Origins), len(s.Schemes), len(s.Methods), len(s.Missions)) > maxScope {
		return Scope{}, fault.Newf(fault.Invalid, "a list in a usage scope has at most %d entries", maxScope)
	}
	out := Scope{Integrations: slices.Clone(s.Integrations), Schemes: slices.Clone(s.Schemes), Missions: slices.Clone(s.Missions)}
	if !s.NotAfter.IsZero() {
		out.NotAfter = expiry(s.NotAfter)
	}
	for what, names := range map[string][]string{"integration": s.Integrations, "mission": s.Missions} {
		for _, n := range names {
			if err := ident.CheckName(n); err != nil {
				return Scope{}, fault.Wrap(fault.Invalid, "the usage scope's "+what, err)
			}
		}
	}
	for _, m := range s.Methods {
		m = strings.ToUpper(m)
		if !slices.Contains(methods, m) {
			return Scope{}, fault.Newf(fault.Invalid, "the method %q of the usage scope is not known", fault.Quote(m)).
				WithHint("the methods are %s", strings.Join(methods, ", "))
		}
		out.Methods = append(out.Methods, m)
	}
	for _, text := range s.Origins {
		u, err := url.Parse(text)
		if err != nil || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" {
			return Scope{}, fault.New(fault.Invalid, "the usage scope's origin is not scheme://host:port").
				WithHint("write it like https://crm.example.com or https://crm.example.com:8443, without a path")
		}
		parse := resource.ParseOrigin
		if u.Scheme == resource.MailScheme && u.User == nil {
			parse = func(u *url.URL) (resource.Origin, error) { return resource.MailOrigin(u.Host) }
		}
		switch {
		case resource.IsSQL(u.Scheme):
			parse = resource.SQLOrigin
		case u.Scheme == string(resource.RotatorExec):
			parse = resource.ProgramOrigin
		}
		o, err := parse(u)
		if err != nil {
			return Scope{}, &fault.Error{Kind: fault.Invalid, Msg: "the usage scope's origin", Err: err, Hint: "write it like https://crm.example.com"}
		}
		if o.Scheme == "http" && !o.Loopback() && !o.Stdio() { // a child is not reached over a network
			return Scope{}, fault.New(fault.Invalid, "the usage scope's origin is plain http, which would send the credential in the clear").
				WithHint("use https; plain http goes to this machine alone, like http://127.0.0.1:8080")
		}
		out.Origins = append(out.Origins, o.String())
	}
	for _, sch := range s.Schemes {
		switch sch {
		case resource.SchemeBearer, resource.SchemeBasic, resource.SchemeHeader, resource.SchemeQuery,
			resource.SchemeEnv, resource.SchemeFile, resource.SchemeOAuthClient, resource.SchemeOAuthUser,
			resource.SchemeSignature, resource.SchemeAddress, resource.SchemeLogin:
		default:
			return Scope{}, fault.Newf(fault.Invalid, "the scheme %q of the usage scope is not known", fault.Quote(string(sch)))
		}
	}
	return out, nil
}

// checkLeak refuses a value that also stands in what everybody may read.
func (w *Write) checkLeak(known []scrub.Secret) error {
	set, err := scrub.Build(known)
	if err != nil {
		return err
	}
	if len(set.Contains(w.shown())) > 0 {
		return fault.New(fault.Invalid, "the secret's value is also in its name, description, owner or labels, which people can read")
	}
	return nil
}

// checkShown refuses a text that holds another Secret of the tenant.
func (w *Write) checkShown(known *scrub.Set) error {
	if len(known.Contains(w.shown())) > 0 {
		return fault.New(fault.Invalid, "the name, description, owner or labels hold a known secret, and people can read them")
	}
	return nil
}

// shown is all of it that people can read.
func (w *Write) shown() []byte {
	texts := []string{w.Name, w.Description, w.Owner}
	for k, v := range w.Labels {
		texts = append(texts, k, v)
	}
	if p := w.Pointer; p != nil {
		texts = append(texts, p.Path, p.Version)
		for _, theirs := range p.Fields {
			texts = append(texts, theirs)
		}
	}
	return []byte(strings.Join(texts, "\n"))
}

// checkCaller refuses a change that can't be attributed, and one that would
// cross from one tenant to another.
func checkCaller(t ident.Tenant, p ident.Principal) error {
	if err := ident.CheckName(string(t)); err != nil {
		return err
	}
	if !p.Valid() || p.Tenant != t {
		return fault.New(fault.Denied, "a change of a secret needs a caller of the same tenant")
	}
	return nil
}

func notFieldName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
}
