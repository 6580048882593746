package resource

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Event is something that a Channel can tell of.
type Event string

// The events. A reminder and the warning before the expiry are told only while
// the Decision still waits.
const (
	EventWaiting    Event = "decision.waiting"
	EventReminder   Event = "decision.reminder"
	EventExpiring   Event = "decision.expiring"
	EventDecided    Event = "decision.decided" // approved, rejected, expired or withdrawn
	EventBreakGlass Event = "breakglass"
	EventIncident   Event = "incident"
)

// Events lists all of them.
var Events = []Event{EventWaiting, EventReminder, EventExpiring, EventDecided, EventBreakGlass, EventIncident}

// Tells says how much a message tells.
type Tells string

// TellsLink is the default: that something waits, for which Team, the Mission's
// title, and the link. TellsSummary adds the Tool, the Connection and the expiry,
// all by the names that a builder gave. Nothing that a Worker or a system wrote is
// ever told.
const (
	TellsLink    Tells = "link"
	TellsSummary Tells = "summary"
)

// Channel is a way to the people who decide. Exactly one of Webhook, Slack and
// SMTP is set.
type Channel struct {
	Head    `yaml:",inline"`
	Webhook *Webhook `json:"webhook,omitempty" yaml:"webhook,omitempty"`
	Slack   *Slack   `json:"slack,omitempty" yaml:"slack,omitempty"`
	SMTP    *SMTP    `json:"smtp,omitempty" yaml:"smtp,omitempty"`
	// Teams are those whose Decisions it tells of; empty: every Team's. What is
	// about no Team (incident, breakglass) goes to every Channel that lists it.
	Teams  []string `json:"teams,omitempty" yaml:"teams,omitempty"`
	Events []Event  `json:"events,omitempty" yaml:"events,omitempty"` // default: decision.waiting
	Tells  Tells    `json:"tells,omitempty" yaml:"tells,omitempty"`   // default: link
	// RemindAfter is how long a Decision waits before decision.reminder, and
	// WarnBefore how long before its expiry decision.expiring is told.
	RemindAfter Duration `json:"remindAfter,omitzero" yaml:"remindAfter,omitempty"` // default 24h
	WarnBefore  Duration `json:"warnBefore,omitzero" yaml:"warnBefore,omitempty"`   // default 4h
	Network     Network  `json:"network,omitzero" yaml:"network,omitempty"`
}

// Webhook is a receiver of signed messages, by the Standard Webhooks
// specification.
type Webhook struct {
	URL string `json:"url" yaml:"url"`
	// Secret names the signing key: a Secret whose value is "whsec_" and then 24
	// to 64 bytes in base64.
	Secret string `json:"secret" yaml:"secret"`
}

// Slack is an incoming webhook of Slack, or of what takes the same messages. Its
// whole address is the credential.
type Slack struct {
	Secret string `json:"secret" yaml:"secret"`
	// Origin is where the address has to be: another one in the Secret sends
	// nothing.
	Origin string `json:"origin,omitempty" yaml:"origin,omitempty"` // default https://hooks.slack.com
}

// SlackOrigin is where Slack's own incoming webhooks are.
const SlackOrigin = "https://hooks.slack.com"

// MailTLS is how a mail server is reached.
type MailTLS string

// The ways. Without TLS only a server on this machine is spoken to.
const (
	MailStartTLS MailTLS = "starttls"
	MailImplicit MailTLS = "implicit"
	MailPlain    MailTLS = "none-for-loopback"
)

// ToMembers as a list's only entry stands for the members of the Team whose
// Decision waits: each account's name at the domain that the Channel names.
const ToMembers = "members"

// SMTP is a mail server that takes messages for others.
type SMTP struct {
	Host string   `json:"host" yaml:"host"`
	Port int      `json:"port,omitempty" yaml:"port,omitempty"` // default 587, of implicit TLS 465
	TLS  MailTLS  `json:"tls,omitempty" yaml:"tls,omitempty"`   // default starttls
	From string   `json:"from" yaml:"from"`
	To   []string `json:"to" yaml:"to"` // addresses, or members
	// Domain is what stands after the @ in a member's address.
	Domain string `json:"domain,omitempty" yaml:"domain,omitempty"`
	// Username is who signs in; without one, the Secret's field username.
	Username string `json:"username,omitempty" yaml:"username,omitempty"`
	// Secret names the password: its field password, or else token. Without a
	// Secret nobody signs in.
	Secret string `json:"secret,omitempty" yaml:"secret,omitempty"`
}

// Serves reports whether the Channel tells of an event: about a Team's Decision,
// or with team "" about no Team.
func (x *Channel) Serves(e Event, team string) bool {
	return slices.Contains(x.ListsEvents(), e) && (team == "" || len(x.Teams) == 0 || slices.Contains(x.Teams, team))
}

// ListsEvents are the events, with the default.
func (x *Channel) ListsEvents() []Event {
	if len(x.Events) == 0 {
		return []Event{EventWaiting}
	}
	return x.Events
}

// Summary reports whether messages have more than the link.
func (x *Channel) Summary() bool { return x.Tells == TellsSummary }

// Reminder is RemindAfter with the default.
func (x *Channel) Reminder() time.Duration { return x.RemindAfter.D(24 * time.Hour) }

// Warning is WarnBefore with the default.
func (x *Channel) Warning() time.Duration { return x.WarnBefore.D(4 * time.Hour) }

// SecretRef is the reference to its Secret; "" without one.
func (x *Channel) SecretRef() string {
	switch {
	case x.Webhook != nil:
		return x.Webhook.Secret
	case x.Slack != nil:
		return x.Slack.Secret
	case x.SMTP != nil:
		return x.SMTP.Secret
	}
	return ""
}

// Server is "host:port" of the mail server, with the default port.
func (s *SMTP) Server() string {
	port := s.Port
	if port == 0 {
		port = 587
		if s.TLS == MailImplicit {
			port = 465
		}
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(port))
}

// Origin is where the Channel's credential may go, and nowhere else: of a mail
// server with the scheme smtp. Kind Invalid.
func (x *Channel) Origin() (Origin, error) {
	switch {
	case x.SMTP != nil:
		return MailOrigin(x.SMTP.Server())
	case x.Slack != nil:
		return originOf(cmp.Or(x.Slack.Origin, SlackOrigin))
	case x.Webhook != nil:
		return originOf(x.Webhook.URL)
	}
	return Origin{}, errNoTarget()
}

func originOf(s string) (Origin, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Origin{}, errAddress() // url.Error repeats it
	}
	return ParseOrigin(u)
}

// MailOrigin is the origin of a mail server at "host:port".
func MailOrigin(hostport string) (Origin, error) {
	if host, port, err := net.SplitHostPort(hostport); err != nil || host == "" || port == "" {
		return Origin{}, errAddress()
	}
	o, err := originOf("https://" + hostport)
	o.Scheme = MailScheme
	return o, err
}

// MailScheme is the scheme of a mail server's origin, as usage scopes write it.
const MailScheme = "smtp"
