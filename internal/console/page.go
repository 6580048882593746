package console

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/vault"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// Frame is what every page has around it.
type Frame struct {
	Title string
	Now   time.Time
	Nonce string
	Live  bool // it has the script that shows what happens
	// Intake: it has the script that encrypts values.
	Intake bool
	// Passkey: it has the script that asks for one.
	Passkey bool
	Who     ident.Principal
	Nav     []link
	Done    string // what was just done
	// Stops is what a person has stopped; NoStops says that it can't be read.
	Stops   []intent.Stop
	NoStops bool
}

type link struct {
	Path, Label string
	Here        bool
}

// Resumes says whether who is signed in may lift a stop.
func (f *Frame) Resumes() bool { return f.Who.Has(ident.Admin) }

func (f *Frame) frame() *Frame { return f }

// page is the data of one template, pages/NAME.html.
type page interface {
	name() string
	frame() *Frame
}

// pages are all of them.
var pages = []page{
	&signInPage{}, &passwordPage{}, &homePage{}, &portalPage{}, &missionPage{}, &runsPage{}, &runPage{}, &queuePage{},
	&decisionPage{}, &togetherPage{}, &passkeysPage{}, &unknownPage{}, &incidentsPage{}, &incidentPage{}, &secretsPage{}, &secretPage{}, &confirmPage{}, &auditPage{}, &auditQueryPage{}, &replayPage{},
	&rotationsPage{}, &rotationPage{}, &leasesPage{}, &changesPage{}, &changePage{}, &connectionsPage{}, &connectionPage{},
	&stopsPage{}, &problemPage{},
}

// templates has each page with the frame and the parts, by the page's name.
var templates = parse()

func parse() map[string]*template.Template {
	common := template.Must(template.New("frame").Option("missingkey=error").Funcs(functions).ParseFS(pageFiles, "pages/frame.html", "pages/parts.html"))
	out := map[string]*template.Template{}
	for _, p := range pages {
		t := template.Must(common.Clone())
		out[p.name()] = template.Must(t.ParseFS(pageFiles, "pages/"+p.name()+".html"))
	}
	return out
}

var functions = template.FuncMap{
	"visible": visible,
	"pretty":  pretty,
	"asset":   assetPath,
	"stamp":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"instant": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"span":    span,
	"word":    func(s any) string { return strings.ToLower(strings.ReplaceAll(text(s), "_", " ")) },
	"sub":     func(a, b time.Time) time.Duration { return a.Sub(b) },
	"ms":      time.UnixMilli,
	"string":  func(b []byte) string { return string(b) },
	"near":    near,
	"says":    sentence,
	"needs":   func(n []decision.Need) string { return decision.Says(n) },
	"held":    func() string { return decision.HeldText },
	"short":   func(id string) string { return id[:min(len(id), 10)] },
	"inside":  localPath,
	"away":    away,
	"after":   func(index int64) int64 { return index + 1 },
	"deref":   func(n *int64) int64 { return *n },
	"last":    func(v []vault.Version) vault.Version { return v[len(v)-1] },
}

// done has the sentences that a redirect's "done" parameter can ask for: nothing
// of an address is repeated on a page.
var done = map[string]string{
	"password":   "Your password is changed. Every other session of yours has ended.",
	"signout":    "You are signed out.",
	"stored":     "The value is stored. It can't be read back.",
	"changed":    "It is changed.",
	"destroyed":  "Every version of the Secret is destroyed.",
	"edited":     "It is changed, and waits for votes on what it is now.",
	"asked":      "Who started the Run reads the question on the Run's page.",
	"answered":   "Your answer is on the record, and on the Decision's page.",
	"decided":    "Your verdict is on the record.",
	"closed":     "The incident is closed.",
	"enrolled":   "The passkey is enrolled. It may have to wait before it counts: see below.",
	"removed":    "The passkey is removed.",
	"resolved":   "Your word is on the record.",
	"stopped":    "The Run was stopped.",
	"settled":    "Your word is on the record, and holds from now on.",
	"turned":     "Your word is on the record. The rotation goes on, or has ended.",
	"authorised": "The Connection is authorised. Its tokens are in the vault, and can't be read back.",
	"switched":   "It is stopped. What was claimed before may still end; nothing more is begun.",
	"resumed":    "It goes on.",
}

// render writes a page. It is made whole before the first byte leaves, so that
// an error in it is an error page.
func (v *visit) render(status int, p page) {
	f := p.frame()
	f.Now, f.Nonce, f.Who = v.Now(), rand.Text(), v.who
	f.Nav = navigation(v.who, v.URL.Path)
	f.Stops, f.NoStops = v.stopped()
	if f.Done == "" && v.Method == http.MethodGet {
		f.Done = done[v.FormValue("done")]
	}
	var b bytes.Buffer
	if err := templates[p.name()].ExecuteTemplate(&b, "frame", p); err != nil {
		v.Log.ErrorContext(v.Context(), "a page can't be made", slog.String("page", p.name()), slog.Any("error", err))
		http.Error(v.w, "This page can't be shown. The server's log has the cause.", http.StatusInternalServerError)
		return
	}
	// What became a Secret after it was recorded: the store has texts of all ages.
	out, _ := v.Vault.Scrub(v.who.Tenant).Bytes(b.Bytes())
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy(f.Nonce, f.Live, f.Intake || f.Passkey))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(out) // the client is gone when this fails
}

// navigation lists the pages that a person may open.
func navigation(who ident.Principal, path string) []link {
	if !who.Valid() {
		return nil
	}
	nav := []link{{Path: "/", Label: "Home"}}
	add := func(path, label string, acc access) {
		if acc.allows(who) {
			nav = append(nav, link{Path: path, Label: label})
		}
	}
	add("/portal", "Portal", with(ident.Requester))
	add("/runs", "Runs", signedIn)
	add("/decisions", "Decision Queue", deciders)
	add("/unknown", "Unknown outcomes", with(ident.Admin, ident.Auditor))
	add("/stops", "Kill switch", deciders)
	add("/incidents", "Incidents", incidentReaders)
	add("/changes", "Changed tools", connectionReaders)
	add("/connections", "Connections", connectionReaders)
	add("/secrets", "Secrets", with(ident.Admin, ident.Builder, ident.Auditor))
	add("/rotations", "Rotation", connectionReaders)
	add("/leases", "Credentials of Runs", with(ident.Admin, ident.Auditor))
	add("/audit", "Audit log", with(ident.Auditor, ident.Admin))
	for i, l := range nav {
		nav[i].Here = path == l.Path || l.Path != "/" && strings.HasPrefix(path, l.Path+"/")
	}
	return nav
}

// assets are the files that pages refer to; their address has their hash, so
// that a browser can keep them for ever.
var assets = map[string]asset{
	"console.css": loadAsset("console.css", "text/css; charset=utf-8"),
	"console.js":  loadAsset("console.js", "text/javascript; charset=utf-8"),
	"passkey.js":  loadAsset("passkey.js", "text/javascript; charset=utf-8"),
	"intake.js":   loadAsset("intake.js", "text/javascript; charset=utf-8"),
	"icon.svg":    loadAsset("icon.svg", "image/svg+xml"),
}

type asset struct {
	hash, mime string
	body       []byte
}

func loadAsset(name, mime string) asset {
	b, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		panic("console: " + err.Error()) // it is compiled in
	}
	sum := sha256.Sum256(b)
	return asset{hex.EncodeToString(sum[:8]), mime, b}
}

func assetPath(name string) string { return "/assets/" + assets[name].hash + "/" + name }

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := assets[r.PathValue("name")]
	if !ok || a.hash != r.PathValue("hash") {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body) // the client is gone when this fails
}
