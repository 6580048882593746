package sqlite

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/resource"
)

// told are the entries of the audit log that people hear of by Channels, whatever
// step they belong to.
var told = map[audit.Type]resource.Event{
	audit.WorkerIncident:     resource.EventIncident,
	audit.DecisionBreakGlass: resource.EventBreakGlass,
}

// announcement is something to tell. It holds references and names that a builder
// gave: what a message says is read again when it is sent.
type announcement struct {
	tenant                       ident.Tenant
	event                        resource.Event
	decision, run, mission, team string
	once                         string // with the event, what makes it one thing to tell
	due                          time.Time
}

// announceWait puts into the outbox of each Channel that tells of it that a
// Decision waits, and what is told later if it waits still: the rows are all that
// waiting costs.
func (t *Tx) announceWait(d decision.Decision) error {
	return t.toChannels(d.Tenant, func(c *resource.Channel) error {
		a := announcement{tenant: d.Tenant, decision: d.ID, run: d.Run, mission: d.Mission, once: d.ID}
		for event, due := range map[resource.Event]time.Time{
			resource.EventWaiting:  d.CreatedAt,
			resource.EventReminder: d.CreatedAt.Add(c.Reminder()),
			resource.EventExpiring: d.ExpiresAt.Add(-c.Warning()),
		} {
			team, ok := served(c, event, d)
			if !ok || due.Before(d.CreatedAt) || !due.Before(d.ExpiresAt) {
				continue
			}
			a.event, a.due, a.team = event, due, team
			if err := t.announce(c, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// announceVerdicts says that Decisions wait no longer.
func (t *Tx) announceVerdicts(all []decision.Settlement) error {
	of := map[ident.Tenant][]decision.Settlement{}
	for _, st := range all {
		of[st.Decision.Tenant] = append(of[st.Decision.Tenant], st)
	}
	for tenant, list := range of {
		if err := t.toChannels(tenant, func(c *resource.Channel) error {
			for _, st := range list {
				d := st.Decision
				team, ok := served(c, resource.EventDecided, d)
				if !ok {
					continue
				}
				if err := t.announce(c, announcement{tenant: tenant, event: resource.EventDecided, decision: d.ID, run: d.Run, mission: d.Mission,
					team: team, once: d.ID, due: st.At}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// served is the first Team of the Decision that the Channel serves: one message
// for each Channel, however many have to approve.
func served(c *resource.Channel, e resource.Event, d decision.Decision) (string, bool) {
	for _, n := range d.Needs {
		if c.Serves(e, n.Team) {
			return n.Team, true
		}
	}
	return "", false
}

// announceEvent says what an entry of the audit log is about, when people hear of
// its type; of what a Worker does once a minute for a Run, so that it can't send floods.
func (t *Tx) announceEvent(ev audit.Event) error {
	event, ok := told[ev.Type]
	if !ok {
		return nil
	}
	once := ev.Run + " " + strconv.FormatInt(ev.At.Unix()/60, 10)
	about := ""
	if event == resource.EventBreakGlass { // it takes a person and a factor: each one is told
		once = ev.Intent + " " + ev.Actor
		about, _ = ev.Fields["decision"].(string)
	}
	return t.toChannels(ev.Tenant, func(c *resource.Channel) error {
		return t.announce(c, announcement{tenant: ev.Tenant, event: event, decision: about, run: ev.Run, mission: ev.Mission, once: once, due: ev.At})
	})
}

// toChannels calls fn with each Channel of the tenant. One whose row is refused
// is left out, and on the record: it must not keep a Decision from being stored.
func (t *Tx) toChannels(tenant ident.Tenant, fn func(*resource.Channel) error) error {
	rows, err := t.reader().good(tbResource, "WHERE tenant = $1 AND kind = $2 ORDER BY name", tenant, string(resource.KindChannel))
	if err != nil {
		return err
	}
	for _, x := range rows {
		var c resource.Channel
		if err := json.Unmarshal([]byte(x.text("body")), &c); err != nil {
			return fault.Wrap(fault.Internal, "reading a Channel", err)
		}
		if err := fn(&c); err != nil {
			return err
		}
	}
	return nil
}

// announce stores one message, unless the Channel does not tell of it, or it is
// there already.
func (t *Tx) announce(c *resource.Channel, a announcement) error {
	if !c.Serves(a.event, a.team) {
		return nil
	}
	*t.notices = true
	_, err := t.Exec(`INSERT INTO notice (tenant, id, channel, event, decision, run, mission, team, at, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT DO NOTHING`,
		a.tenant, noticeID(c.Name, a), c.Name, string(a.event), a.decision, a.run, a.mission, a.team, ms(a.due))
	return err
}

// noticeID is the same for the same message: by it a receiver tells repeats.
func noticeID(channel string, a announcement) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(a.tenant), channel, string(a.event), a.once}, "\n")))
	return "msg_" + hex.EncodeToString(sum[:16])
}
