package resource

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/internal/fault"
)

// maxAddress is the most bytes of an e-mail address (RFC 5321, 4.5.3.1.3).
const maxAddress = 254

// Check is of kind Invalid; see [Resource].
func (x *Channel) Check() error {
	var c checker
	c.head(x.Head, KindChannel)
	c.target(x)
	c.names("teams", x.Teams)
	list := make([]string, len(x.Events))
	for i, e := range x.Events {
		list[i] = string(e)
	}
	c.list("events", list, func(s string) error {
		if !slices.Contains(Events, Event(s)) {
			return fault.Newf(fault.Invalid, "%q is not an event", fault.Quote(s)).WithHint("%s", eventHint(s))
		}
		return nil
	})
	if x.Tells != "" && x.Tells != TellsLink && x.Tells != TellsSummary {
		c.hint("tells", "write link or summary", "%q does not say how much a message tells", fault.Quote(string(x.Tells)))
	}
	c.duration("remindAfter", x.RemindAfter, time.Minute, MaxDecision)
	c.duration("warnBefore", x.WarnBefore, time.Minute, MaxDecision)
	c.network("network", x.Network)
	c.secrets(x)
	return c.err()
}

func eventHint(s string) string {
	var all []string
	for _, e := range Events {
		all = append(all, string(e))
	}
	if like := DidYouMean(s, all); like != "" {
		return like
	}
	return "the events are " + strings.Join(all, ", ")
}

// target checks the one way out.
func (c *checker) target(x *Channel) {
	n := 0
	for _, there := range []bool{x.Webhook != nil, x.Slack != nil, x.SMTP != nil} {
		if there {
			n++
		}
	}
	switch {
	case n != 1:
		c.add("kind", errNoTarget())
	case x.Webhook != nil:
		c.baseURL("webhook.url", x.Webhook.URL, x.Network)
		c.secretRef("webhook.secret", x.Webhook.Secret)
	case x.Slack != nil:
		if x.Slack.Origin != "" {
			c.baseURL("slack.origin", x.Slack.Origin, x.Network)
			if u, err := url.Parse(x.Slack.Origin); err == nil && strings.Trim(u.Path, "/") != "" {
				c.hint("slack.origin", "the path is part of the credential: store the whole address as the Secret", "an origin has no path")
			}
		}
		c.secretRef("slack.secret", x.Slack.Secret)
	default:
		c.smtp(x.SMTP)
	}
}

func errNoTarget() *fault.Error {
	return fault.New(fault.Invalid, "a Channel has exactly one of webhook, slack and smtp").WithHint("give it one section: webhook:, slack: or smtp:")
}

func errAddress() *fault.Error { return fault.New(fault.Invalid, "the address can't be read") }

func (c *checker) secretRef(path, ref string) {
	if _, _, err := (Auth{Secret: ref}).Ref(); err != nil {
		c.add(path, err)
	}
}

func (c *checker) smtp(s *SMTP) {
	c.between("smtp.port", int64(s.Port), 65535)
	o, err := MailOrigin(s.Server())
	if err != nil {
		c.addf("smtp.host", "%q is not a host's name", fault.Quote(s.Host))
	}
	switch s.TLS {
	case "", MailStartTLS, MailImplicit:
	case MailPlain:
		if err == nil && !o.Loopback() {
			c.hint("smtp.tls", "use starttls or implicit", "without TLS only a mail server on this machine is spoken to")
		}
	default:
		c.hint("smtp.tls", "write starttls, implicit or none-for-loopback", "%q is not a way to reach a mail server", fault.Quote(string(s.TLS)))
	}
	c.add("smtp.from", CheckAddress(s.From))
	if len(s.To) == 0 {
		c.hint("smtp.to", "list e-mail addresses, or write members", "nobody gets the message")
	}
	c.list("smtp.to", s.To, func(to string) error {
		if to == ToMembers && len(s.To) == 1 {
			return nil
		}
		return CheckAddress(to)
	})
	switch members := slices.Contains(s.To, ToMembers); {
	case members && CheckAddress("x@"+s.Domain) != nil:
		c.hint("smtp.domain", "write what stands after the @ in the members' addresses, like example.com", "the members' addresses are not known")
	case !members && s.Domain != "":
		c.addf("smtp.domain", "only with to: [members]")
	}
	if s.Secret != "" {
		c.secretRef("smtp.secret", s.Secret)
	}
	c.text("smtp.username", s.Username, maxAddress)
	if s.Username != "" && s.Secret == "" {
		c.hint("smtp.secret", "name the Secret with the password", "somebody signs in without a password")
	}
}

// CheckAddress takes a bare e-mail address in ASCII, such as finance@example.com:
// no display name, no comment, no quoted part, nothing that could end a header's
// line. Kind Invalid.
func CheckAddress(s string) error {
	bad := fault.Newf(fault.Invalid, "%q is not an e-mail address", fault.Quote(s)).WithHint("write it like finance@example.com")
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || len(s) > maxAddress || len(local) > 64 {
		return bad
	}
	for i := range len(local) {
		if c := local[i]; !alnum(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", rune(c)) {
			return bad
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return r > '~' || !alnum(byte(r)) && r != '-' }) {
			return bad
		}
	}
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || a.Name != "" {
		return bad // two dots in a row, or one at an end
	}
	return nil
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
