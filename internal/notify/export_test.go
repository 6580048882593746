package notify

import (
	"context"
	"time"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/resource"
)

// RetryAfter reads the header.
var RetryAfter = retryAfter

// Subject writes a header's text.
var Subject = subject

// Wait is the pause after so many failures.
func (n *Notifier) Wait(before int) time.Duration { return n.wait(before) }

// Line cleans a text.
func (n *Notifier) Line(s string) string { return n.line("acme", s) }

// Mail writes a message about a Team and a Mission.
func Mail(from string, to []string, headline, mission string, now time.Time) []byte {
	return mail(from, to, "example.com", message{id: "msg_1", event: resource.EventWaiting, headline: headline, mission: mission,
		link: "https://sallyport.example.com/decisions/dec_1"}, now)
}

// Compose is the e-mail of a notice; false: there is none.
func (n *Notifier) Compose(no Notice) (string, bool) {
	m, ok, err := n.compose(context.Background(), &catalog.Snapshot{}, &resource.Channel{}, no)
	return string(mail("a@example.com", []string{"b@example.com"}, "example.com", m, n.Now())), ok && err == nil
}

// Text is a message as text.
func Text(headline, mission string) []string {
	return message{headline: headline, mission: mission}.lines()
}
