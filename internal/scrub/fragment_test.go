package scrub_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/scrub"
)

const random40 = "Zk3vQ9xT7mLc2RwE5bNdY8hJ4pGsF6aKu1VoXiBt"

func TestHalfOfARandomSecretIsHidden(t *testing.T) {
	for kind, value := range map[string]string{"token": random40, "hex": "2f8a6c01d9e47b35aa90cf1e66d3b748915c0be2f7d86a34c1e9705fb28d4a63"} {
		set := build(t, value)
		for _, enc := range []struct {
			name string
			f    func(string) string
		}{
			{"raw", func(v string) string { return v }},
			{"upper", asciiUpper},
			{"hex", func(v string) string { return hex.EncodeToString([]byte(v)) }},
			{"percent", perByte("%%%02x")},
			{"json", unicodes(`\u%04x`)},
		} {
			for at := 0; at+16 <= len(value); at++ {
				part := value[at : at+16]
				out, r := set.Bytes([]byte("the key is " + enc.f(part) + "..."))
				if want := "the key is [secret:s0]..."; string(out) != want {
					t.Fatalf("%s in %s, 16 bytes at %d: %q, %v", kind, enc.name, at, out, r)
				}
			}
		}
	}
}

func TestAPartInBase64IsHidden(t *testing.T) {
	set := build(t, random40)
	for at := 0; at+20 <= len(random40); at++ {
		for skip := range 3 {
			coded := base64.StdEncoding.EncodeToString([]byte("ab"[:skip%3] + random40[at:at+20] + "\n"))
			if out, r := set.Bytes([]byte("x " + coded + " y")); !r.Found() {
				t.Fatalf("20 bytes at %d after %d: %q", at, skip, out)
			}
		}
	}
}

func TestASecretThatIsCutShortDoesNotLeaveAStream(t *testing.T) {
	set := build(t, random40)
	rng := rand.New(rand.NewPCG(1, 1))
	for n := 16; n < len(random40); n++ {
		for _, c := range chunkers {
			in := `{"token":"` + random40[:n] + `...","next":1}`
			out, _ := streamed(t, set, in, c, rng)
			if out != `{"token":"[secret:s0]...","next":1}` {
				t.Fatalf("%d bytes, %s: %q", n, c.Name, out)
			}
		}
		out, _ := streamed(t, set, "ends with "+random40[:n], chunkers[1], rng)
		if out != "ends with [secret:s0]" {
			t.Fatalf("%d bytes at the end: %q", n, out)
		}
	}
}

// What many have in common is no part of a secret.
func TestWhatIsPublicInASecretStays(t *testing.T) {
	tokens := []scrub.Secret{}
	rng := rand.New(rand.NewPCG(5, 6))
	for i, s := range many(rng, 40) {
		s.Value = append([]byte("sallyport-live-token-v1-"), s.Value...)
		s.Name = "s" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		tokens = append(tokens, s)
	}
	for name, c := range map[string]struct {
		secrets []scrub.Secret
		text    string
	}{
		"a JWT's header":      {[]scrub.Secret{{Name: "jwt", Value: []byte(kinds["jwt"])}}, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9 is how it begins"},
		"a user name":         {[]scrub.Secret{{Name: "pair", Value: []byte("svc-onboarding@erp.example.com:" + random40)}}, "svc-onboarding@erp.example.com has signed in"},
		"a connection string": {[]scrub.Secret{{Name: "dsn", Value: []byte("postgres://app:" + random40 + "@db.example.com:5432/vendors")}}, "@db.example.com:5432/vendors does not answer"},
		"a common prefix":     {tokens, "sallyport-live-token-v1- is what they begin with"},
		"fifteen bytes":       {[]scrub.Secret{{Name: "s", Value: []byte(random40)}}, random40[3:18] + " is a short id"},
		"a short secret":      {[]scrub.Secret{{Name: "s", Value: []byte("q7Zt3VbN9xKc2Lw")}}, "q7Zt3VbN9xK"},
		"a project's name":    {[]scrub.Secret{{Name: "s", Value: []byte("acme-production-eu-2024-primary")}}, "globex-production-eu-2024-primary"},
		"an RSA key's kind": {[]scrub.Secret{{Name: "s", Value: []byte("MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC7Vx9k2LmQ")}},
			"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzT3rW8pNfX1yBq"},
		"another's claims":    {[]scrub.Secret{{Name: "s", Value: []byte("eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwic3ViIjoiNDIifQ")}}, "eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwic3ViIjoiNDMifQ"},
		"what repeats itself": {[]scrub.Secret{{Name: "s", Value: []byte(strings.Repeat("abcd1234", 8))}}, "abcd1234abcd1234"},
	} {
		set, err := scrub.Build(c.secrets)
		if err != nil {
			t.Fatal(err)
		}
		if out, r := set.Bytes([]byte(c.text)); r.Found() {
			t.Errorf("%s: %q", name, out)
		}
	}
}

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func deflated(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err := io.WriteString(w, s)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsPackedIsSeenThroughInAWholeText(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	wrap := func(s string) string {
		var b strings.Builder
		for i := 0; i < len(s); i += 76 {
			b.WriteString(s[i:min(i+76, len(s))] + "\n")
		}
		return b.String()
	}
	for kind, value := range map[string]string{"token": kinds["token"], "quotes": kinds["quotes"], "accents": kinds["accents"]} {
		set := build(t, value)
		doc := `{"env":{"TOKEN":"` + goJSON(value) + `"},"filler":"` + strings.Repeat("abc ", 30) + `"}`
		for name, packed := range map[string]string{
			"JSON in base64":                 b64([]byte(doc)),
			"gzip in base64":                 b64([]byte(gzipped(t, doc))),
			"gzip in base64url":              base64.RawURLEncoding.EncodeToString([]byte(gzipped(t, doc))),
			"gzip in base64, wrapped":        wrap(b64([]byte(gzipped(t, doc+strings.Repeat(random40, 3)+doc)))),
			"zlib in base64":                 b64([]byte(deflated(t, doc))),
			"base64 of percent-encoding":     b64([]byte(perByte("%%%02x")(value))),
			"base64 of base64 of gzip":       b64([]byte(b64([]byte(gzipped(t, doc))))),
			"gzip of base64":                 b64([]byte(gzipped(t, b64([]byte("user:"+value))))),
			"gzip as it is":                  gzipped(t, doc),
			"zlib as it is":                  "", // see below
			"base64 behind a path":           "/x/" + b64([]byte(perByte("%%%02x")(value))),
			"gzip in base64 that is cut off": b64([]byte(gzipped(t, doc)))[:len(b64([]byte(gzipped(t, doc))))-10],
		} {
			text := "before " + packed + " after"
			if name == "zlib as it is" {
				text = deflated(t, doc)
			}
			out, r := set.Bytes([]byte(text))
			if !r.Found() || leaks(string(out), value) != "" {
				t.Errorf("%s, %s: %q", kind, name, out)
			}
			if !strings.HasPrefix(text, "before ") || name == "gzip as it is" {
				continue
			}
			if !strings.HasPrefix(string(out), "before ") || !strings.HasSuffix(string(out), " after") {
				t.Errorf("%s, %s: the text around is damaged: %q", kind, name, out)
			}
		}
	}
}

func TestWhatUnpacksToTooMuchIsWithheld(t *testing.T) {
	set := build(t, random40)
	bomb := base64.StdEncoding.EncodeToString([]byte(gzipped(t, strings.Repeat(" ", 2<<20)+random40)))
	out, r := set.Bytes([]byte("before " + bomb + " after"))
	if string(out) != "before [withheld: it unpacks to too much] after" || r.Total() != 1 {
		t.Errorf("%q, %v", out, r)
	}
	fine := base64.StdEncoding.EncodeToString([]byte(gzipped(t, strings.Repeat("fine ", 1000))))
	if out, r := set.Bytes([]byte(fine)); r.Found() {
		t.Errorf("%q", out)
	}
}

func TestAFixedTextKeepsItsLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for kind, value := range kinds {
		set := build(t, value)
		for _, enc := range encoders {
			coded, ok := enc.Encode(value)
			if !ok || len(value) > 200 {
				continue
			}
			in := "\x00\x01frame " + coded + "\x02 end " + coded
			whole, r := set.Fixed([]byte(in))
			if !r.Found() || len(whole) != len(in) || leaks(string(whole), value) != "" {
				t.Fatalf("%s in %s: %d bytes of %d: %q", kind, enc.Name, len(whole), len(in), whole)
			}
			for _, c := range chunkers {
				var out bytes.Buffer
				st := set.FixedStream(&out)
				for rest := in; len(rest) > 0; {
					n := min(c.Cut(len(rest), rng), len(rest))
					if _, err := st.Write([]byte(rest[:n])); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := st.Close(); err != nil || out.Len() != len(in) || leaks(out.String(), value) != "" {
					t.Fatalf("%s in %s, %s: %d bytes of %d, %v", kind, enc.Name, c.Name, out.Len(), len(in), err)
				}
			}
		}
	}
}

// BenchmarkPackedLines is text made to look like base64 that was wrapped: its
// time has to grow with the text, not with its square.
func BenchmarkPackedLines(b *testing.B) {
	set := build(b, random40)
	for _, n := range []int{20_000, 40_000, 80_000, 160_000} {
		text := []byte(strings.Repeat("A", n) + "!" + strings.Repeat("A", 64) + "\n" + strings.Repeat("A", 64))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, r := set.Bytes(text); r.Found() {
					b.Fatal(r)
				}
			}
		})
	}
}

// In time that grows with its square, this text would take an hour.
func TestALongRunOfSignsIsRead(t *testing.T) {
	set := build(t, random40)
	for _, sign := range []string{`\`, "%", "&", "=", " ", "A", `\n`, "%0A"} {
		in := strings.Repeat(sign, 2<<20/len(sign))
		if out, r := set.String(in); r.Found() || out != in {
			t.Errorf("%q: %v", sign, r)
		}
		if out, r := set.String(in + random40); !r.Found() || out != in+"[secret:s0]" && sign != "A" && sign != "=" {
			t.Errorf("%q: %v, ...%q", sign, r, out[len(out)-40:])
		}
	}
}

// However many secrets there are, a part of one is found wherever it begins; of
// thousands, one in a hundred may begin like too many others.
func TestPartsAreFoundAmongManySecrets(t *testing.T) {
	for n, most := range map[int]int{100: 0, 1000: 0, 3000: 6} {
		var values []string
		for i := range n {
			values = append(values, leaktest.Mint("many", fmt.Sprint(i), "token").Value+leaktest.Mint("more", fmt.Sprint(i), "token").Value)
		}
		set := build(t, values...)
		missed := 0
		for _, v := range values[:20] {
			for at := 0; at+16 <= len(v); at++ {
				if _, r := set.Bytes([]byte("the key is " + v[at:at+16] + "...")); !r.Found() {
					missed++
				}
			}
		}
		if missed > most {
			t.Errorf("of %d secrets, %d of 660 parts are missed", n, missed)
		}
	}
}

// Four bytes that share a counter with ordinary text are no ordinary text: each
// part that is long enough is found, in whatever secret, but one in a thousand
// that does begin as ordinary text does.
func TestPartsAreFoundInAnySecret(t *testing.T) {
	missed, parts := 0, 0
	for i, s := range many(rand.New(rand.NewPCG(31, 32)), 600) {
		if i%6 != 3 && i%6 != 4 {
			continue // those of 43 characters, and of 48 after a prefix, say most
		}
		v := string(s.Value[len(s.Value)-40:])
		set := build(t, v, "q7Zt3VbN9x.Lw!")
		for at := 0; at+16 <= len(v); at++ {
			parts++
			if _, r := set.Bytes([]byte("key=" + v[at:at+16] + "...")); !r.Found() {
				missed++
			}
		}
	}
	if missed*1000 > parts {
		t.Errorf("%d of %d parts are missed", missed, parts)
	}
}
