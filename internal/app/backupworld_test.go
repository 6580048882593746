package app

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/commit"
	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/gate"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/identity"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/sqlite"
	"sallyport.dev/internal/vault"
	"sallyport.dev/internal/vault/kek"
)

// It must see inside: what is open is made in the store.

// What is searched for in what was stolen.
const (
	secretCanary   = "cnry-8Zr2Tq6Lw0Xv-erp-token"
	businessCanary = "the supplier Halvorsen & Sons has a new account number"
)

const adminPassword = "correct horse battery"

// office is a program with people, Secrets, and work in every state.
type office struct {
	*calendar
	dir     string // data and seal.key are in it
	admin   identity.Account
	codes   identity.Enrolment
	session string            // the admin's token
	run     string            // an open Run of a Worker outside
	token   string            // the Run's
	intents map[string]string // by effect and state
}

func newOffice(t *testing.T, dir string) *office {
	t.Helper()
	o := &office{calendar: open(t, dir, monday.Add(time.Hour)), dir: dir, intents: map[string]string{}}
	o.apply(weekly())
	o.at(o.time) // the schedule is seen for the first time
	setup := ident.Principal{Tenant: "acme", Kind: ident.System, ID: "setup"}
	var err error
	o.admin, o.codes, err = o.Directory.CreateAccount(t.Context(), setup, identity.NewAccount{Tenant: "acme", Name: "ann", Roles: []ident.Role{ident.Admin}, Password: adminPassword}, o.time)
	o.must(err)
	_, err = o.Directory.ApplyTeam(t.Context(), setup, "acme", resource.Team{Head: resource.Head{Name: "finance"}, Members: []string{"ann"}}, o.time)
	o.must(err)
	_, o.session, err = o.Directory.SignIn(t.Context(), "acme", "ann", adminPassword, o.code(), o.time)
	o.must(err)
	for _, tenant := range []ident.Tenant{"acme", "globex"} {
		_, err := o.Vault.Set(t.Context(), vault.Write{Tenant: tenant, Name: "erp", AnyOrigin: true, Actor: ident.Principal{Tenant: tenant, Kind: ident.System, ID: "setup"},
			Fields: map[string][]byte{"token": []byte(secretCanary + "-" + string(tenant))}})
		o.must(err)
	}
	o.work()
	return o
}

// code is a one-time code that was not used yet.
func (o *office) code() string {
	o.t.Helper()
	o.time = o.time.Add(time.Minute)
	c, err := identity.Code(o.codes.Secret, o.codes.Alg, o.time)
	o.must(err)
	return c
}

// work leaves a Run with an Intent in every state that is not final, and some
// that are.
func (o *office) work() {
	o.t.Helper()
	o.run = ident.New("run")
	_, err := o.store.CreateRun(o.t.Context(), gate.NewRun{Run: intent.Run{Tenant: "acme", ID: o.run, Mission: "weekly", Starter: "person:acc_1",
		Worker: intent.Outside, Input: json.RawMessage(`{"what":"` + businessCanary + `"}`), State: intent.RunRunning, CreatedAt: o.time},
		Outbox: []commit.Message{{Kind: commit.MsgSegment, Ref: o.run, Due: o.time}}})
	o.must(err)
	o.token, err = o.Directory.MintRun(o.t.Context(), "acme", o.run, o.time.Add(time.Hour), o.time)
	o.must(err)
	for _, effect := range []resource.Effect{resource.Read, resource.Write} {
		for _, s := range []intent.State{intent.Parked, intent.Approved, intent.Claimed, intent.Sending, intent.Unknown, intent.Committed, intent.Denied} {
			o.propose(effect, s)
		}
	}
}

func (o *office) propose(effect resource.Effect, s intent.State) {
	o.t.Helper()
	id := ident.New("int")
	o.intents[string(effect)+" "+string(s)] = id
	p := gate.Proposed{Own: true, ArgsDigest: intent.Digest(id), Intent: intent.Intent{Tenant: "acme", ID: id, Revision: 1, Run: o.run, Mission: "weekly",
		Connection: "erp", Tool: "list", Effect: effect, State: s, Digest: intent.SHA256([]byte(id)), Reason: businessCanary, CreatedAt: o.time}}
	if s == intent.Parked || s == intent.Approved {
		p.Decision = &decision.Decision{Tenant: "acme", ID: ident.New("dec"), Intent: id, Revision: 1, Run: o.run, Mission: "weekly", Digest: p.Intent.Digest,
			Needs: []decision.Need{{Team: "finance", Count: 1}}, State: decision.Open, CreatedAt: o.time, ExpiresAt: o.time.Add(time.Hour)}
		if s == intent.Approved {
			p.Decision.State, p.Decision.DecidedAt = decision.Approved, o.time
			p.Decision.Votes = []decision.Vote{{Account: o.admin.ID, Verdict: decision.Approve, At: o.time}}
		}
	}
	_, _, err := o.store.Propose(o.t.Context(), p)
	o.must(err)
}

// who is the admin.
func (o *office) who() ident.Principal { return o.admin.Principal() }

// backup makes one into a file beside the data directory.
func (o *office) backup(name string) (file string) {
	o.t.Helper()
	file = filepath.Join(o.dir, name)
	o.must(NewFile(file, func(w io.Writer) error {
		return o.Backup(o.t.Context(), o.who(), adminPassword, o.code(), "a test", w)
	}))
	return file
}

// config restores a backup with the key file to a directory that is not there.
func (o *office) config(file string) RestoreConfig {
	return RestoreConfig{File: file, Dir: filepath.Join(o.t.TempDir(), "new"), Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(o.dir, "seal.key"))},
		LogHandler: slog.DiscardHandler, Now: func() time.Time { return o.time }}
}

// tamper changes the database beside the running server.
func (o *office) tamper(query string) {
	o.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(o.dir, "data", sqlite.File)+"?_pragma=busy_timeout(5000)")
	o.must(err)
	r, err := db.Exec(query)
	o.must(errors.Join(err, db.Close()))
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		o.t.Fatalf("the attack changed nothing: %v", err)
	}
}

// nothingLeft says that the directory was not made, and nothing else beside it.
func nothingLeft(t *testing.T, c RestoreConfig) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(c.Dir))
	if err != nil || len(entries) > 0 {
		t.Errorf("%v is left: %v", entries, err)
	}
}

// restored starts a program, without its loops, over what was restored.
func (o *office) restored(dir string) *App {
	o.t.Helper()
	a, err := New(o.t.Context(), Config{Dir: dir, Tenant: "acme", LogHandler: slog.DiscardHandler, Now: o.now, Seals: []kek.Seal{kek.NewKeyFile(filepath.Join(o.dir, "seal.key"))}})
	o.must(err)
	o.t.Cleanup(func() { o.must(a.Stop(context.WithoutCancel(o.t.Context()))) })
	o.must(a.Vault.Unseal(o.t.Context(), a.store, a.cfg.Seals...))
	o.must(a.loadWorlds(o.t.Context()))
	return a
}

// shown names the encodings in which a text is in a file: as it is, in hex, and in
// base64 at each of the three alignments.
func shown(t *testing.T, file, text string) (as []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lower := bytes.ToLower(b)
	for name, form := range map[string]string{"raw": text, "hex": hex.EncodeToString([]byte(text))} {
		if bytes.Contains(lower, []byte(strings.ToLower(form))) {
			as = append(as, name)
		}
	}
	for i := range 3 {
		enc := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + text))
		for _, form := range []string{enc, strings.NewReplacer("+", "-", "/", "_").Replace(enc)} {
			if len(form) > 20 && bytes.Contains(b, []byte(form[4:len(form)-4])) { // shorter ones are there by chance
				as = append(as, "base64")
			}
		}
	}
	return as
}
