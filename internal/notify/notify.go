// Package notify tells people that a Decision waits for them, and what became of
// it: by a signed webhook, a message to Slack, or e-mail, as Channels say.
//
// Messages are rows that a store wrote in the same transaction as what they
// announce; this package carries them out, each at least once, with an id that is
// the same at every try. A Channel that fails holds up no other: each has one
// message under way at most, and a pause that grows while it fails. After a day a
// message is given up.
//
// It refuses to tell what a Worker or a system wrote: arguments, reasons, answers
// and secrets are in no message. What it tells are names that builders gave, and
// ids. It follows no redirect, shows nothing of what a receiver answers, and
// takes the address of links from the configuration alone.
//
// # Security
//
// Credentials are used through the vault's doors, each bound to the Channel's
// origin; no value of this package has one. Each text of a message goes through
// the tenant's secrets and the search for unknown ones, and each message as a whole
// is refused by the door when a known secret is in it. The use of a credential is in
// the audit log before the first try.
package notify

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/catalog"
	"sallyport.dev/internal/connector/dial"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/smtpcred"
)

// How messages are worked off.
const (
	workers   = 8                // Channels that are spoken to at once
	idle      = time.Second      // between looks, when no commit says that there is something
	sendFor   = 20 * time.Second // of one try
	giveUp    = 24 * time.Hour   // after the first try was due
	firstWait = 5 * time.Second  // after the first failure
	maxWait   = time.Hour        // between tries
	maxAfter  = 6 * time.Hour    // that a receiver's Retry-After is heeded
	patience  = 3                // failures in a row before all else of the Channel waits too
	tellEvery = time.Hour        // between entries of the audit log about failures of one Channel
)

// Lane is one Channel of one tenant.
type Lane struct {
	Tenant  ident.Tenant
	Channel string
}

// Notice is one message that is to be sent. It refers to what it tells of.
type Notice struct {
	Lane
	ID       string // "msg_…": the same at every try
	Event    resource.Event
	Decision string // or empty
	Run      string
	Mission  string
	Team     string    // the name, or empty
	At       time.Time // when it was to be sent first
	Tries    int
}

// State is how a Channel does.
type State struct {
	Fails   int       // in a row
	Since   time.Time // when they began
	ToldAt  time.Time // when the audit log was last told of a failure
	Failing bool      // it was told, and of no recovery since
	NextAt  time.Time // nothing is sent before
	TriedAt time.Time
	SentAt  time.Time // when a message was last accepted
	Dropped int64     // messages that were given up
	Problem string    // the last failure, in words of this product
}

// Try is what became of one.
type Try struct {
	Notice  Notice
	Sent    bool      // it is taken out; else:
	Again   time.Time // when it is due again
	GiveUp  time.Time // what of the Channel was due before is taken out
	Dropped audit.Event
	State   State
	Events  []audit.Event
}

// Store keeps messages and the state of Channels. What a method does is durable
// when it returns.
type Store interface {
	DueLanes(ctx context.Context, now time.Time) ([]Lane, error)
	NextNotice(ctx context.Context, l Lane, now time.Time) (Notice, error) // NotFound: none is due
	DropNotice(ctx context.Context, n Notice) error
	Tried(ctx context.Context, t Try) error
	ChannelState(ctx context.Context, l Lane) (State, error)
	WaitingNotices(ctx context.Context, l Lane, now time.Time) (int, error)
	Opened(ctx context.Context, l Lane, at time.Time) error // a test was accepted then: it is held back no longer
	Record(ctx context.Context, events ...audit.Event) error
	Noticed() <-chan struct{}
	Decision(ctx context.Context, tenant ident.Tenant, id string) (decision.Decision, error)
	Intent(ctx context.Context, tenant ident.Tenant, id string) (intent.Intent, error)
}

// Vault opens the doors of Channels.
type Vault interface {
	Head(ctx context.Context, t ident.Tenant, ref string) (vault.Meta, error)
	OpenChannel(ctx context.Context, c vault.ChannelSpec) (http.RoundTripper, error)
	OpenMail(ctx context.Context, m vault.MailSpec) (*smtpcred.Session, error)
}

// Config is what a Notifier is made of; all but PublicURL and RootCAs is needed.
type Config struct {
	Store   Store
	Vault   Vault
	Catalog func(ident.Tenant) (*catalog.Snapshot, error)
	// Clean takes what is secret, and what looks like it, out of a text.
	Clean func(ident.Tenant, string) string
	// PublicURL is where people reach the server; without one, messages have no
	// link.
	PublicURL string
	RootCAs   *x509.CertPool // nil: the machine's
	Now       func() time.Time
	Random    func() float64 // from 0 to 1, for waits that differ
	Log       *slog.Logger
	// Sent is called between a message's acceptance and its entry in the store,
	// for the test that ends the process there.
	Sent func(Notice)
}

// Notifier sends messages. Safe for concurrent use.
type Notifier struct {
	Config
	public string // without a slash at the end; empty: no links
	busy   sync.Map
	freed  chan struct{}
}

// New makes one. Invalid: a public URL that is none.
func New(c Config) (*Notifier, error) {
	if c.Store == nil || c.Vault == nil || c.Catalog == nil || c.Clean == nil || c.Now == nil || c.Random == nil || c.Log == nil {
		return nil, fault.New(fault.Internal, "a notifier without a store, a vault, a catalogue, scrubbing, a clock, chance or a log")
	}
	n := &Notifier{Config: c, freed: make(chan struct{}, 1)}
	if c.PublicURL == "" {
		return n, nil
	}
	u, err := url.Parse(c.PublicURL)
	if err == nil {
		_, err = resource.ParseOrigin(u)
	}
	if err != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "the public URL can't be read").WithHint("write it like https://sallyport.example.com")
	}
	n.public = strings.TrimRight(u.String(), "/")
	return n, nil
}

// Links reports whether messages can have a link.
func (n *Notifier) Links() bool { return n.public != "" }

// Run works until ctx ends, then waits for what is under way.
func (n *Notifier) Run(ctx context.Context) {
	var wg crash.Group
	free := make(chan struct{}, workers)
	for ctx.Err() == nil {
		n.offer(ctx, free, &wg)
		select {
		case <-ctx.Done():
		case <-n.Store.Noticed():
		case <-n.freed:
		case <-time.After(idle):
		}
	}
	wg.Wait()
}

// offer gives each Channel that has something due to a worker, as long as there
// is a free one.
func (n *Notifier) offer(ctx context.Context, free chan struct{}, wg *crash.Group) {
	lanes, err := n.Store.DueLanes(ctx, n.Now())
	if err != nil && ctx.Err() == nil {
		n.Log.ErrorContext(ctx, "the messages of Channels can't be read", slog.Any("kind", fault.KindOf(err)))
	}
	for _, l := range lanes {
		if _, taken := n.busy.LoadOrStore(l, true); taken {
			continue
		}
		select {
		case free <- struct{}{}:
		default: // every worker is busy; it is offered again when one is free
			n.busy.Delete(l)
			return
		}
		wg.Go(func() {
			crash.Guard(func() {
				n.work(ctx, l)
				n.busy.Delete(l)
			}, func(p *crash.Panic) { // the Channel is left alone until a restart; the others go on
				p.Log(ctx, n.Log)
			})
			<-free
			select {
			case n.freed <- struct{}{}:
			default:
			}
		})
	}
}

// options are how every Channel is reached.
func (n *Notifier) options() dial.Options { return dial.Options{RootCAs: n.RootCAs} }
