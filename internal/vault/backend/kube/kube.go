// Package kube is the Secrets of a Kubernetes namespace, by its API: two requests'
// worth of it, in place of a client of 23 MB.
//
// It refuses an answer that is not the Secret of the name and namespace that was
// asked for, and data that is not base64.
//
// # Security
//
// The service account's token is read for each request, since Kubernetes replaces it.
// The role that it needs is "get" and "watch" on the Secrets by their names, and no
// "list": that one reads all of them. A watch asks for metadata alone, and is bounded
// in its lines, their length and their number: it can't say more than that it is time
// to ask.
package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/object"
	"sallyport.dev/internal/vault/internal/plain"
	"sallyport.dev/internal/vault/internal/rest"
	"sallyport.dev/internal/vault/internal/safe"
)

// Config says which namespace of which cluster.
type Config struct {
	Namespace string `yaml:"namespace"`
	// Address is the API server's; the pod's own cluster when empty.
	Address string `yaml:"address,omitempty"`
	// CAFile and TokenFile are the service account's when empty.
	CAFile    string `yaml:"caFile,omitempty"`
	TokenFile string `yaml:"tokenFile,omitempty"`
}

// account is where Kubernetes puts what a pod needs.
const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// who is how errors name the server.
const who = "the Kubernetes API server"

// kube is one namespace.
type kube struct {
	cfg    Config
	server string
	http   *http.Client
	// between is the pause between two requests of a watch.
	between time.Duration
}

// name is a DNS subdomain, as Kubernetes has it.
var name = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9][a-z0-9-]{0,62}){0,4}$`)

// New checks the configuration. It asks the server nothing.
func New(c Config) (backend.Backend, error) {
	if c.Address == "" {
		c.Address = "https://kubernetes.default.svc"
	}
	if c.CAFile == "" {
		c.CAFile = account + "ca.crt"
	}
	if c.TokenFile == "" {
		c.TokenFile = account + "token"
	}
	if !name.MatchString(c.Namespace) {
		return nil, fault.New(fault.Invalid, "the Kubernetes backend's namespace is not the name of one")
	}
	server, plainHTTP, err := rest.Address("the Kubernetes backend's", c.Address)
	if err != nil {
		return nil, err
	}
	client, err := rest.Client(rest.Options{Whose: "the Kubernetes backend's", CAFile: c.CAFile, Plain: plainHTTP, Keep: true})
	return &kube{c, server, client, between}, err
}

// Ready looks at the token's file.
func (k *kube) Ready() error {
	return backend.Readable("the token for Kubernetes", 64<<10, k.cfg.TokenFile)
}

// Enter asks which groups of the API there are. Whom the server knows is answered, or
// told that the role does not have that; a token that it doesn't know is refused before.
func (k *kube) Enter(ctx context.Context) (string, error) {
	got, err := k.ask(ctx, "/apis")
	if err != nil {
		return "", err
	}
	defer clear(got.Body)
	if got.Status != http.StatusForbidden {
		if err := backend.Judge(who, got, "the token has ended, or is of another cluster"); err != nil {
			return "", err
		}
	}
	return "the token is taken; no Secret was asked for", nil
}

// Named says that a Secret there has named fields.
func (*kube) Named() bool { return true }

// Check takes the name of a Secret.
func (*kube) Check(a backend.Ask) error {
	if !name.MatchString(a.Path) || a.Version != "" {
		return fault.New(fault.Invalid, "a path in Kubernetes is the name of a Secret in the backend's namespace, and has no versions")
	}
	return nil
}

// Fetch reads one Secret.
func (k *kube) Fetch(ctx context.Context, a backend.Ask) (out backend.Answer, err error) {
	got, err := k.ask(ctx, "/api/v1/namespaces/"+k.cfg.Namespace+"/secrets/"+a.Path)
	if err != nil {
		return out, err
	}
	defer clear(got.Body)
	if err := backend.Judge(who, got, `the service account needs "get" on the Secret; docs/bring-your-own-vault.md has the role`); err != nil {
		return out, err
	}
	plain.Do(func() { out, err = read(got.Body, k.cfg.Namespace, a.Path) })
	if err != nil {
		return backend.Answer{}, backend.Fail(backend.Wrong, who+"'s answer is not the Secret that was asked for")
	}
	return out, nil
}

// ask sends a question with the token.
func (k *kube) ask(ctx context.Context, path string) (rest.Answer, error) {
	token, err := safe.Credential(k.cfg.TokenFile)
	defer clear(token)
	if err != nil {
		return rest.Answer{}, backend.FailOf(backend.Refused, "the token for Kubernetes can't be used", err)
	}
	got, err := rest.Do(ctx, k.http, who, rest.Request{Method: http.MethodGet, URL: k.server + path,
		Header: http.Header{"Authorization": {"Bearer " + string(token)}, "Accept": {"application/json"}}})
	if err != nil {
		return got, backend.FailOf(backend.Away, "", err)
	}
	return got, nil
}

var errOther = errors.New("another answer")

// read takes a Secret's data, where it is the Secret that was asked for.
func read(raw []byte, namespace, secret string) (out backend.Answer, err error) {
	m, err := object.Members(raw)
	if err != nil {
		return out, err
	}
	meta, err := object.Members(m["metadata"])
	if err != nil || object.Word(m["kind"]) != "Secret" || object.Word(m["apiVersion"]) != "v1" ||
		object.Word(meta["name"]) != secret || object.Word(meta["namespace"]) != namespace {
		return out, errOther
	}
	out.Version, out.Fields = object.Word(meta["resourceVersion"]), map[string]plain.Value{}
	if len(m["data"]) == 0 {
		return out, nil
	}
	data, err := object.Members(m["data"])
	if err != nil {
		return out, err
	}
	for field, v := range data {
		coded, ok := object.Text(v)
		b := make([]byte, base64.StdEncoding.DecodedLen(len(coded)))
		n, err := base64.StdEncoding.Strict().Decode(b, coded)
		clear(coded)
		if !ok || err != nil {
			clear(b)
			out.Wipe()
			return out, errOther
		}
		out.Fields[field] = plain.New(b[:n])
	}
	return out, nil
}
