package vault_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/internal/vault"
)

const part1, part2 = "Zk3vQ9xT7mLc2RwE5bNd", "Y8hJ4pGsF6aKu1VoXiBt"

func TestAPartOfAStructuredValueIsFoundAlone(t *testing.T) {
	account, err := json.Marshal(map[string]any{
		"type": "service_account", "project_id": "acme-production-eu-2024", "private_key": "-----BEGIN PRIVATE KEY-----\n" + part1 + part1 + "\n" + part2 + part2 + "\n-----END PRIVATE KEY-----\n",
		"client_email": "worker@example.iam.gserviceaccount.com", "token_uri": "https://oauth2.example.com/token",
		"nested": []any{map[string]any{"refresh": part2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value, shape  string
		found, public []string
	}{
		"a key": {"-----BEGIN PRIVATE KEY-----\n" + part1 + "\n" + part2 + "\n-----END PRIVATE KEY-----", "a text of several lines",
			[]string{part1, part2}, []string{"-----BEGIN PRIVATE KEY-----"}},
		"a service account": {string(account), "a JSON document", []string{part1 + part1, part2 + part2, part2},
			[]string{"worker@example.iam.gserviceaccount.com", "https://oauth2.example.com/token", "service_account", "acme-production-eu-2024"}},
		"libpq's words": {"host=db.example.com dbname=vendors user=app password=" + part1 + " sslmode=require", "a connection string",
			[]string{part1}, []string{"host=db.example.com"}},
		"MySQL's": {"app:" + part2 + "@tcp(db.example.com:3306)/vendors", "a connection string", []string{part2}, []string{"tcp(db.example.com:3306)"}},
		"a database URL": {"postgres://app:p%40" + part1 + "@db.example.com:5432/vendors", "a connection string",
			[]string{"p@" + part1, "p%40" + part1}, []string{"db.example.com:5432", "postgres://app"}},
		"an ADO string": {"Server=db.example.com;User Id=app;Password='" + part1 + "';Encrypt=true", "a connection string",
			[]string{part1}, []string{"Server=db.example.com", "Encrypt=true"}},
		"a JSON web token": {"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiIsIm5hbWUiOiJXb3JrZXIifQ." + part1 + part2, "a JSON web token",
			[]string{part1 + part2}, []string{"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJzdWIiOiI0MiIsIm5hbWUiOiJXb3JrZXIifQ"}},
		"one word": {part1 + part2, "", []string{part1 + part2}, []string{"db.example.com"}},
		"no JSON":  {"{" + part1, "", []string{"{" + part1}, nil},
	} {
		if got := vault.Shape([]byte(c.value)); got != c.shape {
			t.Errorf("%s is said to be %q", name, got)
		}
		f := start(t)
		f.set(acme, "erp", c.value)
		set := f.Scrub(acme)
		for _, s := range c.found {
			if len(set.Contains([]byte("before "+s+" after"))) == 0 {
				t.Errorf("%s: a part is not found: %s", name, s)
			}
		}
		for _, s := range c.public {
			if len(set.Contains([]byte("before "+s+" after"))) > 0 {
				t.Errorf("%s: what is no secret is hidden: %s", name, s)
			}
		}
	}
}

func FuzzShape(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"` + part1 + `"}]}`, "a://b:c@d", "x=1;Password=" + part1, "eyJ.a.b", "one\ntwo", strings.Repeat("[", 50)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		vault.Shape(b)
	})
}

// A system that repeats its Authorization header in another encoding repeats the
// password in two: what is sent is known as it is sent.
func TestAUserNameAndPasswordAreKnownAsTheyAreSent(t *testing.T) {
	f := start(t)
	w := f.write(acme, "login", part1)
	for _, user := range []string{"a", "ab", "abc", "procurement-worker"} {
		w.Fields = map[string][]byte{"username": []byte(user), "password": []byte(part1)}
		w.Name = "login-" + strconv.Itoa(len(user))
		if _, err := f.Set(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		sent := []byte(base64.StdEncoding.EncodeToString([]byte(user + ":" + part1)))
		back := bytes.Clone(sent)
		slices.Reverse(back)
		for how, text := range map[string]string{"as it is": string(sent), "in hex": hex.EncodeToString(sent), "backwards": string(back),
			"with its scheme, in hex": hex.EncodeToString([]byte("Basic " + string(sent))), "in base32": base32.StdEncoding.EncodeToString(sent)} {
			if len(f.Scrub(acme).Contains([]byte("before "+text+" after"))) == 0 {
				t.Errorf("the header of %s is not found %s", user, how)
			}
		}
	}
}
