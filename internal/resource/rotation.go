package resource

import (
	"bytes"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Rotation is how a Secret gets its new versions, as an admin has set it. It has
// no value of a Secret: what takes orders is named.
type Rotation struct {
	// Every is how long a version is active before the next one is made; zero: only
	// by hand or by an event.
	Every Duration `json:"every,omitzero" yaml:"every,omitempty"`
	// Grace is how long the version before goes on after a switch.
	Grace Duration `json:"grace,omitzero" yaml:"grace,omitempty"`
	// Hook is the Secret with the signing key (Standard Webhooks) of who may say that
	// it is time; empty: nobody.
	Hook string `json:"hook,omitempty" yaml:"hook,omitempty"`
	// On is what begins a rotation when it changes at a backend that tells of it; nil:
	// nothing does.
	On      *RotationOn `json:"on,omitempty" yaml:"on,omitempty"`
	Rotator Rotator     `json:"rotator" yaml:"rotator"`
}

// RotationOn names what is watched, as a pointer does.
type RotationOn struct {
	Backend string `json:"backend" yaml:"backend"` // its name in the server's file
	Path    string `json:"path" yaml:"path"`
}

// RotatorKind says what changes the credential at its system.
type RotatorKind string

// The kinds.
const (
	RotatorHTTP     RotatorKind = "http"     // requests that the policy declares
	RotatorRefresh  RotatorKind = "refresh"  // an OAuth 2.0 refresh token, at the token endpoint
	RotatorPostgres RotatorKind = "postgres" // a role's password
	RotatorMySQL    RotatorKind = "mysql"    // a user's password, of MySQL and MariaDB
	RotatorExec     RotatorKind = "exec"     // a program of the operator's
)

// Rotator is what changes the credential, and with which order.
type Rotator struct {
	Kind RotatorKind `json:"kind" yaml:"kind"`
	// Admin is the Secret by which the system takes the order; empty: the version
	// that is replaced gives it.
	Admin   string          `json:"admin,omitempty" yaml:"admin,omitempty"`
	HTTP    *HTTPRotator    `json:"http,omitempty" yaml:"http,omitempty"`
	Refresh *RefreshRotator `json:"refresh,omitempty" yaml:"refresh,omitempty"`
	SQL     *SQLRotator     `json:"sql,omitempty" yaml:"sql,omitempty"` // of postgres and mysql
	Exec    *ExecRotator    `json:"exec,omitempty" yaml:"exec,omitempty"`
}

// HTTPRotator declares the requests. In Path and in the texts of Body, {rotation}
// is the rotation's id and {id} the system's id of the credential that the step is
// about; no value of a Secret is put into either.
type HTTPRotator struct {
	BaseURL string  `json:"baseURL" yaml:"baseURL"`
	Network Network `json:"network,omitzero" yaml:"network,omitempty"`
	Auth    Auth    `json:"auth" yaml:"auth"`       // the place of the order's credential; its Secret is Admin
	TryAuth Auth    `json:"tryAuth" yaml:"tryAuth"` // the place of the new one, when it is tried

	Create  HTTPStep  `json:"create" yaml:"create"`
	Try     HTTPStep  `json:"try" yaml:"try"`
	Disable *HTTPStep `json:"disable,omitempty" yaml:"disable,omitempty"`
	Delete  *HTTPStep `json:"delete,omitempty" yaml:"delete,omitempty"`
	// Find lists the credentials that one rotation has made: after a crash nobody
	// else knows of them.
	Find *HTTPFind `json:"find,omitempty" yaml:"find,omitempty"`

	// Fields says where in the answer to Create each field stands: a JSON pointer.
	// A field that the answer has not is taken over from the version before.
	Fields map[string]string `json:"fields" yaml:"fields"`
	// ID is where the system's id of the new credential stands; empty: it has none.
	ID string `json:"id,omitempty" yaml:"id,omitempty"`
	// CurrentID is the system's id of the version that was stored by hand.
	CurrentID string `json:"currentID,omitempty" yaml:"currentID,omitempty"`
	// Once is the header by which the system knows a Create that is sent again, and
	// gives the same answer; empty: it doesn't.
	Once string `json:"once,omitempty" yaml:"once,omitempty"`
	// Ends says that Create ends the credential before: there is no grace, and no
	// way back.
	Ends bool `json:"ends,omitempty" yaml:"ends,omitempty"`
}

// HTTPStep is one request.
type HTTPStep struct {
	Method string          `json:"method" yaml:"method"`
	Path   string          `json:"path" yaml:"path"`
	Body   json.RawMessage `json:"body,omitempty" yaml:"body,omitempty"`
	// Status are the good answers; empty: every 2xx.
	Status []int `json:"status,omitempty" yaml:"status,omitempty"`
}

// HTTPFind is the request that lists, and how the answer is read.
type HTTPFind struct {
	HTTPStep `yaml:",inline"`
	List     string `json:"list,omitempty" yaml:"list,omitempty"` // JSON pointer to the list; empty: the answer
	ID       string `json:"id" yaml:"id"`                         // in each element
	Label    string `json:"label" yaml:"label"`                   // in each element: what has the rotation's id
}

// RefreshRotator exchanges the field refresh_token at a token endpoint.
type RefreshRotator struct {
	TokenURL string  `json:"tokenURL" yaml:"tokenURL"`
	Network  Network `json:"network,omitzero" yaml:"network,omitempty"`
	Scope    string  `json:"scope,omitempty" yaml:"scope,omitempty"`
}

// SQLRotator is a database with passwords.
type SQLRotator struct {
	Host     string  `json:"host" yaml:"host"`
	Port     int     `json:"port" yaml:"port"`
	Database string  `json:"database,omitempty" yaml:"database,omitempty"`
	Network  Network `json:"network,omitzero" yaml:"network,omitempty"` // allowLoopbackHTTP: without TLS, to loopback alone
	CA       string  `json:"ca,omitempty" yaml:"ca,omitempty"`          // PEM of who vouches for the server; empty: the machine's
	// Users are two that take turns, since the system knows one password of each;
	// empty: the one user's password is replaced, and the old one ends at once.
	Users []string `json:"users,omitempty" yaml:"users,omitempty"`
	// UserHost is the host part of a MySQL account; default %.
	UserHost string `json:"userHost,omitempty" yaml:"userHost,omitempty"`
}

// ExecRotator is a program, by the name that the server's operator gave it: no
// path comes from here.
type ExecRotator struct {
	Program string `json:"program" yaml:"program"`
	// Generate are the fields that are made here, with their lengths in characters.
	Generate map[string]int `json:"generate" yaml:"generate"`
	Ends     bool           `json:"ends,omitempty" yaml:"ends,omitempty"`
	Deletes  bool           `json:"deletes,omitempty" yaml:"deletes,omitempty"`
}

// Chooses says that the system makes up the value: to ask it twice makes two.
func (r *Rotator) Chooses() bool { return r.Kind == RotatorHTTP || r.Kind == RotatorRefresh }

// Ends says that the version before is refused from the moment that the new one is
// accepted.
func (r *Rotator) Ends() bool {
	switch r.Kind {
	case RotatorHTTP:
		return r.HTTP.Ends
	case RotatorPostgres, RotatorMySQL:
		return len(r.SQL.Users) == 0
	case RotatorExec:
		return r.Exec.Ends
	case RotatorRefresh:
	}
	return true
}

// Finds says that the system can be asked what a rotation has made.
func (r *Rotator) Finds() bool { return r.Kind == RotatorHTTP && r.HTTP.Find != nil }

// Once says that a creation that is asked for again makes no second credential.
func (r *Rotator) Once() bool { return r.Kind == RotatorHTTP && r.HTTP.Once != "" }

// Deletes says that the credential before is deleted at the system.
func (r *Rotator) Deletes() bool {
	switch r.Kind {
	case RotatorHTTP:
		return r.HTTP.Delete != nil && !r.HTTP.Ends
	case RotatorPostgres, RotatorMySQL:
		return len(r.SQL.Users) == 2
	case RotatorExec:
		return r.Exec.Deletes
	case RotatorRefresh:
	}
	return false
}

// bounds of a policy.
const (
	minEvery    = time.Hour
	maxGrace    = 30 * 24 * time.Hour
	maxStepBody = 16 << 10
	maxStepPath = 1000
	maxWord     = 128 // bytes of a user, a database, an id
	minMade     = 24  // characters of a value that is made
	maxMade     = 256
)

// Check says what is wrong with a policy; kind Invalid.
func (r *Rotation) Check() error {
	if r.Every != 0 && r.Every.D(0) < minEvery {
		return fault.Newf(fault.Invalid, "every is less than %s", minEvery)
	}
	if r.Grace < 0 || r.Grace.D(0) > maxGrace {
		return fault.Newf(fault.Invalid, "grace is from nothing to %s", maxGrace)
	}
	for _, name := range []string{r.Hook, r.Rotator.Admin} {
		if name != "" && ident.CheckName(name) != nil {
			return fault.New(fault.Invalid, "hook and admin are names of Secrets, without a version")
		}
	}
	if r.On != nil && (ident.CheckName(r.On.Backend) != nil || r.On.Path == "") {
		return fault.New(fault.Invalid, "on has the name of a backend and a path there")
	}
	return r.Rotator.check()
}

func (r *Rotator) check() error {
	given := 0
	for _, there := range []bool{r.HTTP != nil, r.Refresh != nil, r.SQL != nil, r.Exec != nil} {
		if there {
			given++
		}
	}
	bad := fault.Newf(fault.Invalid, "the rotator %q needs its own part, and no other", fault.Quote(string(r.Kind))).
		WithHint("the kinds are http, refresh, postgres, mysql and exec; postgres and mysql have the part sql")
	if given != 1 {
		return bad
	}
	switch {
	case r.Kind == RotatorHTTP && r.HTTP != nil:
		return r.HTTP.check()
	case r.Kind == RotatorRefresh && r.Refresh != nil:
		_, err := baseOrigin(r.Refresh.TokenURL, r.Refresh.Network)
		return err
	case (r.Kind == RotatorPostgres || r.Kind == RotatorMySQL) && r.SQL != nil:
		return r.SQL.check(r)
	case r.Kind == RotatorExec && r.Exec != nil:
		return r.Exec.check()
	}
	return bad
}

func (h *HTTPRotator) check() error {
	if _, err := baseOrigin(h.BaseURL, h.Network); err != nil {
		return err
	}
	for what, a := range map[string]Auth{"auth": h.Auth, "tryAuth": h.TryAuth} {
		switch a.Scheme {
		case SchemeBearer, SchemeBasic, SchemeHeader, SchemeQuery:
		default:
			return fault.Newf(fault.Invalid, "%s needs the scheme bearer, basic, header or query", what)
		}
		if a.Secret != "" {
			return fault.Newf(fault.Invalid, "%s names a Secret; the rotator's admin is the one", what)
		}
		var c checker
		a.Secret = "of-the-policy"
		if c.auth(a); c.err() != nil {
			return fault.Wrap(fault.Invalid, what, c.err())
		}
	}
	if h.Once != "" {
		if err := checkHeader(h.Once, true); err != nil || sameHeader(h.Once, h.Auth) {
			return fault.New(fault.Invalid, "once is no name of a header that a reference can go in")
		}
	}
	steps := map[string]*HTTPStep{"create": &h.Create, "try": &h.Try, "disable": h.Disable, "delete": h.Delete}
	if h.Find != nil {
		steps["find"] = &h.Find.HTTPStep
		if h.Find.ID == "" || h.Find.Label == "" || h.Delete == nil {
			return fault.New(fault.Invalid, "find needs id and label, and a step delete for what it finds")
		}
	}
	for name, s := range steps {
		if err := s.check(name); err != nil {
			return err
		}
	}
	if len(h.Fields) == 0 {
		return fault.New(fault.Invalid, "fields says where in the answer of create the new value stands: none is given")
	}
	for _, p := range append(values(h.Fields), h.ID) {
		if p != "" && !strings.HasPrefix(p, "/") {
			return fault.New(fault.Invalid, "fields and id are JSON pointers, like /token")
		}
	}
	// The same step takes the old credential away, or a new one that was refused: one
	// that says nothing of which would end the one in use.
	for name, s := range map[string]*HTTPStep{"disable": h.Disable, "delete": h.Delete} {
		if s != nil && (!s.NeedsID() || h.ID == "") {
			return fault.Newf(fault.Invalid, "%s needs {id} in its path or body, and id has to say where the answer of create has it", name)
		}
	}
	return checkID(h.CurrentID)
}

// checkID bounds what a system calls a credential: it is put into a path.
func checkID(id string) error {
	if len(id) > maxWord || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fault.Newf(fault.Invalid, "the system's id of a credential has at most %d plain characters", maxWord)
	}
	return nil
}

func values(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func (s *HTTPStep) check(name string) error {
	switch {
	case s == nil:
		return nil
	case s.Method != "GET" && s.Method != "POST" && s.Method != "PUT" && s.Method != "PATCH" && s.Method != "DELETE":
		return fault.Newf(fault.Invalid, "the step %s needs a method: GET, POST, PUT, PATCH or DELETE", name)
	case !strings.HasPrefix(s.Path, "/") || len(s.Path) > maxStepPath || strings.Contains(s.Path, "..") || strings.Contains(s.Path, "//") || strings.ContainsAny(s.Path, "#\\ \r\n\t"):
		return fault.Newf(fault.Invalid, "the step %s needs a path that begins with one slash and has no dots, spaces or fragment", name)
	case len(s.Body) > maxStepBody || len(s.Body) > 0 && !json.Valid(s.Body):
		return fault.Newf(fault.Invalid, "the body of the step %s is no JSON of at most %d bytes", name, maxStepBody)
	}
	return nil
}

// NeedsID says that the step is about one credential.
func (s *HTTPStep) NeedsID() bool {
	return strings.Contains(s.Path, "{id}") || bytes.Contains(s.Body, []byte("{id}"))
}

// sameHeader says that a credential is put where the header is.
func sameHeader(name string, a Auth) bool {
	return a.Scheme == SchemeHeader && strings.EqualFold(a.Name, name)
}

// MaxRole is the longest name of a user of PostgreSQL, in bytes. A longer one is cut
// by the server, and then it is another user's.
const MaxRole = 63

func (s *SQLRotator) check(r *Rotator) error {
	if s.Host == "" || len(s.Host) > 253 || strings.ContainsAny(s.Host, "/\\@:? ") && net.ParseIP(s.Host) == nil || s.Port < 1 || s.Port > 65535 {
		return fault.New(fault.Invalid, "a database needs its host, a name or an address, and its port")
	}
	if len(s.Users) != 0 && (len(s.Users) != 2 || s.Users[0] == s.Users[1] || r.Admin == "") {
		return fault.New(fault.Invalid, "users are two that differ, who take turns; and an admin Secret, since neither changes the other").
			WithHint("leave users away where one user's password is replaced")
	}
	if s.CA != "" && s.Network.AllowLoopbackHTTP {
		return fault.New(fault.Invalid, "ca is for TLS, and network.allowLoopbackHTTP is without it").
			WithHint("with TLS to this machine: network: {allowPrivate: [127.0.0.0/8]}")
	}
	for _, u := range s.Users {
		if r.Kind == RotatorPostgres && len(u) > MaxRole {
			return fault.Newf(fault.Invalid, "a user's name has at most %d bytes", MaxRole)
		}
	}
	for _, word := range append([]string{s.Database, s.UserHost}, s.Users...) {
		if len(word) > maxWord || strings.ContainsAny(word, "\x00\r\n") {
			return fault.Newf(fault.Invalid, "names of databases, users and hosts have at most %d bytes, on one line", maxWord)
		}
	}
	return nil
}

func (e *ExecRotator) check() error {
	if ident.CheckName(e.Program) != nil || len(e.Generate) == 0 || len(e.Generate) > 8 {
		return fault.New(fault.Invalid, "exec needs the name of a program, and the fields to generate").
			WithHint("the server's operator gives programs their names: serve --rotator NAME=FILE")
	}
	for _, n := range e.Generate {
		if n < minMade || n > maxMade {
			return fault.Newf(fault.Invalid, "a generated value has from %d to %d characters", minMade, maxMade)
		}
	}
	return nil
}

// Origin is where the rotator's system is; of a program it is exec://NAME.
func (r *Rotator) Origin() (Origin, error) {
	switch r.Kind {
	case RotatorHTTP:
		return baseOrigin(r.HTTP.BaseURL, r.HTTP.Network)
	case RotatorRefresh:
		return baseOrigin(r.Refresh.TokenURL, r.Refresh.Network)
	case RotatorPostgres, RotatorMySQL:
		return Origin{Scheme: string(r.Kind), Host: net.JoinHostPort(strings.ToLower(r.SQL.Host), itoa(r.SQL.Port))}, nil
	case RotatorExec:
		return Origin{Scheme: string(RotatorExec), Host: r.Exec.Program}, nil
	}
	return Origin{}, nil
}

// Sends are the place and the methods of the requests that a credential is sent
// with: the one that gives orders, or one that is tried.
func (h *HTTPRotator) Sends(orders bool) (place Scheme, methods []string) {
	if !orders {
		return h.TryAuth.Scheme, []string{h.Try.Method}
	}
	steps := []*HTTPStep{&h.Create, h.Disable, h.Delete}
	if h.Find != nil {
		steps = append(steps, &h.Find.HTTPStep)
	}
	for _, s := range steps {
		if s != nil {
			methods = append(methods, s.Method)
		}
	}
	return h.Auth.Scheme, methods
}

// Rules are what the rotator's system permits of the network.
func (r *Rotator) Rules() Network {
	switch r.Kind {
	case RotatorHTTP:
		return r.HTTP.Network
	case RotatorRefresh:
		return r.Refresh.Network
	case RotatorPostgres, RotatorMySQL:
		return r.SQL.Network
	case RotatorExec:
	}
	return Network{}
}

// SQLOrigin is a database as a usage scope names it: postgres://host:port or
// mysql://host:port. Kind Invalid.
func SQLOrigin(u *url.URL) (Origin, error) {
	if u.User != nil || u.Hostname() == "" || u.Port() == "" {
		return Origin{}, fault.New(fault.Invalid, "a database is written scheme://host:port, without a user")
	}
	return Origin{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// ProgramOrigin is a program that rotates as a usage scope names it: exec://NAME.
// Kind Invalid.
func ProgramOrigin(u *url.URL) (Origin, error) {
	if u.User != nil || ident.CheckName(u.Host) != nil {
		return Origin{}, fault.New(fault.Invalid, "a program is written exec://NAME, with the name that the server's operator gave it")
	}
	return Origin{Scheme: string(RotatorExec), Host: u.Host}, nil
}

// IsSQL says whether a scheme is a database's.
func IsSQL(scheme string) bool {
	return scheme == string(RotatorPostgres) || scheme == string(RotatorMySQL)
}

func itoa(n int) string {
	b, _ := json.Marshal(n) // an integer always can be
	return string(b)
}

// baseOrigin reads the origin of a URL of a policy.
func baseOrigin(raw string, n Network) (Origin, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Origin{}, fault.New(fault.Invalid, "the rotator's URL can't be read")
	}
	o, err := ParseOrigin(u)
	switch {
	case err != nil:
		return Origin{}, fault.Wrap(fault.Invalid, "the rotator's URL", err)
	case u.RawQuery != "" || u.Fragment != "":
		return Origin{}, fault.New(fault.Invalid, "the rotator's URL has a query or a fragment")
	case o.Scheme == "http" && !(n.AllowLoopbackHTTP && o.Loopback()):
		return Origin{}, fault.New(fault.Invalid, "the rotator's URL is plain HTTP").
			WithHint("use https; plain HTTP is for this machine, with network.allowLoopbackHTTP")
	}
	return o, nil
}
