package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// Audit is the server's file on where the audit log's checkpoints go.
type Audit struct {
	// Origin begins the log's name, as others know it: a host name of the
	// operator's. It counts when a log begins, and never changes after.
	Origin    string         `yaml:"origin,omitempty"`
	Witnesses AuditWitnesses `yaml:"witnesses,omitempty"`
	Anchors   AuditAnchors   `yaml:"anchors,omitempty"`
	Sinks     []AuditSink    `yaml:"sinks,omitempty"`     // that get every entry
	Retention AuditRetention `yaml:"retention,omitempty"` // of bodies
}

// AuditSink is where entries go; exactly one of the three is set.
type AuditSink struct {
	File    *AuditFile    `yaml:"file,omitempty"`
	Syslog  *AuditSyslog  `yaml:"syslog,omitempty"`
	Webhook *AuditWebhook `yaml:"webhook,omitempty"`
}

// AuditFile is a file of JSON lines.
type AuditFile struct {
	Path     string `yaml:"path"`               // absolute, outside of the data directory
	MaxBytes int64  `yaml:"maxBytes,omitempty"` // before another is begun, default 256 MiB
}

// AuditWebhook is a receiver of signed messages.
type AuditWebhook struct {
	URL     string           `yaml:"url"`
	Secret  string           `yaml:"secret"` // the Secret with the signing key, as a Channel has it
	Network resource.Network `yaml:"network,omitempty"`
}

// AuditRetention says how long bodies are kept: arguments, answers, transcripts.
type AuditRetention struct {
	Days int `yaml:"days,omitempty"` // after the end of a Run; 0: for ever
	// LogDays is how long the audit log's own entries are kept; 0: for ever.
	LogDays int `yaml:"logDays,omitempty"`
}

// AuditWitnesses are servers of others that cosign checkpoints.
type AuditWitnesses struct {
	Quorum int               `yaml:"quorum,omitempty"` // how many have to
	Every  resource.Duration `yaml:"every,omitempty"`  // how often they are visited
	List   []AuditWitness    `yaml:"list"`
}

// AuditWitness is one of them.
type AuditWitness struct {
	URL string `yaml:"url"` // before "/add-checkpoint"
	Key string `yaml:"key"` // its verifier key
}

// AuditAnchors are places that checkpoints are written to.
type AuditAnchors struct {
	Every   resource.Duration `yaml:"every,omitempty"`
	Entries int64             `yaml:"entries,omitempty"` // or when so many entries have come
	File    string            `yaml:"file,omitempty"`    // an absolute path, outside of the data directory
	Syslog  *AuditSyslog      `yaml:"syslog,omitempty"`
}

// AuditSyslog is a syslog server.
type AuditSyslog struct {
	Network string `yaml:"network"` // tls, tcp, udp or unixgram
	Address string `yaml:"address"`
	CAFile  string `yaml:"caFile,omitempty"` // certificates for tls; the system's, without
}

// LoadAudit reads the file. The error, of kind Invalid, joins an [*Error] for
// everything that is wrong with its form; what the values mean is checked where
// they are used.
func LoadAudit(name string) (Audit, error) {
	dir, file := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Audit{}, fault.Newf(fault.Invalid, "%s can't be opened", fault.Quote(dir))
	}
	defer func() { _ = root.Close() }() // it was only read
	return auditFrom(root.FS(), file)
}

func auditFrom(fsys fs.FS, name string) (out Audit, err error) {
	l := newLoader(Options{})
	l.fsys = fsys
	b := l.readFile(place{file: name}, name, maxFile)
	if b == nil {
		return Audit{}, l.err()
	}
	docs := (&reader{report: l.report, file: name}).read(b)
	if len(docs) != 1 && len(l.errs) == 0 {
		l.addf(place{file: name}, "it is not one document")
	}
	if len(docs) == 1 {
		d := &decoder{report: l.report, places: places{}}
		d.decode(docs[0], reflect.ValueOf(&out).Elem(), "")
	}
	if err := l.err(); err != nil {
		return Audit{}, err
	}
	return out, nil
}
