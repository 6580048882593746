package unknown_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

// The secrets of these tests are put together when they run, so that no scanner
// takes this repository's files for leaks.

const (
	digits = "0123456789"
	lows   = "abcdefghijklmnopqrstuvwxyz"
	ups    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexes  = digits + "abcdef"
	alnums = digits + ups + lows
)

// drawn is n characters of abc, always the same for a seed. It begins with a
// digit and a letter where abc has both, since some rules ask for both.
func drawn(seed uint64, n int, abc string) string {
	rng := rand.New(rand.NewPCG(seed, 42))
	b := make([]byte, n)
	for i := range b {
		b[i] = abc[rng.IntN(len(abc))]
	}
	if strings.Contains(abc, "7") && strings.Contains(abc, "f") && n > 1 {
		b[0], b[1] = '7', 'f'
	}
	return string(b)
}

// withSum puts GitHub's checksum behind a token's prefix and its body.
func withSum(prefix, body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	tail := make([]byte, 6)
	for i := 5; i >= 0; i-- {
		tail[i] = alnums[sum%62]
		sum /= 62
	}
	return prefix + body + string(tail)
}

func uuidOf(seed uint64) string {
	h := drawn(seed, 32, hexes)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// shape is a text with one secret in it.
type shape struct {
	rule, text, secret string
	sure               bool
}

func shapes() []shape {
	var all []shape
	sure := func(rule, secret string) {
		all = append(all, shape{rule, "it is " + secret + " for now", secret, true})
	}
	likely := func(rule, format, secret string) {
		all = append(all, shape{rule, fmt.Sprintf(format, secret), secret, false})
	}
	sure("aws-access-key-id", "AK"+"IA"+drawn(1, 16, ups+"234567"))
	sure("gcp-api-key", "AI"+"za"+drawn(2, 35, alnums))
	sure("github-token", withSum("gh"+"p_", drawn(3, 30, alnums)))
	sure("npm-token", withSum("np"+"m_", drawn(4, 30, alnums)))
	sure("gitlab-token", "gl"+"pat-"+drawn(5, 20, alnums))
	sure("slack-token", "xo"+"xb-"+drawn(6, 12, "23456789")+"-"+drawn(7, 12, "23456789")+"-"+drawn(8, 24, alnums))
	sure("slack-webhook", "hooks.sl"+"ack.com/services/T"+drawn(9, 8, ups)+"/B"+drawn(10, 8, ups)+"/"+drawn(11, 24, alnums))
	sure("stripe-key", "sk_"+"live_"+drawn(12, 24, alnums))
	sure("anthropic-key", "sk-"+"ant-api03-"+drawn(13, 93, alnums)+"AA")
	sure("openai-key", "sk-"+"proj-"+drawn(14, 74, alnums)+"T3Blbk"+"FJ"+drawn(15, 74, alnums))
	sure("huggingface-token", "h"+"f_"+drawn(16, 34, lows+ups))
	sure("sendgrid-key", "S"+"G."+drawn(17, 22, alnums)+"."+drawn(18, 43, alnums))
	sure("pypi-token", "py"+"pi-AgEIcHlwaS5vcmc"+drawn(19, 80, alnums))
	sure("vault-token", "hv"+"s."+drawn(20, 95, alnums))
	sure("azure-client-secret", drawn(21, 3, alnums)+"8Q"+"~"+drawn(22, 34, alnums))
	sure("terraform-token", drawn(23, 14, alnums)+".atlas"+"v1."+drawn(24, 67, alnums))
	sure("age-secret-key", "AGE-SECRET"+"-KEY-1"+drawn(25, 58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"))
	sure("telegram-bot-token", drawn(26, 10, "23456789")+":A"+"A"+drawn(27, 33, alnums))
	sure("mailchimp-key", drawn(28, 32, hexes)+"-us"+"12")
	sure("jwt", "ey"+"JhbGciOiJIUzI1NiJ9."+"ey"+"J"+drawn(29, 40, alnums)+"."+drawn(30, 43, alnums))
	key := "-----BEGIN RSA PRIV" + "ATE KEY-----\n" + drawn(31, 64, alnums) + "\n" + drawn(32, 40, alnums) + "==\n-----END RSA PRIV" + "ATE KEY-----"
	sure("private-key", key)
	sure("private-key", strings.ReplaceAll(key, "\n", `\n`))
	likely("generic-secret", `{"api_key": "%s"}`, drawn(40, 32, alnums))
	likely("generic-secret", "client_secret=%s\n", drawn(41, 40, hexes))
	likely("generic-secret", `export ACCESS_TOKEN='%s'`, drawn(42, 24, alnums))
	likely("generic-secret", `{\"refresh_token\": \"%s\"}`, drawn(43, 32, alnums))
	likely("generic-secret", `&quot;apiToken&quot;: &quot;%s&quot;`, drawn(44, 32, alnums))
	likely("generic-secret", "<sessionToken>\n  %s\n</sessionToken>", drawn(45, 32, alnums))
	likely("generic-secret", "- name: WEBHOOK_SECRET\n  value: %s\n", drawn(46, 32, alnums))
	likely("generic-secret", "https://api.test/v1?access_token=%s&page=2", drawn(47, 32, alnums))
	likely("aws-secret-key", "aws_secret_access_key = %s", drawn(48, 40, alnums))
	likely("datadog-key", "DATADOG_API_KEY: %s", drawn(49, 32, hexes))
	likely("heroku-key", `heroku_api_key = "%s"`, uuidOf(50))
	likely("password", "db_password: %s\n", "Rk4"+"9vTq2xW")
	likely("password", `"Password": "%s"`, "c0rrect#"+"Horse9")
	likely("password", "the password for the portal: %s\n", "Rk4"+"9vTq2xW")
	likely("url-password", "postgres://app:%s@db.internal:5432/erp", "Wq8"+"zPl3vNx")
	likely("dsn-password", "app:%s@tcp(db.internal:3306)/erp", "Wq8"+"zPl3vNx")
	likely("authorization-header", "Authorization: Basic %s", "dXNlcjpXcTh6"+"UGwzdk54")
	likely("authorization-header", `"Authorization": "Bearer %s"`, drawn(51, 40, alnums))
	likely("authorization-header", "authorization: token %s", drawn(52, 40, hexes))
	likely("bearer-token", "send Bearer %s with it", drawn(53, 40, alnums))
	likely("cookie", "Set-Cookie: theme=dark; app_session=%s; Path=/; HttpOnly", drawn(54, 40, alnums))
	likely("curl-user", "curl -s -u admin:%s https://erp.test/", "Wq8"+"zPl3vNx")
	likely("kubernetes-secret", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  erp: %s\n", "V3E4elBs"+"M3ZOeA==")
	likely("kubernetes-secret", `{"kind":"Secret","data":{"erp":"%s"}}`, "V3E4elBs"+"M3ZOeA==")
	return all
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
