// Package sqlite is the embedded store: one database file in the data
// directory, in pure Go. It implements the storage interfaces that the packages
// below declare, one file for each of them; app alone imports it.
//
// Every write goes through one goroutine that runs all that wait in one
// transaction, each in a savepoint of its own: one fsync serves every call that
// waits for it, and an error undoes only its own step. Nothing is acknowledged
// before it is on disk (WAL, synchronous=FULL).
//
// It refuses a data directory that another process holds, a database of a newer
// version, a migration that was changed after it was applied, tables, indexes,
// triggers or views that are not exactly those that the migrations make, a database
// that is damaged or gone, and a write-ahead log that was taken away after a crash.
//
// Rows that steer the use of a credential, or say who may, are read and written
// through one description of their table, rowtables.go. It refuses such a row when
// somebody without the vault's keys has changed it, put it in, put it back or
// removed it: Denied, by name, and on the record as row.refused.
//
// # Security
//
// The file is created with mode 0600 in a directory of mode 0700. Secrets are
// in it only as ciphertext of package vault. Each row that steers has a MAC; the
// live ones are known to the process, and together bound to the audit log's
// checkpoint. The whole directory put back to an earlier state agrees with itself:
// a checkpoint that was kept elsewhere finds that. See docs/threat-model.md.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver, under the name "sqlite"

	"sallyport.dev/internal/audit"
	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// File is the database's name in the data directory.
const File = "sallyport.db"

// Store is the embedded store. Its methods are safe for concurrent use.
type Store struct {
	dir   string
	lock  *dirLock
	rw    *sql.DB   // one connection, used by the writer alone
	once  *prepared // that connection
	ro    *prepared // a pool of readers, query_only
	seq   *audit.Sequencer
	queue chan *job
	guard Guard
	stop  context.CancelFunc
	done  chan struct{} // closed when the writer has ended
	shred bool          // the write-ahead log has what must not stay on disk; the writer's alone
	// snapshots are open: as long as there is one, the write-ahead log can't be emptied.
	snapshots atomic.Int32
	// outboxed has an element when a commit put something into the outbox.
	outboxed chan struct{}
	// noticed has one when a commit put something for a Channel there.
	noticed chan struct{}
	ledger  ledger

	mu     sync.Mutex
	broken error // set once when a commit failed in a way that leaves doubt
}

// Open locks the data directory, opens or creates the database, and migrates
// it. seq appends to the audit log inside the store's transactions; nil is
// refused: there is no store without an audit log, nor without a whole guard.
func Open(ctx context.Context, dir string, seq *audit.Sequencer, guard Guard) (*Store, error) {
	if seq == nil || guard.Keys == nil || guard.Now == nil || guard.Log == nil {
		return nil, fault.New(fault.Internal, "opening the store without an audit log, keys, a clock or a log")
	}
	s := &Store{dir: dir, seq: seq, guard: guard, ledger: ledger{tenants: map[ident.Tenant]*tenantRows{}, told: map[refusal]bool{}},
		queue: make(chan *job, 1024), done: make(chan struct{}), outboxed: make(chan struct{}, 1), noticed: make(chan struct{}, 1)}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	var wctx context.Context
	wctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	crash.Go(func() { s.writer(wctx) }, func(p *crash.Panic) {
		p.Log(wctx, s.guard.Log)
		s.breakDown(fault.Wrap(fault.Unavailable, "the store has stopped", p))
	})
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.dir, err = filepath.Abs(s.dir); err != nil { // a relative one would be a host in the database's URI
		return fault.Wrap(fault.Unavailable, "finding the data directory", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fileErr("creating the data directory", err)
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	path := filepath.Join(s.dir, File)
	if err := s.lock.checkThere(path); err != nil {
		return err
	}
	if err := checkLog(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fileErr("opening the database", err)
	}
	if err := f.Close(); err != nil {
		return fileErr("opening the database", err)
	}
	// 8 MB of pages, where 2 are usual: what one transaction changes has room.
	if s.rw, err = openDB(path, "_txlock=immediate&_pragma=cache_size(-8192)"); err != nil {
		return err
	}
	s.rw.SetMaxOpenConns(1)
	if err := checkSchema(ctx, s.rw); err != nil {
		return err
	}
	if err := migrate(ctx, s.rw); err != nil {
		return err
	}
	if err := checkTables(ctx, s.rw); err != nil {
		return err
	}
	if err := s.lock.setMade(); err != nil {
		return err
	}
	conn, err := s.rw.Conn(ctx)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "opening the database", err)
	}
	s.once = newPrepared(conn)
	readers, err := openDB(path, "_pragma=query_only(1)")
	if err != nil {
		return err
	}
	readers.SetMaxOpenConns(maxReaders)
	readers.SetMaxIdleConns(maxReaders) // one that is closed takes what it has compiled along
	s.ro = newPrepared(readers)
	return nil
}

// maxReaders is how many read at the same time.
const maxReaders = 4

// openDB opens a pool. What SQLite needs for a moment is in memory, never in a file
// outside of the data directory.
func openDB(path, extra string) (*sql.DB, error) {
	dsn := (&url.URL{Scheme: "file", Path: path}).String() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)&_pragma=secure_delete(1)&_pragma=temp_store(memory)&" + extra
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the database", err)
	}
	return db, nil
}

// Close waits for the writes under way, refuses new ones, and unlocks the
// directory.
func (s *Store) Close() error {
	s.stop()
	<-s.done
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var errs []error
	for _, p := range []*prepared{s.once, s.ro} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if s.rw != nil {
		errs = append(errs, s.rw.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.free())
	}
	return errors.Join(errs...)
}

// Healthy reports why the store takes no writes any more, or nil: a commit that
// left doubt, or an audit log that is not the one that was signed.
func (s *Store) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	return s.seq.Err()
}
