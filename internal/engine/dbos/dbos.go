// Package dbos runs the segments of Runs durably, on one machine: DBOS Transact
// over a SQLite file of its own beside the store.
//
// It refuses to be the truth: an engine database that is lost costs only the
// segments in flight, which start again from the transcript. Step inputs and
// outputs are references ("go", "parked"), never content.
package dbos

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the engine's own database

	"sallyport.dev/internal/crash"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/mission"
)

// File is the engine's database in the data directory.
const File = "engine.db"

// version is constant on purpose: the engine strands work of another
// application version, and what a segment does is decided by the transcript.
const version = "1"

// Retries of one turn that fails in a way that may pass.
const (
	turnRetries  = 5
	retryBase    = 500 * time.Millisecond
	retryCeiling = 20 * time.Second
)

// Worker is what the engine runs.
type Worker interface {
	Turn(ctx context.Context, tenant ident.Tenant, run string) (mission.Next, error)
	GiveUp(ctx context.Context, tenant ident.Tenant, run string, cause error) error
}

// Engine starts segments.
type Engine struct {
	ctx    dbos.Context
	worker Worker
	log    *slog.Logger
}

// Segment names one segment; it is the workflow's input.
type Segment struct {
	Tenant ident.Tenant `json:"tenant"`
	Run    string       `json:"run"`
	Number int          `json:"number"`
}

func (s Segment) id() string { return fmt.Sprintf("%s/%s/seg/%d", s.Tenant, s.Run, s.Number) }

// New opens the engine's database in dir and recovers the segments that were
// under way.
func New(ctx context.Context, dir string, w Worker, log *slog.Logger) (*Engine, error) {
	path := filepath.Join(dir, File)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the engine's database", err)
	}
	if err := f.Close(); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the engine's database", err)
	}
	e := &Engine{worker: w, log: log}
	e.ctx, err = dbos.NewContext(ctx, dbos.Config{
		AppName: "sallyport", DatabaseURL: "sqlite:" + (&url.URL{Path: path}).Path,
		ApplicationVersion: version, ExecutorID: "local", Logger: log,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "opening the engine", err)
	}
	dbos.RegisterWorkflow(e.ctx, e.segment, dbos.WithWorkflowName("segment"), dbos.WithMaxRecoveryAttempts(1000))
	if err := dbos.Launch(e.ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "starting the engine", err)
	}
	return e, nil
}

// Close stops taking work and waits for the turns under way.
func (e *Engine) Close(timeout time.Duration) {
	_ = dbos.Shutdown(e.ctx, timeout) // what is still under way then is recovered at the next start
}

// Start begins a segment; starting it again is no second segment. It reports
// whether the segment has ended before.
func (e *Engine) Start(_ context.Context, s Segment) (ended bool, err error) {
	h, err := dbos.RunWorkflow(e.ctx, e.segment, s, dbos.WithWorkflowID(s.id()))
	if err != nil {
		return false, fault.Wrap(fault.Unavailable, "starting a segment", err)
	}
	st, err := h.GetStatus()
	if err != nil {
		return false, fault.Wrap(fault.Unavailable, "starting a segment", err)
	}
	return !strings.Contains(string(dbos.WorkflowStatusPending)+string(dbos.WorkflowStatusEnqueued), string(st.Status)), nil
}

// segment loops turns until the Run is done or parked. Each turn is a durable
// step whose output is one word.
func (e *Engine) segment(ctx dbos.Context, s Segment) (string, error) {
	for turn := 0; ; turn++ {
		last := errForgotten
		next, err := dbos.RunAsStep(ctx, func(ctx context.Context) (string, error) {
			var n mission.Next
			err := crash.Try(ctx, e.log, func() (err error) { // the engine would log the value, and store it
				n, err = e.worker.Turn(ctx, s.Tenant, s.Run)
				return err
			})
			if err != nil {
				last = err
			}
			return string(n), err
		}, dbos.WithStepName(fmt.Sprintf("turn-%d", turn)), dbos.WithStepMaxRetries(turnRetries),
			dbos.WithStepBaseInterval(retryBase), dbos.WithStepMaxInterval(retryCeiling))
		if ctx.Err() != nil {
			return "", ctx.Err() // shutting down: recovered at the next start
		}
		if err != nil {
			_, err = dbos.RunAsStep(ctx, func(ctx context.Context) (string, error) {
				return "", crash.Try(ctx, e.log, func() error { return e.worker.GiveUp(ctx, s.Tenant, s.Run, last) })
			}, dbos.WithStepName("give-up"), dbos.WithStepMaxRetries(turnRetries))
			return string(mission.Done), err
		}
		if mission.Next(next) != mission.Go {
			return next, nil
		}
	}
}

// errForgotten stands for the error of a turn that an earlier process had.
var errForgotten error = fault.New(fault.Unavailable, "it failed again and again")
