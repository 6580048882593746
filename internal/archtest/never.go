package archtest

// Never is an import that must not exist.
type Never struct {
	From       string   // pattern
	Except     []string // packages of From that may
	To         string   // pattern
	Transitive bool     // not by way of others either
	Why        string
}

// Nevers are the imports that no layer may have. Everything that the layers
// forbid already is not repeated here.
var Nevers = []Never{
	{From: "...", Except: []string{"internal/vault/..."}, To: "internal/vault/internal/...",
		Why: "plaintext stays in the vault; the compiler enforces it too, as long as the directory is called internal"},
	{From: "internal/mission", To: "internal/vault/...", Transitive: true,
		Why: "the reasoning plane runs on hosts that hold no key"},
	{From: "internal/connector/...", To: "internal/vault/...", Transitive: true,
		Why: "a connector sends through a door and never sees a credential"},
	{From: "...", Except: []string{"internal/app", "internal/storetest"}, To: "internal/sqlite",
		Why: "stores are wired in one place; everybody else declares the interface that they need"},
	{From: "...", Except: []string{"internal/app"}, To: "internal/engine/...",
		Why: "engines are wired in one place"},
	{From: "examples/...", To: "internal/...",
		Why: "the example systems are somebody else's programs"},
	{From: "client/...", To: "internal/...",
		Why: "the client is for other people's programs, which can't have what is internal"},
	{From: "...", Except: []string{"internal/demo", "internal/cli", "examples/..."}, To: "examples/...",
		Why: "only the demo and its command know the example company"},
	{From: "...", Except: []string{"internal/archtest", "internal/doctest"}, To: "golang.org/x/tools/...",
		Why: "analysis of Go code has no place in the binary"},
}

// OnlyBy is a function or method that few may use, besides its own package.
type OnlyBy struct {
	Object string // "internal/scrub.Build", "internal/commit.Machine.Execute"
	By     []string
	Why    string
}

// Reserved are those functions.
var Reserved = []OnlyBy{
	{Object: "internal/scrub.Build", By: []string{"internal/vault/...", "internal/origin"},
		Why: "a scrub.Set knows secret bytes: the vault alone builds one; origin's have a Worker's arguments, to find them encoded"},
	{Object: "internal/commit.Machine.Execute", By: []string{"internal/gate"},
		Why: "no effect without gate.Admit"},
	{Object: "internal/commit.New", By: []string{"internal/app"},
		Why: "one machine in the program: it is what stops everything when an outcome can't be recorded"},
	{Object: "internal/connector.Kind.Do", By: []string{"internal/gate"},
		Why: "no request without an attempt that was claimed"},
	{Object: "internal/vault.Vault.Open", By: []string{"internal/gate"},
		Why: "a door is opened for an admitted Intent, after its audit entry"},
	{Object: "internal/vault.Vault.OpenChannel", By: []string{"internal/notify"},
		Why: "the doors of Channels tell people, and do nothing for a Worker"},
	{Object: "internal/vault.Vault.OpenMail", By: []string{"internal/notify"},
		Why: "the doors of Channels tell people, and do nothing for a Worker"},
	{Object: "internal/vault/backend.Backend.Fetch", By: []string{"internal/vault", "internal/vault/backend/backendtest"},
		Why: "what is fetched is scrubbed for before anything is done with it"},
	{Object: "internal/vault/backend.Holder.Make", By: []string{"internal/vault", "internal/vault/backend/vaultlease"},
		Why: "what is made is on record before it is, and scrubbed for before it is used"},
	{Object: "internal/vault/backend.Writer.Create", By: []string{"internal/vault", "internal/vault/backend/backendtest"},
		Why: "a value leaves the store by Move alone, which is on the record"},
	{Object: "internal/vault.Vault.MakeVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.ApplyVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.TryVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.DeleteVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.ClearMade", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.SwitchVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.ReturnVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault.Vault.EndVersion", By: []string{"internal/rotation"},
		Why: "each step of a rotation is on the record before it is made"},
	{Object: "internal/vault/httpcred.Inject", By: []string{"internal/vault", "internal/vault/internal/rotator"},
		Why: "a credential goes through a door; a rotation's order does not, since its answer has a value that no door may show"},
	{Object: "internal/gate.Vault.Open", By: nil,
		Why: "a door is opened for an admitted Intent, after its audit entry"},
	{Object: "internal/vault/internal/plain.Bytes", By: []string{"internal/vault/..."},
		Why: "whoever calls it holds plaintext"},
}

// Pure are the packages that touch no network, disk, logger or clock: functions
// of their inputs, so that they can be fuzzed and trusted.
var Pure = []string{
	"internal/fault", "internal/ident", "internal/crash", "internal/intent", "internal/resource", "internal/passkey",
	"internal/scrub", "internal/scrub/unknown", "internal/policy", "internal/blast", "internal/wire/...",
}

// impure is what a pure package must not use: packages, or single objects of
// packages that are pure otherwise.
var impure = []string{
	"net", "net/http", "net/http/...", "net/rpc", "net/smtp", "os", "os/...", "io/ioutil",
	"log", "log/...", "database/sql", "syscall", "golang.org/x/sys/...", "plugin", "testing/...",
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc",
	"time.Tick", "time.NewTimer", "time.NewTicker",
	"context.WithTimeout", "context.WithTimeoutCause", "context.WithDeadline", "context.WithDeadlineCause",
	"path/filepath.Walk", "path/filepath.WalkDir", "path/filepath.Glob", "path/filepath.EvalSymlinks", "path/filepath.Abs",
}

// harmless are functions of impure packages that compute only.
var harmless = []string{"net.SplitHostPort", "net.JoinHostPort", "net.ParseIP", "net.ParseCIDR"}

// Exception is one use that a pure package is allowed.
type Exception struct {
	Package string
	Object  string // with everything below it: "net/http.Header" has its methods too
	Why     string
}

// Exceptions are all of them.
var Exceptions = []Exception{
	{"internal/scrub", "net/http.Header", "a map of strings with methods; headers are scrubbed by name"},
	{"internal/scrub", "os.ErrDeadlineExceeded", "an error value that is passed on by identity"},
	{"internal/scrub", "log/slog.Handler", "scrub.Handler wraps the handler that it is given and makes none"},
	{"internal/scrub", "log/slog.Record", "what a handler handles"},
	{"internal/scrub", "log/slog.NewRecord", "a handler changes a copy"},
	{"internal/scrub", "log/slog.Attr", "what a record holds"},
	{"internal/scrub", "log/slog.Value", "what an attribute holds"},
	{"internal/scrub", "log/slog.Level", "which records are enabled"},
	{"internal/scrub", "log/slog.StringValue", "the scrubbed text"},
	{"internal/scrub", "log/slog.GroupValue", "the scrubbed group"},
}

// begin are the ways to begin a goroutine.
var begin = []string{goStatement, "sync.WaitGroup.Go", "context.AfterFunc", "time.AfterFunc", "golang.org/x/sync/errgroup.Group.Go", "golang.org/x/sync/errgroup.Group.TryGo"}

// Goroutine is one that a package may begin by itself.
type Goroutine struct{ Package, Object, Why string }

// Goroutines are all of them.
var Goroutines = []Goroutine{
	{"internal/cli", "context.AfterFunc", "it runs the standard library's stop, which is a no-op when it ran before"},
	{"internal/doctest", goStatement, "it is for tests, which a panic may end"},
	{"internal/storetest", "sync.WaitGroup.Go", "it is for tests, which a panic may end"},
	{"internal/dbtest", goStatement, "it is for tests, which a panic may end"},
	{"internal/mailtest", "sync.WaitGroup.Go", "it is for tests, which a panic may end"},
	{"internal/vault/proccred", "context.AfterFunc", "it sets a deadline on a pipe, and nothing else"},
	{"internal/vault/smtpcred", "context.AfterFunc", "it sets a deadline on a connection, and nothing else"},
}

// pureModules are the modules from outside that pure packages may import. Layer
// 0 has none.
var pureModules = map[string]string{
	"github.com/fxamacker/cbor/v2":     "WebAuthn's binary form; the library does no I/O",
	"github.com/cedar-policy/cedar-go": "policy evaluates Cedar; the library does no I/O",
	"golang.org/x/text":                "Unicode tables",
}

// maxLines is a file's length that needs no reason.
const maxLines = 500

// Long are the files that are longer, with the reason.
var Long = map[string]string{}
