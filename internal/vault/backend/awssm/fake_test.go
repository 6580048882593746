package awssm_test

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/vault/backend/backendtest"
)

// fakeAWS answers as the API reference of Secrets Manager says, and checks
// signatures: names and ARNs, versions with their stages, errors by their names. It is
// STS too.
type fakeAWS struct {
	mu       sync.Mutex
	fault    backendtest.Fault
	secrets  map[string]*held
	keys     map[string]string // secret key by key id
	session  map[string]string // session token by key id; a key without one lasts
	jwt      string            // that STS takes
	outside  string            // external id that the second role wants
	stsSays  string            // an error of STS's, with its status before it
	stsTwice bool              // STS answers with two keys
	now      func() time.Time
	life     time.Duration // of what STS gives
	assumed  []string      // actions of STS
	asked    int
	allow    []policy // empty: everything
	trust    policy   // of the second role; empty: whoever has the external id
}

type held struct {
	arn      string
	versions []*version
	deleted  bool
}

type version struct {
	id     string
	stages []string
	text   string
}

func newFake() *fakeAWS {
	return &fakeAWS{secrets: map[string]*held{}, keys: map[string]string{"AKIATEST": "secret-key-of-the-fake"}, session: map[string]string{}, now: time.Now, life: time.Hour, jwt: "eyJ.a.b"}
}

func arnOf(name string) string {
	return "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + name + "-AbCdEf"
}

// put makes a version current, and the one before previous.
func (f *fakeAWS) put(name, text string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.secrets[name]
	if h == nil {
		h = &held{arn: arnOf(name)}
		f.secrets[name] = h
	}
	for _, v := range h.versions {
		if slices.Contains(v.stages, "AWSCURRENT") {
			v.stages = []string{"AWSPREVIOUS"}
		} else {
			v.stages = nil
		}
	}
	h.deleted = false
	h.versions = append(h.versions, &version{id: strings.ToLower(rand.Text()) + "-0000-0000", stages: []string{"AWSCURRENT"}, text: text})
	return h.versions[len(h.versions)-1].id
}

func no(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "cnry-of-the-contract-81kq is not authorized", "Message": "cnry-of-the-contract-81kq"})
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		f.sts(w, r, body)
		return
	}
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if misbehaves(w, r, fault) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind := f.signed(r, body, "secretsmanager"); kind != "" {
		no(w, 400, kind)
		return
	}
	var in struct {
		SecretId, VersionId, VersionStage, Name, SecretString, ClientRequestToken string
		ForceDeleteWithoutRecovery                                                bool
	}
	if json.Unmarshal(body, &in) != nil {
		no(w, 400, "SerializationException")
		return
	}
	name := in.SecretId + in.Name
	if !strings.HasPrefix(name, "arn:") {
		name = arnOf(name)
	}
	if !f.may(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager."), name) {
		no(w, 400, "AccessDeniedException")
		return
	}
	switch r.Header.Get("X-Amz-Target") {
	case "secretsmanager.GetSecretValue":
		f.get(w, in.SecretId, in.VersionId, in.VersionStage, fault)
	case "secretsmanager.PutSecretValue":
		if h := f.secrets[in.SecretId]; h == nil || h.deleted {
			no(w, 400, "ResourceNotFoundException")
			return
		}
		f.mu.Unlock()
		id := f.put(in.SecretId, in.SecretString)
		f.mu.Lock()
		_ = json.NewEncoder(w).Encode(map[string]any{"ARN": arnOf(in.SecretId), "Name": in.SecretId, "VersionId": id, "VersionStages": []string{"AWSCURRENT"}})
	case "secretsmanager.DeleteSecret":
		if in.ForceDeleteWithoutRecovery {
			delete(f.secrets, in.SecretId)
		} else {
			f.secrets[in.SecretId].deleted = true
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ARN": arnOf(in.SecretId), "Name": in.SecretId, "DeletionDate": 1.5e9})
	case "secretsmanager.CreateSecret":
		if f.secrets[in.Name] != nil || len(in.ClientRequestToken) < 32 {
			no(w, 400, "ResourceExistsException")
			return
		}
		f.mu.Unlock()
		id := f.put(in.Name, in.SecretString)
		f.mu.Lock()
		_ = json.NewEncoder(w).Encode(map[string]string{"ARN": f.secrets[in.Name].arn, "Name": in.Name, "VersionId": id})
	default:
		no(w, 400, "UnknownOperationException")
	}
}

// may reports whether the policies allow it; to read, to decrypt as well: every secret
// here has a key of the account's own.
func (f *fakeAWS) may(action, arn string) bool {
	allowed := func(action, on string) bool {
		return len(f.allow) == 0 || slices.ContainsFunc(f.allow, func(p policy) bool { return p.allows(action, on, nil) })
	}
	return allowed("secretsmanager:"+action, arn) && (action != "GetSecretValue" || allowed("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/KEY-ID"))
}

func misbehaves(w http.ResponseWriter, r *http.Request, fault backendtest.Fault) bool {
	switch fault {
	case backendtest.Refusing:
		no(w, 400, "AccessDeniedException")
	case backendtest.Busy:
		w.Header().Set("Retry-After", "7")
		no(w, 400, "ThrottlingException")
	case backendtest.Broken:
		no(w, 500, "InternalServiceError")
	case backendtest.Garbage:
		_, _ = w.Write([]byte("<html>"))
	case backendtest.Twice:
		_, _ = w.Write([]byte(`{"Name":"a","Name":"b","SecretString":"x"}`))
	case backendtest.Elsewhere:
		w.Header().Set("Location", "https://"+r.Host+"/elsewhere")
		w.WriteHeader(307)
	default:
		return backendtest.Misanswer(w, r, fault, nil, `{"Name":`)
	}
	return true
}

// signed checks the signature by making it again, and whose it is.
func (f *fakeAWS) signed(r *http.Request, body []byte, service string) string {
	s, ok := parseSignature(r.Header)
	switch {
	case !ok:
		return "MissingAuthenticationTokenException"
	case f.keys[s.key] == "":
		return "UnrecognizedClientException"
	case r.Header.Get("X-Amz-Security-Token") != f.session[s.key]:
		return "ExpiredTokenException"
	case s.region != "eu-central-1" || s.service != service || age(r, f.now()) > 15*time.Minute || !s.right(f.keys[s.key], r, body):
		return "InvalidSignatureException"
	}
	return ""
}

func (f *fakeAWS) get(w http.ResponseWriter, name, id, stage string, fault backendtest.Fault) {
	h := f.secrets[name]
	for n, other := range f.secrets {
		if other.arn == name {
			h, name = other, n
		}
	}
	if h == nil {
		no(w, 400, "ResourceNotFoundException")
		return
	}
	if h.deleted {
		no(w, 400, "InvalidRequestException")
		return
	}
	for i, v := range h.versions {
		if v.id != id && (id != "" || !slices.Contains(v.stages, stage)) {
			continue
		}
		if fault == backendtest.Older {
			v = h.versions[(i+1)%len(h.versions)]
		}
		if fault == backendtest.Stranger {
			name, h = "another", &held{arn: "arn:x"}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]any{"ARN": h.arn, "Name": name, "VersionId": v.id, "VersionStages": v.stages, "SecretString": v.text, "CreatedDate": 1.5e9})
		return
	}
	no(w, 400, "ResourceNotFoundException")
}
