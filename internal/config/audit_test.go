package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
)

const auditFile = `origin: audit.example.com
witnesses:
  quorum: 1
  every: 30s
  list:
    - url: https://witness.example.net/
      key: witness.example.net+00000000+BAAA
anchors:
  every: 5m
  entries: 1000
  file: /mnt/elsewhere/anchor.jsonl
  syslog: {network: tls, address: "siem.example.com:6514", caFile: /etc/siem.pem}
sinks:
  - file: {path: /var/log/audit.jsonl, maxBytes: 1048576}
  - syslog: {network: tls, address: "siem.example.com:6514"}
  - webhook: {url: "https://siem.example.com/in", secret: siem-signing}
retention: {days: 365}
`

func auditIn(t testing.TB, text string) (config.Audit, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadAudit(path)
}

func TestTheFileOnTheAuditLogIsReadStrictly(t *testing.T) {
	a, err := auditIn(t, auditFile)
	if err != nil || a.Origin != "audit.example.com" || len(a.Witnesses.List) != 1 || a.Witnesses.Every.D(0) != 30*time.Second ||
		a.Anchors.Syslog == nil || a.Anchors.Syslog.Address != "siem.example.com:6514" || a.Anchors.Entries != 1000 ||
		len(a.Sinks) != 3 || a.Sinks[2].Webhook.Secret != "siem-signing" || a.Sinks[0].File.MaxBytes != 1<<20 || a.Retention.Days != 365 {
		t.Errorf("%+v, %v", a, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":   {strings.Replace(auditFile, "quorum", "qorum", 1), "audit.yaml:3:3"},
		"a repeated key":   {auditFile + "origin: x\n", "origin"},
		"no duration":      {strings.Replace(auditFile, "5m", "five", 1), "duration"},
		"a list of texts":  {strings.Replace(auditFile, "- url: https", "- https", 1), "audit.yaml"},
		"two documents":    {auditFile + "---\norigin: x\n", "one document"},
		"nothing":          {"", "one document"},
		"an alias":         {"origin: &a x\n", "audit.yaml"},
		"what is no YAML":  {"origin: [", "audit.yaml"},
		"a number as text": {strings.Replace(auditFile, "quorum: 1", "quorum: one", 1), "number"},
	} {
		if _, err := auditIn(t, c.text); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.LoadAudit(filepath.Join(t.TempDir(), "none.yaml")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzAudit(f *testing.F) {
	f.Add(auditFile)
	f.Add("witnesses: {list: [{url: x}]}")
	f.Add("anchors: {syslog: {}}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := auditIn(t, text); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
