package notify

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// message is all that is told, whatever the way. Every text in it is one clean
// line; empty is what is not told.
type message struct {
	id       string
	event    resource.Event
	at       time.Time // when what it tells of happened, or was due
	headline string
	team     string // whose Decision; the members of it get the e-mail
	mission  string // its title
	decision string // the id
	run      string
	link     string
	// Of a summary:
	connection, tool, state string
	expires                 time.Time
}

// eventTest is the type of a message that only tries a Channel.
const eventTest resource.Event = "test"

// compose makes the message of a notice from what is stored now; not ok when there
// is nothing to tell any more. The row of a notice has no MAC, so nothing of it is
// told that could be somebody's own message.
func (n *Notifier) compose(ctx context.Context, snap *catalog.Snapshot, ch *resource.Channel, no Notice) (m message, ok bool, err error) {
	if id, ours := strings.CutPrefix(no.ID, "msg_"); !ours || strings.Trim(id, "0123456789abcdef") != "" {
		return m, false, nil
	}
	no.Team, no.Run = n.line(no.Tenant, no.Team), n.line(no.Tenant, no.Run)
	m = message{id: no.ID, event: no.Event, at: no.At, team: no.Team, run: no.Run, mission: no.Mission}
	if mi, ok := snap.Mission(no.Mission); ok && mi.Title != "" {
		m.mission = mi.Title
	}
	m.mission = n.line(no.Tenant, m.mission)
	if no.Decision == "" {
		m.headline = map[resource.Event]string{
			resource.EventIncident: "A Worker did what it may not do; look at its Run.",
		}[no.Event]
		m.link = n.to("runs", no.Run)
		return m, m.headline != "", nil
	}
	d, err := n.Store.Decision(ctx, no.Tenant, no.Decision)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return m, false, nil // gone, or not the row that was written: nothing to tell from it
	}
	if err != nil {
		return m, false, err
	}
	m.decision, m.link = d.ID, n.to("decisions", d.ID)
	if m.headline, ok = n.headline(d, no); !ok || !ch.Summary() {
		return m, ok, nil
	}
	return n.summarize(ctx, d, no, m)
}

// headline is a message's first sentence; not ok when it is not true any more.
func (n *Notifier) headline(d decision.Decision, no Notice) (string, bool) {
	waits := d.State == decision.Open && n.Now().Before(d.ExpiresAt)
	switch no.Event {
	case resource.EventWaiting:
		return fmt.Sprintf("A Decision waits for the Team %s.", no.Team), waits
	case resource.EventReminder:
		return fmt.Sprintf("A Decision still waits for the Team %s.", no.Team), waits
	case resource.EventExpiring:
		return fmt.Sprintf("A Decision that waits for the Team %s expires soon.", no.Team), waits
	case resource.EventDecided:
		return fmt.Sprintf("A Decision of the Team %s does not wait any more.", no.Team), d.State != decision.Open
	case resource.EventBreakGlass:
		return "Break-glass was used: an admin approved in place of the Teams. Look at the Decision and the audit log.",
			slices.ContainsFunc(d.Votes, func(v decision.Vote) bool { return v.Glass })
	case resource.EventIncident:
	}
	return "", false
}

// summarize adds what a summary has: names that builders gave, and times.
func (n *Notifier) summarize(ctx context.Context, d decision.Decision, no Notice, m message) (message, bool, error) {
	it, err := n.Store.Intent(ctx, no.Tenant, d.Intent)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	m.connection, m.tool = n.line(no.Tenant, it.Connection), n.line(no.Tenant, it.Tool)
	if no.Event == resource.EventDecided || no.Event == resource.EventBreakGlass {
		m.state = string(d.State)
	} else {
		m.expires = d.ExpiresAt
	}
	return m, true, nil
}

// to is the link to a page; "" when no public URL is configured, or there is
// nothing to link to.
func (n *Notifier) to(page, id string) string {
	if n.public == "" || id == "" {
		return ""
	}
	return n.public + "/" + page + "/" + url.PathEscape(id)
}

// maxLine is the most characters of a text in a message.
const maxLine = 200

// line makes one clean line of a text: without secrets, and without what ends a
// line, is invisible, or turns the direction of reading.
func (n *Notifier) line(t ident.Tenant, s string) string {
	s = n.Clean(t, strings.ToValidUTF8(s, "\uFFFD"))
	out := make([]rune, 0, min(len(s), maxLine))
	for _, r := range s {
		switch {
		case len(out) == maxLine:
			return string(out[:maxLine-1]) + "…"
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}

// lines are the message as text: the first sentence, then what is told of it,
// then the link.
func (m message) lines() []string {
	out := []string{m.headline}
	for _, p := range [][2]string{{"Mission", m.mission}, {"Connection", m.connection}, {"Tool", m.tool}, {"State", m.state},
		{"Until", until(m.expires)}, {"Decision", m.decision}, {"Run", m.onlyRun()}, {"Link", m.link}} {
		if p[1] != "" {
			out = append(out, p[0]+": "+p[1])
		}
	}
	return out
}

// onlyRun is the Run's id, of what is about no Decision.
func (m message) onlyRun() string {
	if m.decision != "" {
		return ""
	}
	return m.run
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
