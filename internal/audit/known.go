package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// known is what the options say, with the tenants they are about.
type known struct {
	key       string
	keyOf     ident.Tenant
	host      string // of the key's origin
	kept      []kept
	bad       []int // lines of the anchor that are no checkpoint
	witnesses []Witness
	quorum    int
}

// kept is a checkpoint that the log has to continue.
type kept struct {
	Checkpoint
	note []byte
	from string // in words
	own  bool   // the source itself has it
}

func (o VerifyOptions) read() (known, error) {
	k := known{key: o.VerifierKey, witnesses: o.Witnesses, quorum: o.Quorum}
	if k.key != "" {
		v, err := note.NewVerifier(k.key)
		if err != nil {
			return known{}, fault.New(fault.Invalid, "the given verifier key is not a note verifier key").
				WithHint("it looks like <host>/log/<tenant>+<hash>+<base64>")
		}
		if k.host, k.keyOf = splitOrigin(v.Name()); k.keyOf == "" {
			return known{}, fault.New(fault.Invalid, "the given verifier key is not an audit log's")
		}
	}
	if o.KeptCheckpoint != nil {
		c, err := unsignedCheckpoint(o.KeptCheckpoint)
		if err != nil {
			return known{}, fault.Wrap(fault.Invalid, "reading the kept checkpoint", err)
		}
		if tenantOf(c.Origin) == "" {
			return known{}, fault.New(fault.Invalid, "the kept checkpoint is not an audit log's")
		}
		k.kept = append(k.kept, kept{c, o.KeptCheckpoint, "the kept checkpoint", false})
	}
	for _, a := range o.Anchors {
		c, err := unsignedCheckpoint(a.Checkpoint)
		if err != nil || tenantOf(c.Origin) == "" {
			k.bad = append(k.bad, a.Line)
			continue
		}
		k.kept = append(k.kept, kept{c, a.Checkpoint, fmt.Sprintf("line %d of the anchor", a.Line), false})
	}
	return k, CheckWitnesses(o.Witnesses, o.Quorum)
}

// of is what is known about t's log.
func (k known) of(t ident.Tenant) known {
	if k.keyOf != t {
		k.key = ""
	}
	var mine []kept
	for _, c := range k.kept {
		if tenantOf(c.Origin) == t {
			mine = append(mine, c)
		}
	}
	k.kept = mine
	return k
}

func (k known) tenants() []ident.Tenant {
	var out []ident.Tenant
	if k.keyOf != "" {
		out = append(out, k.keyOf)
	}
	for _, c := range k.kept {
		if t := tenantOf(c.Origin); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// CheckpointTenant says whose log a checkpoint claims to be of. Nothing about it is
// checked but its form; Invalid.
func CheckpointTenant(msg []byte) (ident.Tenant, error) {
	k, err := VerifyOptions{KeptCheckpoint: append([]byte{}, msg...)}.read()
	if err != nil {
		return "", err
	}
	return tenantOf(k.kept[0].Origin), nil
}

// tenantOf is whose log an origin names, or "".
func tenantOf(origin string) ident.Tenant {
	_, t := splitOrigin(origin)
	return t
}

// splitOrigin takes an origin apart; the tenant is "" where it is no log's.
func splitOrigin(origin string) (host string, t ident.Tenant) {
	i := strings.LastIndex(origin, "/log/")
	if i < 0 || ident.CheckName(origin[i+len("/log/"):]) != nil {
		return "", ""
	}
	return origin[:i], ident.Tenant(origin[i+len("/log/"):])
}

// Anchored is one line of an anchor: a checkpoint that was put out of the server's
// reach. Checkpoint is nil where the line is none.
type Anchored struct {
	Line       int // from 1
	Checkpoint []byte
}

// anchorLine is a line of an anchor file.
type anchorLine struct {
	At         string `json:"at"`
	Checkpoint string `json:"checkpoint"`
}

// AnchorLine is a checkpoint as one line of an anchor: JSON, with its end. at is
// when it was written, RFC 3339.
func AnchorLine(at string, checkpoint []byte) []byte {
	b, _ := json.Marshal(anchorLine{at, string(checkpoint)}) // two strings
	return append(b, '\n')
}

// ParseAnchor reads an anchor file. A last line without its end was being written
// when the machine stopped, and is passed over; any other line that can't be read
// is one without a checkpoint.
func ParseAnchor(b []byte) []Anchored {
	lines := strings.Split(string(b), "\n")
	var out []Anchored
	for i, l := range lines[:len(lines)-1] {
		a := Anchored{Line: i + 1}
		var in anchorLine
		if json.Unmarshal([]byte(l), &in) == nil && in.Checkpoint != "" {
			a.Checkpoint = []byte(in.Checkpoint)
		}
		out = append(out, a)
	}
	return out
}
