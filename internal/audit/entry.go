package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
)

// Entry is an event in its place in the log.
type Entry struct {
	Index int64
	Event
}

// wire is an entry's JSON. Fields that are empty are left out, so that every
// entry has exactly one form.
type wire struct {
	V          int                        `json:"v"`
	Index      int64                      `json:"index"`
	At         string                     `json:"at"`
	Type       Type                       `json:"type"`
	Tenant     ident.Tenant               `json:"tenant"`
	Actor      string                     `json:"actor"`
	Run        string                     `json:"run,omitempty"`
	Mission    string                     `json:"mission,omitempty"`
	Intent     string                     `json:"intent,omitempty"`
	Connection string                     `json:"connection,omitempty"`
	Tool       string                     `json:"tool,omitempty"`
	Fields     map[string]json.RawMessage `json:"fields,omitempty"`
}

// version is that of the entry's form.
const version = 1

// timeForm is RFC 3339 in UTC with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

// Encode checks an event and gives the bytes of its entry. Kind Invalid. They are
// written in their canonical form at once, since every call waits for some of them:
// the keys in order, and nothing but strings of valid UTF-8 and integers that JSON
// keeps exactly.
func Encode(index int64, ev Event) ([]byte, error) {
	if err := ev.check(); err != nil {
		return nil, err
	}
	if index < 0 || index > maxNumber {
		return nil, fault.New(fault.Invalid, "encoding an audit entry: its index can't be kept exactly")
	}
	b := append(make([]byte, 0, 1024), '{')
	b = appendName(b, "actor", ev.Actor)
	b = appendName(b, "at", formatTime(ev.At))
	b = appendName(b, "connection", ev.Connection)
	b, err := appendFields(b, ev.Type, ev.Fields)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendInt(append(b, `"index":`...), index, 10)
	b = append(b, ',')
	b = appendName(b, "intent", ev.Intent)
	b = appendName(b, "mission", ev.Mission)
	b = appendName(b, "run", ev.Run)
	b = appendName(b, "tenant", string(ev.Tenant))
	b = appendName(b, "tool", ev.Tool)
	b = appendName(b, "type", string(ev.Type))
	b = append(strconv.AppendInt(append(b, `"v":`...), version, 10), '}')
	if len(b) > MaxEntry {
		return nil, fault.Newf(fault.Invalid, "an audit entry of type %s is larger than %d KiB", ev.Type, MaxEntry>>10)
	}
	return b, nil
}

// appendName appends a member of an entry and a comma; nothing where it is empty.
func appendName(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, '"'), key...), `":`...)
	return append(intent.AppendString(b, value), ',')
}

// check says whether the event's head is complete and has its form.
func (ev Event) check() error {
	if _, ok := allowed[ev.Type]; !ok {
		return fault.Newf(fault.Invalid, "%q is not a type of audit event", fault.Quote(string(ev.Type)))
	}
	if err := ident.CheckName(string(ev.Tenant)); err != nil {
		return fault.Wrap(fault.Invalid, "naming the audit entry's tenant", err)
	}
	if y := ev.At.UTC().Year(); ev.At.IsZero() || y < 1970 || y > 9999 {
		return fault.Newf(fault.Invalid, "an audit entry of type %s has no time", ev.Type)
	}
	if ev.Actor == "" {
		return fault.Newf(fault.Invalid, "an audit entry of type %s names no actor", ev.Type)
	}
	for _, s := range []string{ev.Actor, ev.Run, ev.Mission, ev.Intent, ev.Connection, ev.Tool} {
		if s != "" && !isName(s) {
			return fault.Newf(fault.Invalid, "an audit entry of type %s has a name that is too long or not printable", ev.Type)
		}
	}
	return nil
}

// ParseEntry reads the bytes of an entry in their one form: anything that
// [Encode] would not have written is refused. Kind Invalid. Values of Fields are
// string, int64, bool, []string or time.Time.
func ParseEntry(b []byte) (Entry, error) {
	var w wire
	if len(b) > MaxEntry {
		return Entry{}, fault.Newf(fault.Invalid, "the entry is larger than %d KiB", MaxEntry>>10)
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return Entry{}, fault.New(fault.Invalid, "the entry is not JSON of an entry's form")
	}
	at, err := time.Parse(timeForm, w.At)
	if err != nil || w.V != version || w.Index < 0 {
		return Entry{}, fault.New(fault.Invalid, "the entry has no index, time or version that is known")
	}
	fields, err := parseFields(w.Type, w.Fields)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{w.Index, Event{Type: w.Type, Tenant: w.Tenant, At: at, Actor: w.Actor, Run: w.Run, Mission: w.Mission,
		Intent: w.Intent, Connection: w.Connection, Tool: w.Tool, Fields: fields}}
	again, err := Encode(e.Index, e.Event)
	if err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(again, b) {
		return Entry{}, fault.New(fault.Invalid, "the entry is not in canonical form")
	}
	return e, nil
}

func formatTime(t time.Time) string { return t.UTC().Truncate(time.Millisecond).Format(timeForm) }
