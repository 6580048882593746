package awssm_test

import (
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/awssm"
	"sallyport.dev/internal/vault/backend/backendtest"
	"sallyport.dev/internal/vault/internal/plain"
)

// policy is as much of an IAM policy as ours need: what allows what on which.
type policy struct {
	Statement []struct {
		Effect           string
		Action, Resource words
		Condition        map[string]map[string]string
	}
}

// words is a text or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

// allows reports whether a statement does, with the conditions that it has.
func (p policy) allows(action, resource string, has map[string]string) bool {
	for _, s := range p.Statement {
		fits := s.Effect == "Allow" && slices.Contains(s.Action, action) && (len(s.Resource) == 0 || slices.ContainsFunc(s.Resource, func(r string) bool {
			// A star matches slashes, too.
			ok, err := path.Match(strings.ReplaceAll(r, "/", "|"), strings.ReplaceAll(resource, "/", "|"))
			return ok && err == nil
		}))
		for _, c := range s.Condition {
			for name, want := range c {
				fits = fits && has[name] == want
			}
		}
		if fits {
			return true
		}
	}
	return false
}

var jsonFence = regexp.MustCompile("(?s)```json\n(.*?)```")

// documented are the policies of docs/bring-your-own-vault.md, in their order: to read,
// to write, to be assumed by the workload, to be assumed from another account.
func documented(t *testing.T) []policy {
	t.Helper()
	doc, err := os.ReadFile("../../../../docs/bring-your-own-vault.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## AWS Secrets Manager")
	section, _, _ = strings.Cut(section, "\n## ")
	var out []policy
	for _, m := range jsonFence.FindAllStringSubmatch(section, -1) {
		var p policy
		if err := json.Unmarshal([]byte(m[1]), &p); err != nil {
			t.Fatalf("%v in %s", err, m[1])
		}
		out = append(out, p)
	}
	if len(out) != 4 {
		t.Fatalf("there are %d policies", len(out))
	}
	return out
}

func TestThePoliciesOfTheDocumentAreEnoughAndNotWider(t *testing.T) {
	p := documented(t)
	f := newFake()
	f.allow = p[:1]
	f.put("sallyport/crm", "cnry-one-of-the-fake")
	f.put("other/crm", "cnry-two-of-the-fake")
	c := web(t, f)
	c.Write = true
	b := open(t, c, time.Now)
	if _, err := ask(t, b, backend.Ask{Path: "sallyport/crm"}); err != nil {
		t.Errorf("to read: %v", err)
	}
	if _, err := ask(t, b, backend.Ask{Path: "other/crm"}); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("to read what the policy doesn't name: %v", err)
	}
	value := func() map[string]plain.Value {
		return map[string]plain.Value{backend.Whole: plain.New([]byte("cnry-made-by-us"))}
	}
	if err := b.(backend.Writer).Create(t.Context(), "sallyport/new", value()); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("to write with the policy to read: %v", err)
	}
	f.allow = p[:2]
	if err := b.(backend.Writer).Create(t.Context(), "sallyport/new", value()); err != nil {
		t.Errorf("to write: %v", err)
	}
	if err := b.(backend.Writer).Create(t.Context(), "other/new", value()); backend.ReasonOf(err) != backend.Refused {
		t.Errorf("to write elsewhere: %v", err)
	}
	if !p[2].allows("sts:AssumeRoleWithWebIdentity", "", map[string]string{
		"oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub": "system:serviceaccount:sallyport:sallyport", "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:aud": "sts.amazonaws.com"}) ||
		p[2].allows("sts:AssumeRoleWithWebIdentity", "", map[string]string{"oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:sub": "system:serviceaccount:sallyport:another", "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE:aud": "sts.amazonaws.com"}) {
		t.Error("the trust in the workload is not in that one alone")
	}
	f.trust = p[3]
	f.outside = "what-its-owner-asks-for"
	for id, ok := range map[string]bool{"the-id-that-its-owner-made-up": true, "another": false} {
		c.AssumeRole = &awssm.AssumeRole{RoleARN: secondRole, ExternalID: id}
		if _, err := ask(t, open(t, c, time.Now), backend.Ask{Path: "sallyport/crm"}); (err == nil) != ok {
			t.Errorf("with the external id %s: %v", id, err)
		}
	}
}

// The contract with nothing allowed but what the document says.
func TestTheContractIsKeptWithThePoliciesOfTheDocument(t *testing.T) {
	p := documented(t)
	backendtest.Run(t, func(t *testing.T) backendtest.World {
		f := newFake()
		f.allow = p[:2]
		c := web(t, f)
		c.Write = true
		return backendtest.World{Backend: open(t, c, time.Now), Pins: true, Path: func(word string) string { return "sallyport/" + word },
			Put: func(_ *testing.T, path string, fields map[string]string) string {
				return f.put(path, fields[backend.Whole])
			},
			Remove: func(_ *testing.T, path string) { f.secrets[path].deleted = true },
		}
	})
}
