package vaultkv_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
)

// denied is what a policy says that does not let a token.
const denied = "1 error occurred:\n\t* permission denied\n\n"

// engine is a key-value engine's answer.
func (f *fakeVault) engine(w http.ResponseWriter, r *http.Request, t *fakeToken, ns, path string, fault backendtest.Fault) {
	mount, rest, _ := strings.Cut(path, "/")
	one, isOne := f.first[ns+"/"+mount]
	two, isTwo := f.second[ns+"/"+mount]
	name, data := strings.CutPrefix(rest, "data/")
	writing := r.Method == http.MethodPost
	taken := writing && isTwo && len(two[name]) > 0 // then it is an update, which a writer may not
	switch {
	case t.can == "" || f.denied[path] || t.can != "root" && (taken || !isOne && !isTwo || t.home != ns):
		refuse(w, 403, denied)
	case isOne:
		if there, ok := one[rest]; ok {
			body := f.whole("kv", there, nil)
			body["lease_duration"] = 2764800
			say(w, 200, body)
			return
		}
		refuse(w, 404)
	case !isTwo:
		refuse(w, 404, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	case !data:
		say(w, 404, f.whole("", nil, nil, "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the "+
			f.words("Vault CLI, use 'vault", "OpenBao CLI, use 'bao")+" kv get' for this operation."))
	case writing:
		f.write(w, r, two, name)
	default:
		f.read(w, two[name], r.URL.Query().Get("version"), fault)
	}
}

// mount says what is mounted, to who has something below it.
func (f *fakeVault) mount(w http.ResponseWriter, at string, t *fakeToken) {
	version := map[bool]string{true: "1", false: "2"}[f.first[at] != nil]
	if t.can == "" || f.first[at] == nil && f.second[at] == nil {
		refuse(w, 403, "preflight capability check returned 403, please ensure client's policies grant access to path")
		return
	}
	say(w, 200, f.whole("system", map[string]any{"type": "kv", "options": map[string]any{"version": version}}, nil))
}

// metadata is what the engine says of a version.
func (k *kept) metadata(n int) map[string]any {
	out := map[string]any{"created_time": k.made.UTC().Format(time.RFC3339Nano), "custom_metadata": nil, "deletion_time": "", "destroyed": k.destroyed, "version": n}
	if !k.deleted.IsZero() {
		out["deletion_time"] = k.deleted.UTC().Format(time.RFC3339Nano)
	}
	return out
}

// read answers with one of the versions, the newest where none is asked for.
func (f *fakeVault) read(w http.ResponseWriter, list []*kept, version string, fault backendtest.Fault) {
	n := len(list)
	if version != "" {
		n, _ = strconv.Atoi(version)
	}
	if fault == backendtest.Older && n < len(list) {
		n++
	}
	if n < 1 || n > len(list) {
		refuse(w, 404)
		return
	}
	v := list[n-1]
	if v.destroyed || !v.deleted.IsZero() && !v.deleted.After(f.now()) {
		say(w, 404, f.whole("", map[string]any{"data": nil, "metadata": v.metadata(n)}, nil))
		return
	}
	say(w, 200, f.whole("kv", map[string]any{"data": v.data, "metadata": v.metadata(n)}, nil))
}

func (f *fakeVault) write(w http.ResponseWriter, r *http.Request, m map[string][]*kept, name string) {
	var in struct {
		Options struct {
			CAS *int `json:"cas"`
		} `json:"options"`
		Data map[string]string `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, 400, "error parsing JSON")
		return
	}
	if in.Options.CAS != nil && *in.Options.CAS != len(m[name]) {
		refuse(w, 400, "check-and-set parameter did not match the current version")
		return
	}
	m[name] = append(m[name], &kept{data: in.Data, made: f.now()})
	say(w, 200, f.whole("kv", m[name][len(m[name])-1].metadata(len(m[name])), nil))
}
