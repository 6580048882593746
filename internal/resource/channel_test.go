package resource_test

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

func channel(change func(*resource.Channel)) *resource.Channel {
	c := &resource.Channel{Head: head(resource.KindChannel), Webhook: &resource.Webhook{URL: "https://hooks.example/in", Secret: "hook"}}
	if change != nil {
		change(c)
	}
	return c
}

func mailing(change func(*resource.SMTP)) *resource.Channel {
	s := &resource.SMTP{Host: "mail.example.com", From: "a@example.com", To: []string{"b@example.com"}, Secret: "mail", Username: "a"}
	if change != nil {
		change(s)
	}
	return channel(func(c *resource.Channel) { c.Webhook, c.SMTP = nil, s })
}

func TestGoodChannelsPass(t *testing.T) {
	for name, c := range map[string]*resource.Channel{
		"webhook": channel(nil), "mail": mailing(nil),
		"slack":    channel(func(c *resource.Channel) { c.Webhook, c.Slack = nil, &resource.Slack{Secret: "chat@v2"} }),
		"loopback": mailing(func(s *resource.SMTP) { s.Host, s.TLS, s.Secret, s.Username = "127.0.0.1", resource.MailPlain, "", "" }),
		"members":  mailing(func(s *resource.SMTP) { s.To, s.Domain = []string{"members"}, "example.com" }),
		"all": channel(func(c *resource.Channel) {
			c.Events, c.Tells, c.Teams = resource.Events, resource.TellsSummary, []string{"finance"}
		}),
	} {
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Origin(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASpoiledChannelIsRefused(t *testing.T) {
	for path, c := range map[string]*resource.Channel{
		"kind":           channel(func(c *resource.Channel) { c.Slack = &resource.Slack{Secret: "x"} }),
		"webhook.url":    channel(func(c *resource.Channel) { c.Webhook.URL = "https://u:p@hooks.example" }),
		"webhook.secret": channel(func(c *resource.Channel) { c.Webhook.Secret = "whsec_abc" }),
		"events[0]":      channel(func(c *resource.Channel) { c.Events = []resource.Event{"decision.wating"} }),
		"tells":          channel(func(c *resource.Channel) { c.Tells = "arguments" }),
		"remindAfter":    channel(func(c *resource.Channel) { c.RemindAfter = resource.Duration(time.Second) }),
		"slack.origin": channel(func(c *resource.Channel) {
			c.Webhook, c.Slack = nil, &resource.Slack{Secret: "x", Origin: "https://chat.example/services"}
		}),
		"smtp.tls":    mailing(func(s *resource.SMTP) { s.TLS = resource.MailPlain }),
		"smtp.host":   mailing(func(s *resource.SMTP) { s.Host = "mail example" }),
		"smtp.from":   mailing(func(s *resource.SMTP) { s.From = "Sally <a@example.com>" }),
		"smtp.to[0]":  mailing(func(s *resource.SMTP) { s.To = []string{"members", "a@example.com"}; s.Domain = "example.com" }),
		"smtp.to":     mailing(func(s *resource.SMTP) { s.To = nil }),
		"smtp.domain": mailing(func(s *resource.SMTP) { s.To = []string{"members"} }),
		"smtp.port":   mailing(func(s *resource.SMTP) { s.Port = 70000 }),
		"smtp.secret": mailing(func(s *resource.SMTP) { s.Secret = "" }),
	} {
		found := false
		for _, p := range resource.Problems(c.Check()) {
			found = found || p.Path == path && p.Err.Kind == fault.Invalid
		}
		if !found {
			t.Errorf("%s: %v", path, c.Check())
		}
	}
}

// Each would end the header's line, or put something else into it.
func TestAnAddressThatCouldBeAHeaderIsNone(t *testing.T) {
	for _, s := range []string{
		"a@example.com\r\nBcc: evil@example.com", "a@example.com\nX: y", "a@example.com\r", "a\x00@example.com", "a b@example.com", "a@example.com, b@example.com",
		"a@example.com>", "<a@example.com>", `"a\r\n"@example.com`, `"a b"@example.com`, "a(comment)@example.com", "a@[127.0.0.1]", "a@", "@example.com", "a@@example.com",
		"ä@example.com", "a@exämple.com", "a..b@example.com", ".a@example.com", "a@-example.com", "a@example..com", strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b.", 130) + "com", "a;b@example.com",
	} {
		if resource.CheckAddress(s) == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// What is taken has one reading, and is one line of plain ASCII.
func FuzzAnAddressHasOneReading(f *testing.F) {
	for _, s := range []string{"a@example.com", "a+b=c/d@x.y", "a@b\r\nc", `"a"@b`, "a@b,c@d", "a@xn--exmple-cua.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if resource.CheckAddress(s) != nil {
			return
		}
		a, err := mail.ParseAddress("<" + s + ">")
		if err != nil || a.Address != s || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>,;:"\()[]`, r) }) {
			t.Fatalf("%q: %v %v", s, a, err)
		}
	})
}
