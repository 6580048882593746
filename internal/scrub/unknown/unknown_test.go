package unknown_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sallyport.dev/internal/scrub/unknown"
)

func TestEachShapeIsFoundByItsRuleAndMasked(t *testing.T) {
	for _, s := range shapes() {
		out, found := unknown.Mask([]byte(s.text))
		if len(found) != 1 || found[0].Rule != s.rule || s.sure != (found[0].Confidence == unknown.Sure) {
			t.Errorf("%s: found %+v", s.rule, found)
			continue
		}
		if want := strings.Replace(s.text, s.secret, "[secret?:"+s.rule+"]", 1); string(out) != want {
			t.Errorf("%s: became %q, want %q", s.rule, out, want)
		}
		check(t, []byte(s.text))
	}
}

// What stands around a token in logs, JSON, HTML, URLs and shells is no part of
// it, and doesn't hide it.
func TestTokensAreFoundInAnyQuoting(t *testing.T) {
	around := []string{"%s", `"%s"`, `\"%s\"`, "'%s'", "`%s`", "(%s)", "<b>%s</b>", "&quot;%s&quot;", "k=%s&x=1", "a\\n%s\\nb", "%%3D%s", `\u003d%s`,
		"\t%s\r\n", "key:%s,", "%s.", "see %s; then", "[%s]", "{%s}", "|%s|", "https://h/%s/x"}
	for _, s := range shapes() {
		if !s.sure || s.rule == "private-key" {
			continue
		}
		for _, a := range around {
			text := fmt.Sprintf(a, s.secret)
			out, found := unknown.Mask([]byte(text))
			if len(found) != 1 || bytes.Contains(out, []byte(s.secret)) {
				t.Errorf("%s in %q: %q", s.rule, a, out)
			}
		}
	}
}

func TestAWrongChecksumIsLikelyAndARightOneIsSure(t *testing.T) {
	good := withSum("gh"+"p_", drawn(60, 30, alnums))
	bad := good[:len(good)-1] + string(alnums[(strings.IndexByte(alnums, good[len(good)-1])+1)%62])
	for text, want := range map[string]unknown.Confidence{good: unknown.Sure, bad: unknown.Likely} {
		found := unknown.Find([]byte(text))
		if len(found) != 1 || found[0].Confidence != want {
			t.Errorf("%v, want %v", found, want)
		}
	}
	if found := unknown.New(unknown.Sure, nil).Find([]byte(bad)); len(found) > 0 {
		t.Errorf("a scanner of what is sure gives %v", found)
	}
}

func TestWhatIsNoSecretIsLeftAlone(t *testing.T) {
	hex40, hex64 := drawn(70, 40, hexes), drawn(71, 64, hexes)
	id := "sec_" + drawn(72, 26, lows+"234567")
	for _, text := range []string{
		"", "token", "api_key =", `api_key = ""`, "password:", "password: \n",
		"AK" + "IAIOSFODNN7EXAMPLE", "gh" + "p_" + strings.Repeat("x", 36), "sk_" + "live_" + strings.Repeat("0", 24),
		`api_key = "${API_KEY}"`, `api_key: "<your-token>"`, "token = $TOKEN", "token = {{ .Values.token }}", `token: "{{token}}"`,
		"password = changeme", "password: xxxxxxxx", "password: ********", "PASSWORD=%PASSWORD%", `password = os.Getenv("DB_PASSWORD")`,
		"the password is wrong: try again", "api_key: your-api-key-1234", "secret: [secret:erp-key]", "secret: [secret?:jwt]",
		"Authorization: Bearer [secret:erp-key]", "https://u:[secret:erp-key]@h/", "[secret:app-key]=" + "value",
		"secret_id: " + id, "token: " + id, "run_" + drawn(73, 26, lows+"234567"),
		"id: " + uuidOf(74), "session: " + uuidOf(75), "commit " + hex40, "key: " + hex40, "sha256:" + hex64, "image@sha256:" + hex64,
		`"integrity": "sha512-` + drawn(76, 86, alnums) + `=="`, "token: sha256:" + hex64, "checksum_key = " + hex64,
		"public_key = " + hex64, "primary_key = " + drawn(77, 32, alnums), "client_id = " + drawn(78, 32, hexes),
		"next_page_token: " + drawn(79, 32, alnums), "csrf_token = " + drawn(80, 32, alnums), "keyboard_layout: " + drawn(81, 20, alnums),
		"author = " + drawn(82, 20, alnums), "token_url = https://login.test/oauth2/v2/token7", "key_name: prod-key-eu-west-1",
		"passwordChanged: 2024-01-09T15:36:05.000Z", "key: arn:aws:kms:us-east-1:579766882180:key/" + uuidOf(83),
		"https://user:password@host/", "postgres://postgres:postgres@localhost/db", "http://user:$PASS@h/", "http://[::1]:80/@x", "http://h:80/a@b",
		"curl -u user:password h", "curl -u $USER:$PASS h", "-u admin:Wq8zPl3vNx", "Authorization: Basic", "WWW-Authenticate: Bearer realm=\"erp\"",
		"Cookie: theme=dark; lang=en", "Public key pin-sha256: " + drawn(88, 43, alnums) + "=", "PubKey: " + drawn(66, 64, alnums), "key: MFkw" + "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + drawn(67, 64, alnums),
		"passwd\t1:4.13+dfsg1-1+deb12u1",
		"$skiptoken=" + drawn(89, 32, alnums), `"token" => "github.com/acme/sdk7/credentials/ec2role"`, "sumOfExposures = " + drawn(65, 64, alnums), "-----BEGIN CERTIFICATE-----\n" + drawn(84, 64, alnums) + "\n-----END CERTIFICATE-----",
		"-----BEGIN PUBLIC KEY-----\n" + drawn(85, 64, alnums) + "\n-----END PUBLIC KEY-----",
		"-----BEGIN PRIV" + "ATE KEY-----\nanything\n-----END PRIV" + "ATE KEY-----",
		"kind: ConfigMap\ndata:\n  a: " + drawn(86, 16, alnums), "eyJ.eyJ.", "data:image/png;base64," + drawn(87, 400, alnums),
	} {
		if out, found := unknown.Mask([]byte(text)); len(found) > 0 {
			t.Errorf("%q became %q", text, out)
		}
	}
}

func TestWhatIsCutShortIsMaskedAsFarAsItGoes(t *testing.T) {
	key := "-----BEGIN PRIV" + "ATE KEY-----\n" + drawn(90, 64, alnums) + "\n" + drawn(91, 30, alnums)
	prose := "\nand then the job went on for a while, and all was well in the end of it. " + strings.Repeat("Nothing else was said of it. ", 9)
	for _, after := range []string{"", prose, "[secret:other]" + prose} {
		out, _ := unknown.Mask([]byte("key:\n" + key + after))
		if string(out) != "key:\n[secret?:private-key]"+after {
			t.Errorf("%q", out)
		}
	}
}

// A system may put several secrets side by side, or one into another's place.
func TestSecretsThatTouchAreAllCovered(t *testing.T) {
	a, b := withSum("gh"+"p_", drawn(92, 30, alnums)), "sk_"+"live_"+drawn(93, 24, alnums)
	for _, text := range []string{a + b, b + a, a + a, a + " " + b, "password=" + a, "https://x:" + a + "@h/", "Authorization: Bearer " + b,
		`{"token":"` + a + `","secret":"` + b + `"}`} {
		out, found := unknown.Mask([]byte(text))
		if bytes.Contains(out, []byte(a[10:30])) || bytes.Contains(out, []byte(b[10:24])) || len(found) == 0 {
			t.Errorf("%q became %q", text, out)
		}
		check(t, []byte(text))
	}
}

// A mark must not be a cloak: what only looks like one hides nothing.
func TestATokenInsideAFalseMarkIsFound(t *testing.T) {
	token := withSum("gh"+"p_", drawn(94, 30, alnums))
	for _, text := range []string{"[secret:" + token + "]", "[secret?:" + token + "]", "[secret:x" + " " + token, "[secret" + token} {
		if out, _ := unknown.Mask([]byte(text)); bytes.Contains(out, []byte(token)) {
			t.Errorf("%q became %q", text, out)
		}
	}
}

func TestRulesCanBeChosen(t *testing.T) {
	token := "sk_" + "live_" + drawn(95, 24, alnums)
	text := []byte("password: Rk4" + "9vTq2xW and " + token)
	for _, c := range []struct {
		s    *unknown.Scanner
		want int
	}{
		{unknown.New(unknown.Likely, nil), 2},
		{unknown.New(unknown.Sure, nil), 1},
		{unknown.New(unknown.Likely, func(r unknown.Rule) bool { return r.Name == "password" }), 1},
		{unknown.New(unknown.Likely, func(r unknown.Rule) bool { return r.Family == "chat" }), 0},
	} {
		if found := c.s.Find(text); len(found) != c.want {
			t.Errorf("%v, want %d", found, c.want)
		}
	}
}

func TestAFindingNeverShowsTheValue(t *testing.T) {
	token := "sk_" + "live_" + drawn(96, 24, alnums)
	found := unknown.Find([]byte(token))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "found", found)
	j, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", found, found, found), string(j), log.String()} {
		if strings.Contains(s, token[8:]) || !strings.Contains(s, "stripe-key") {
			t.Error(s)
		}
	}
	if !strings.Contains(string(j), `"Confidence":"sure"`) {
		t.Error(string(j))
	}
}

func TestEveryRuleHasOneNameAndMarksAreStable(t *testing.T) {
	rules := unknown.Rules()
	if len(rules) < 220 {
		t.Errorf("%d rules", len(rules))
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.Name] || r.Family == "" || r.Confidence < unknown.Likely || strings.Trim(r.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%+v", r)
		}
		seen[r.Name] = true
		mark := "[secret?:" + r.Name + "]"
		for _, text := range []string{mark, mark + mark, "token=" + mark, mark + ": " + drawn(97, 32, alnums), `"` + mark + `": "` + drawn(98, 32, alnums) + `"`} {
			if found := unknown.Find([]byte(text)); len(found) > 0 {
				t.Errorf("%q: %v", text, found)
			}
		}
	}
}

func TestOrdinaryTextHasNoFindings(t *testing.T) {
	text := observation(newRand(5), 1<<20)
	if found := unknown.Find(text); len(found) > 0 {
		t.Errorf("%d, the first in %q", len(found), text[max(0, found[0].Start-40):found[0].End])
	}
}

func TestManyGoroutinesMayScan(t *testing.T) {
	s := unknown.New(unknown.Likely, nil)
	done := make(chan int)
	for range 8 {
		go func() {
			n := 0
			for _, sh := range shapes() {
				n += len(s.Find([]byte(sh.text)))
			}
			done <- n
		}()
	}
	for range 8 {
		if n := <-done; n != len(shapes()) {
			t.Errorf("%d found, want %d", n, len(shapes()))
		}
	}
}

// Secrets, pieces of them, marks, names and signs in any order: whatever comes
// out, it is stable, and the text around is intact.
func TestAnyMixtureIsStable(t *testing.T) {
	rng := newRand(99)
	pieces := []string{" ", "\n", "=", ": ", `"`, "'", `\"`, "\\n", ",", ";", ".", "-", "_", "/", "@", "&", "<", ">", "%3D", "://", "[", "]",
		"[secret:x]", "[secret?:jwt]", "[secret]", "[secret:", "token", "api_key", "password=", "Authorization: Bearer ", "cookie: sid=", "curl -u a:",
		"kind: Secret\ndata:\n  a: ", "value: ", "github", "aws", "data:\n", "x", "7"}
	for _, s := range shapes() {
		pieces = append(pieces, s.secret, s.text, s.text[:len(s.text)/2], s.text[len(s.text)/2:])
	}
	for range 8000 {
		var b bytes.Buffer
		for range 2 + rng.IntN(8) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		check(t, b.Bytes())
	}
}
