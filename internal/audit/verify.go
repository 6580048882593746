package audit

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// VerifyOptions is what the verifier knows by itself. Both say which log they
// are of; the other logs are verified without.
type VerifyOptions struct {
	VerifierKey    string // a note verifier key, or ""
	KeptCheckpoint []byte // a checkpoint of an earlier verification, or nil
}

// Verify checks every log in src from the first byte: the form, index, tenant
// and columns of every entry, every stored hash, the head, the checkpoint's
// signature, and that the log continues the kept checkpoint. What is wrong is in
// the report; an error says that src could not be read or the options not be
// understood (Invalid). A store without any log has a finding too.
func Verify(ctx context.Context, src Source, opts VerifyOptions) (Report, error) {
	k, err := opts.read()
	if err != nil {
		return Report{}, err
	}
	tenants, err := src.Tenants(ctx)
	if err != nil {
		return Report{}, err
	}
	var rep Report
	for _, t := range tenants {
		v := verification{ctx: ctx, src: src, log: LogReport{Tenant: t, Findings: []Finding{}}, known: k.of(t)}
		if err := v.run(); err != nil {
			return Report{}, fault.Wrap(fault.KindOf(err), "verifying the audit log", err)
		}
		rep.Logs = append(rep.Logs, v.log)
	}
	for _, t := range k.tenants() {
		if !slices.Contains(tenants, t) {
			rep.Logs = append(rep.Logs, missing(t))
		}
	}
	if len(rep.Logs) == 0 {
		rep.Logs = append(rep.Logs, missing(""))
	}
	return rep, nil
}

func missing(t ident.Tenant) LogReport {
	l := LogReport{Tenant: t}
	l.find(LogMissing, -1, "the store has no such audit log")
	return l
}

// known is what the options say, with the tenants they are about.
type known struct {
	key       string
	keyOf     ident.Tenant
	kept      *Checkpoint
	keptBytes []byte
	keptOf    ident.Tenant
}

func (o VerifyOptions) read() (known, error) {
	k := known{key: o.VerifierKey, keptBytes: o.KeptCheckpoint}
	if k.key != "" {
		v, err := note.NewVerifier(k.key)
		if err != nil {
			return known{}, fault.New(fault.Invalid, "the given verifier key is not a note verifier key").
				WithHint("it looks like <host>/log/<tenant>+<hash>+<base64>")
		}
		if k.keyOf = tenantOf(v.Name()); k.keyOf == "" {
			return known{}, fault.New(fault.Invalid, "the given verifier key is not an audit log's")
		}
	}
	if k.keptBytes != nil {
		c, err := unsignedCheckpoint(k.keptBytes)
		if err != nil {
			return known{}, fault.Wrap(fault.Invalid, "reading the kept checkpoint", err)
		}
		if k.keptOf = tenantOf(c.Origin); k.keptOf == "" {
			return known{}, fault.New(fault.Invalid, "the kept checkpoint is not an audit log's")
		}
		k.kept = &c
	}
	return k, nil
}

// CheckpointTenant says whose log a checkpoint claims to be of. Nothing about it is
// checked but its form; Invalid.
func CheckpointTenant(msg []byte) (ident.Tenant, error) {
	k, err := VerifyOptions{KeptCheckpoint: msg}.read()
	return k.keptOf, err
}

// tenantOf is whose log an origin names, or "".
func tenantOf(origin string) ident.Tenant {
	i := strings.LastIndex(origin, "/log/")
	if i < 0 || ident.CheckName(origin[i+len("/log/"):]) != nil {
		return ""
	}
	return ident.Tenant(origin[i+len("/log/"):])
}

// of is what is known about t's log.
func (k known) of(t ident.Tenant) known {
	if k.keyOf != t {
		k.key = ""
	}
	if k.keptOf != t {
		k.kept, k.keptBytes = nil, nil
	}
	return k
}

func (k known) tenants() []ident.Tenant {
	var out []ident.Tenant
	for _, t := range []ident.Tenant{k.keyOf, k.keptOf} {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// verification of one log.
type verification struct {
	ctx   context.Context
	src   Source
	known known
	log   LogReport
}

func (v *verification) run() error {
	head, err := v.src.Head(v.ctx, v.log.Tenant)
	if err != nil {
		return err
	}
	signed := v.head(head)
	w := walk{verification: v, size: head.Size, verifier: head.Verifier, open: head.Size == 0}
	if signed != nil {
		w.size = signed.Size
	}
	if v.known.kept != nil {
		w.keptSize = v.known.kept.Size
	}
	if err := w.run(); err != nil {
		return err
	}
	w.judge(signed)
	v.continues(&w)
	return nil
}

// head checks the head by itself. It returns what the checkpoint says, signed
// or not, or nil where it says nothing readable.
func (v *verification) head(h Head) *Checkpoint {
	l := &v.log
	l.Size, l.Verifier, l.Checkpoint = h.Size, h.Verifier, string(h.Checkpoint)
	if h.Size == 0 {
		l.find(HeadMissing, -1, "the log has no head")
		return nil
	}
	if v.known.key != "" {
		l.Pinned = true
		if l.Verifier = v.known.key; h.Verifier != v.known.key {
			l.find(KeyChanged, -1, "the log's head names another verifier key than the given one")
		}
	}
	c, err := OpenCheckpoint(h.Checkpoint, l.Verifier)
	if err != nil {
		l.find(CheckpointBad, -1, "%s", err.Error())
		if c, err = unsignedCheckpoint(h.Checkpoint); err != nil {
			return nil
		}
	}
	if tenantOf(c.Origin) != l.Tenant {
		l.find(CheckpointBad, -1, "the checkpoint is of another tenant's log")
	}
	if c.Size != h.Size {
		l.find(CheckpointSize, -1, "the head has %d entries, its checkpoint %d", h.Size, c.Size)
	}
	l.Root = c.Root.String()
	return &c
}

// continues compares with the kept checkpoint.
func (v *verification) continues(w *walk) {
	kept := v.known.kept
	if kept == nil {
		return
	}
	v.log.Against = true
	if _, err := OpenCheckpoint(v.known.keptBytes, v.log.Verifier); err != nil {
		v.log.find(KeptUnverifiable, -1, "the kept checkpoint is not signed by the log's key")
	}
	switch {
	case kept.Size > w.size:
		v.log.find(Truncated, -1, "the log has %d entries, the kept checkpoint %d", w.size, kept.Size)
	case w.keptRoots == nil:
		v.log.find(Truncated, -1, "the entries that the kept checkpoint covers are not all there")
	case !slices.Contains(w.keptRoots, kept.Root):
		v.log.find(Forked, -1, "its first %d entries are not those that the kept checkpoint covers", kept.Size)
	}
}

// sameColumns names the first column that is not what the entry says, or "".
func sameColumns(got, want Columns) string {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"at", got.At == want.At}, {"type", got.Type == want.Type}, {"actor", got.Actor == want.Actor}, {"run", got.Run == want.Run},
		{"intent", got.Intent == want.Intent}, {"connection", got.Connection == want.Connection},
	} {
		if !c.same {
			return c.name
		}
	}
	return ""
}

// opens says whether the first entry introduces the key that signs.
func opens(e Entry, verifier string) bool {
	s, _ := e.Fields["verifier"].(string)
	return e.Type == LogOpened && bytes.Equal([]byte(s), []byte(verifier))
}
