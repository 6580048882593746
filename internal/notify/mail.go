package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
)

// maxRecipients is how many a message has at most: what every server takes (RFC
// 5321, 4.5.3.1.8).
const maxRecipients = 100

func (n *Notifier) smtp(ctx context.Context, snap *catalog.Snapshot, t ident.Tenant, ch *resource.Channel, m message) error {
	to := recipients(snap, ch, m.team)
	switch {
	case len(to) == 0:
		return fault.New(fault.Invalid, "the Team has no member with an e-mail address").WithHint("list addresses under smtp.to")
	case len(to) > maxRecipients:
		return fault.Newf(fault.Limit, "more than %d people would get the message", maxRecipients).WithHint("write to a list's address instead")
	}
	origin, err := ch.Origin()
	if err != nil {
		return err
	}
	_, domain, _ := strings.Cut(ch.SMTP.From, "@")
	conn, err := dial.Conn(ctx, ch.Network, n.options(), origin.Host, ch.SMTP.TLS == resource.MailPlain)
	if err != nil {
		return err
	}
	s, err := n.Vault.OpenMail(ctx, vault.MailSpec{Tenant: t, Secret: ch.SMTP.Secret, Username: ch.SMTP.Username, Origin: origin,
		TLS: ch.SMTP.TLS, RootCAs: n.RootCAs, Hello: domain, Conn: conn})
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	left, err := s.Send(ctx, ch.SMTP.From, to, mail(ch.SMTP.From, to, domain, m, n.Now()))
	if err == nil && left > 0 {
		n.Log.WarnContext(ctx, "a mail server took a message for some only", slog.String("channel", ch.Name), slog.Int("refused", left))
	}
	return err
}

// recipients are the addresses that a message about a Team goes to; without a
// Team, those of all that the Channel serves. Each once.
func recipients(snap *catalog.Snapshot, ch *resource.Channel, team string) []string {
	if !slices.Equal(ch.SMTP.To, []string{resource.ToMembers}) {
		return ch.SMTP.To
	}
	var out []string
	for _, r := range snap.Resources() {
		t, ok := r.(*resource.Team)
		if !ok || team != "" && t.Name != team || team == "" && len(ch.Teams) > 0 && !slices.Contains(ch.Teams, t.Name) {
			continue
		}
		for _, m := range t.Members {
			if to := m + "@" + ch.SMTP.Domain; resource.CheckAddress(to) == nil {
				out = append(out, to)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mail writes a message as RFC 5322 has it, with line ends of CR LF. The addresses
// were checked when the Channel was applied; all other text is encoded.
func mail(from string, to []string, domain string, m message, now time.Time) []byte {
	var b bytes.Buffer
	head := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	head("Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	head("From", "<"+from+">")
	head("To", "<"+strings.Join(to, ">,\r\n <")+">")
	head("Subject", subject(m.headline))
	head("Message-ID", "<"+m.id+"@"+domain+">")
	head("Auto-Submitted", "auto-generated") // RFC 3834: nobody's vacation answers it
	head("X-Auto-Response-Suppress", "All")
	head("MIME-Version", "1.0")
	head("Content-Type", "text/plain; charset=utf-8")
	head("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.Join(m.lines(), "\r\n") + "\r\n")) // into memory
	_ = w.Close()
	return b.Bytes()
}

// subject writes a header's text: as it is when that is plain ASCII in one short
// line, else in encoded words of at most 75 characters, one a line (RFC 2047).
func subject(s string) string {
	const plain, word = 60, 36 // bytes; 36 make 48 of base64, and 60 with what is around them
	if len(s) <= plain && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.Contains(s, "=?") {
		return s
	}
	var words []string
	for part := ""; s != "" || part != ""; {
		r, size := utf8.DecodeRuneInString(s)
		if s == "" || len(part)+size > word {
			// Not package mime: it leaves a part that needs no encoding as it is, and
			// then what looks like an encoded word becomes one.
			words, part = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(part))+"?="), ""
			continue
		}
		part, s = part+string(r), s[size:]
	}
	return strings.Join(words, "\r\n ")
}
