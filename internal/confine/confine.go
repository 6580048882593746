// Package confine is what happens in a fresh process between its start and the
// program that it is to become: it gives up what the program must not have, and
// then executes it. The server starts a copy of itself for this ([Command]), since
// nothing of it can be done from outside, nor in the server's own process.
//
// It refuses to become a program whose confinement could not be made as the Spec
// says: a path that is not there, a limit that can't be set, and, where the Spec
// demands the sandbox, a kernel that has not all of it. On a system without a
// sandbox, it says so in its Report, and a Spec that demands one ends there.
//
// # Security
//
// The Spec comes through a descriptor, never in arguments or the environment of
// this process. What holds afterwards, for the program and all that it starts:
// no new privileges and no capabilities; no descriptor but the three standard ones
// and, where there is one, [SecretFD]; no core files; limits of memory, processes,
// files; reading and writing below the listed paths only (Landlock); no socket of
// any kind where the network is denied, and never a look into another process
// (seccomp). It can't be taken back by the program.
package confine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sallyport.dev/internal/fault"
)

// Command is the hidden command of the program by which it becomes another.
const Command = "child-exec"

// The descriptors of the process that is to become the program.
const (
	SecretFD = 3 // what the program reads its credential from; stays open where Spec.Secret says so
	SpecFD   = 4 // the Spec
	ReportFD = 5 // the Report; its end without an error says that the program runs
)

// maxSpec bounds a Spec as JSON, in bytes.
const maxSpec = 4 << 20

// Spec is what the process is to become, and under what.
type Spec struct {
	Command   []string `json:"command"`             // the program's absolute path, then its arguments
	Dir       string   `json:"dir"`                 // its working directory
	Env       [][]byte `json:"env"`                 // NAME=value, the whole environment
	Secret    bool     `json:"secret,omitempty"`    // SecretFD stays open
	Read      []string `json:"read,omitempty"`      // it may read and execute at and below these, besides the system's own
	Write     []string `json:"write,omitempty"`     // it may read and change what is at and below these
	Guarded   []string `json:"guarded,omitempty"`   // refuse where one of these is within its reach
	Network   bool     `json:"network,omitempty"`   // it may have sockets
	Demand    bool     `json:"demand,omitempty"`    // refuse where the kernel can't hold it to the paths and the network
	Memory    int64    `json:"memory,omitempty"`    // bytes of private memory of each process
	FileSize  int64    `json:"fileSize,omitempty"`  // bytes of each file that it writes
	Processes int      `json:"processes,omitempty"` // beside those that the user has at the start
	OpenFiles int      `json:"openFiles,omitempty"` // of each process
}

// Report is what became of it.
type Report struct {
	Landlock int    `json:"landlock"` // the ABI in force; 0: none, and paths are not confined
	Filter   bool   `json:"filter"`   // system calls are filtered: without network there is no socket
	Error    string `json:"error,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// Whole says whether everything that a Spec can ask for is in force.
func (r Report) Whole() bool { return r.Landlock >= minLandlock && r.Filter }

// minLandlock is the ABI from which on writing is confined whole: before it, a file
// outside the paths could be cut to nothing.
const minLandlock = 3

// Write writes a Spec for the process to read.
func Write(w io.Writer, s Spec) error {
	b, err := json.Marshal(s)
	if err != nil || len(b) > maxSpec {
		return fault.New(fault.Invalid, "what a child is to be can't be written, or is too long")
	}
	defer clear(b)
	if _, err := w.Write(b); err != nil {
		return fault.New(fault.Unavailable, "the process that was to become a child did not take what it is to be")
	}
	return nil
}

// ReadReport reads what a process says until it is another. Unavailable: it ended
// without a word; Denied: it refuses.
func ReadReport(r io.Reader) (Report, error) {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil || len(b) == 0 {
		return Report{}, fault.New(fault.Unavailable, "the process that was to become a child ended")
	}
	var last Report
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		var next Report
		if err := d.Decode(&next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Report{}, fault.New(fault.Unavailable, "the process that was to become a child did not say what became of it")
		}
		last = next
	}
	if last.Error != "" {
		return last, (&fault.Error{Kind: fault.Denied, Msg: last.Error}).WithHint("%s", last.Hint)
	}
	return last, nil
}

// Become reads the Spec and turns this process into the program. It returns only
// with an error, which the Report has too.
func Become() error {
	spec, report := os.NewFile(SpecFD, "spec"), os.NewFile(ReportFD, "report")
	s, err := read(spec)
	if err == nil {
		err = errors.Join(spec.Close(), s.check())
	}
	if err == nil {
		err = become(s, func(r Report) error { return json.NewEncoder(report).Encode(r) })
	}
	_ = json.NewEncoder(report).Encode(Report{Error: err.Error(), Hint: fault.HintOf(err)}) // who started this process is gone where it fails
	return err
}

// read takes the Spec; unknown members are another version's.
func read(r io.Reader) (Spec, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	defer clear(b)
	if err != nil || len(b) > maxSpec {
		return Spec{}, fault.New(fault.Invalid, "there is no description of what to become")
	}
	var s Spec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fault.New(fault.Invalid, "the description of what to become can't be read")
	}
	return s, nil
}

// check refuses what can't be given to a process.
func (s Spec) check() error {
	if len(s.Command) == 0 {
		return fault.New(fault.Invalid, "a child without a command")
	}
	for _, p := range append(append([]string{s.Command[0], s.Dir}, s.Read...), s.Write...) {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p || p == "/" || strings.Contains(p, "\x00") {
			return fault.Newf(fault.Invalid, "the path %q of a child is not absolute and plain, or is the whole machine", fault.Quote(p))
		}
	}
	for _, a := range s.Command[1:] {
		if strings.Contains(a, "\x00") {
			return fault.New(fault.Invalid, "an argument of a child can't be given")
		}
	}
	for _, e := range s.Env {
		if bytes.IndexByte(e, 0) >= 0 || bytes.IndexByte(e, '=') <= 0 {
			return fault.New(fault.Invalid, "the environment of a child has a name or a value that can't be given")
		}
	}
	return nil
}

// env is the environment as execve takes it.
func (s Spec) env() []string {
	out := make([]string, 0, len(s.Env))
	for _, e := range s.Env {
		out = append(out, string(e))
	}
	return out
}
