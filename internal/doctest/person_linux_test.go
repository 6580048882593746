package doctest_test

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/cli"
	"sallyport.dev/internal/identity"
)

// What a sallyport that a document's command starts is told.
const (
	envPeople = "DOCTEST_PEOPLE" // directory with what each person knows
	envReal   = "DOCTEST_REAL"   // set: be the program itself
)

// The test binary is also the program that the documents' commands start, and
// the person who sits in front of it.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) != "sallyport":
		os.Exit(m.Run())
	case os.Getenv(envReal) != "":
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	code, err := sit(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "the person:", err)
	}
	os.Exit(code)
}

// known is what a person knows.
type known struct {
	Password, OTPAuth string
	Step              int64 // of the last one-time code that was used
}

// person sits at a terminal: reads what is shown once, and answers prompts.
type person struct {
	mu     sync.Mutex
	dir    string
	name   string // whom the output is about, or who is at the prompt
	line   bytes.Buffer
	answer io.Writer // the terminal's other side, nil without one
	err    error
}

// sit runs the program as somebody at a terminal does.
func sit(args []string) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	p := &person{dir: os.Getenv(envPeople)}
	cmd := exec.Command(self, args...)
	cmd.Args[0], cmd.Env = "sallyport", append(os.Environ(), envReal+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, io.MultiWriter(os.Stdout, p), io.MultiWriter(os.Stderr, p)
	all := strings.Join(args, " ")
	if prompts := strings.HasPrefix(all, "login ") || strings.HasPrefix(all, "decision approve ") || strings.HasPrefix(all, "backup "); prompts {
		master, terminal, err := openTerminal()
		if err != nil {
			return 1, err
		}
		defer func() { _ = master.Close() }()
		go func() { _, _ = io.Copy(io.Discard, master) }() // the echo
		cmd.Stdin, p.answer = terminal, master
		p.name = p.current(args)
	}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // the program gets it too, and ends first
	err = cmd.Run()
	if p.err != nil {
		return 1, p.err
	}
	if cmd.ProcessState == nil {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// current is who signs in, or who did last.
func (p *person) current(args []string) string {
	file := filepath.Join(p.dir, "current")
	for i, a := range args[:len(args)-1] {
		if a == "--name" {
			p.err = os.WriteFile(file, []byte(args[i+1]), 0o600)
			return args[i+1]
		}
	}
	b, err := os.ReadFile(file)
	p.err = err
	return string(b)
}

// Write reads what the program prints.
func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.Write(b)
	for {
		line, rest, ok := strings.Cut(p.line.String(), "\n")
		if !ok {
			break
		}
		p.line.Reset()
		p.line.WriteString(rest)
		p.learn(strings.Fields(line))
	}
	if p.answer != nil && strings.HasSuffix(p.line.String(), ": ") {
		prompt := p.line.String()
		p.line.Reset()
		if err := p.reply(prompt); err != nil {
			p.err = err
		}
	}
	return len(b), nil
}

// learn writes down what is shown once.
func (p *person) learn(f []string) {
	if len(f) < 2 || p.answer != nil {
		return
	}
	switch v := f[len(f)-1]; {
	case f[0] == "name" && len(f) == 2:
		p.name = v
	case f[0] == "password" && len(f) == 2:
		p.write(known{Password: v})
	case strings.HasPrefix(v, "otpauth://"):
		k := p.read()
		k.OTPAuth = v
		p.write(k)
	}
}

func (p *person) file() string { return filepath.Join(p.dir, p.name+".json") }

func (p *person) read() (k known) {
	b, err := os.ReadFile(p.file())
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		p.err = err
	}
	return k
}

func (p *person) write(k known) {
	b, err := json.Marshal(k)
	if err == nil {
		err = os.WriteFile(p.file(), b, 0o600)
	}
	if err != nil {
		p.err = err
	}
}

// reply types the answer to a prompt.
func (p *person) reply(prompt string) error {
	k := p.read()
	text := ""
	switch {
	case strings.HasPrefix(prompt, "new password"):
		text = "the own choice of " + p.name
		k.Password = text
	case strings.HasPrefix(prompt, "password"):
		text = k.Password
	case strings.Contains(prompt, "one-time code"):
		var err error
		if text, err = k.code(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("nobody knows what to answer to %q", prompt)
	}
	p.write(k)
	_, err := fmt.Fprintln(p.answer, text)
	return err
}

// code is the next one-time code that was not used, as soon as there is one.
func (k *known) code() (string, error) {
	u, err := url.Parse(k.OTPAuth)
	if err != nil {
		return "", err
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	if err != nil {
		return "", err
	}
	now := time.Now().Unix()
	k.Step = max(k.Step+1, now/30-1)
	if early := (k.Step-1)*30 - now; early > 0 { // the server takes a code half a minute early
		time.Sleep(time.Duration(early) * time.Second) //nolint:forbidigo // nothing happens at the end of it: the code is a matter of the time alone
	}
	return identity.Code(secret, identity.Algorithm(u.Query().Get("algorithm")), time.Unix(k.Step*30, 0))
}

// openTerminal makes a pseudo-terminal: what is written to the master is typed
// on the terminal.
func openTerminal() (master, terminal *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, terminal, err
}
