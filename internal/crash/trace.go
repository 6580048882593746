package crash

import (
	"bufio"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Trace is what may be shown of what the runtime writes when it ends a process.
type Trace struct {
	What   string // fixed words; "" where nothing of the runtime's was met
	Stack  string // as in Panic, all goroutines that were written
	Hidden int    // lines that are neither
}

// How much is kept of what is read: bytes of one line, and lines of stacks.
const (
	maxTraceLine = 16 << 10
	maxTrace     = 2000
)

// The lines that are known. Whatever the runtime repeats of a panic's value comes
// before the first goroutine, and in lines that begin otherwise: it indents them.
var (
	goroutineLine = regexp.MustCompile(`^goroutine \d+ (?:gp=0x[0-9a-f]+ m=\S+ (?:mp=0x[0-9a-f]+ )?)?\[([a-zA-Z ()]+)(?:, [^\]]*)?\]:$`)
	functionLine  = regexp.MustCompile(`^(?:((?:[A-Za-z0-9_./%~-]|\(\*[A-Za-z0-9_]+(?:\[\.\.\.\])?\)|\[\.\.\.\])+)\(.*\)|(created by (?:[A-Za-z0-9_./%~-]|\(\*[A-Za-z0-9_]+(?:\[\.\.\.\])?\)|\[\.\.\.\])+)(?: in goroutine \d+)?)$`)
	fileLine      = regexp.MustCompile(`^\t(\S+\.(?:go|s)):(\d+)(?: .*)?$`)
	signalLine    = regexp.MustCompile(`^(?:\[signal )?(SIG[A-Z]+): [a-z ]+`)
)

// fatal are the runtime's fatal errors that are shown in its own words.
var fatal = []string{
	"all goroutines are asleep - deadlock!", "concurrent map iteration and map write", "concurrent map read and map write", "concurrent map writes",
	"stack overflow", "runtime: out of memory", "out of memory", "unexpected signal during runtime execution", "fault", "sync: unlock of unlocked mutex",
	"sync: Unlock of unlocked RWMutex", "sync: RUnlock of unlocked RWMutex", "newproc: function value is nil",
}

// ReadTrace reads what a process writes to its standard error until it ends, and
// keeps what has a shape that values have not: names of functions, lines of files.
// It reads to the end in any case, so that the process is never held up.
func ReadTrace(r io.Reader) (t Trace) {
	in := bufio.NewReaderSize(r, maxTraceLine)
	var inside bool // a goroutine's stack
	var function string
	var stack strings.Builder
	lines := 0
	show := func(s string) {
		if lines++; lines <= maxTrace {
			stack.WriteString(s + "\n")
		}
	}
	for {
		line, whole, err := nextLine(in)
		if err != nil {
			t.Stack = stack.String()
			return t
		}
		g, f, at := goroutineLine.FindStringSubmatch(line), functionLine.FindStringSubmatch(line), fileLine.FindStringSubmatch(line)
		switch {
		case line == "":
			inside = false
		case !whole:
			t.Hidden++
		case g != nil:
			inside, function = true, ""
			show("goroutine [" + g[1] + "]")
		case inside && f != nil:
			function = f[1] + f[2]
		case inside && at != nil && function != "":
			show(function + " " + path.Base(at[1]) + ":" + at[2])
			function = ""
		default:
			if w := ending(line); t.What == "" && w != "" && lines == 0 {
				t.What = w
				continue
			}
			t.Hidden++
		}
	}
}

// nextLine is a line without its end; what does not fit is left out, and the line
// is not whole.
func nextLine(in *bufio.Reader) (line string, whole bool, err error) {
	b, err := in.ReadSlice('\n')
	line, whole = strings.TrimRight(string(b), "\r\n"), true
	for err == bufio.ErrBufferFull { //nolint:errorlint // bufio gives it as it is
		whole = false
		_, err = in.ReadSlice('\n')
	}
	if err == io.EOF && line != "" {
		err = nil
	}
	return line, whole, err
}

// ending says what a line says of the end, in fixed words.
func ending(line string) string {
	if text, ok := strings.CutPrefix(line, "fatal error: "); ok {
		if slices.Contains(fatal, text) {
			return "fatal error: " + text
		}
		return "a fatal error of the runtime"
	}
	if strings.HasPrefix(line, "panic: ") {
		return "a panic in a goroutine that the program did not begin"
	}
	if s := signalLine.FindStringSubmatch(line); s != nil {
		return "the signal " + s[1]
	}
	return ""
}
