package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport.dev/internal/api"
)

// session is a sallyport on a terminal.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File // the terminal's other side
	seen   strings.Builder
}

// onTerminal starts a command whose in- and output is a terminal.
func onTerminal(t *testing.T, args ...string) *session {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	s := &session{t: t, cmd: exec.Command(self, args...), master: master}
	s.cmd.Args[0] = "sallyport"
	s.cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir(), "NO_COLOR=1")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = terminal, terminal, terminal
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	must(t, s.cmd.Start())
	must(t, terminal.Close())
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // which has ended, where the test got so far
	return s
}

// types waits for a prompt, and types the moment that it is there.
func (s *session) types(prompt, text string) {
	s.t.Helper()
	b := make([]byte, 1)
	for !strings.HasSuffix(s.seen.String(), prompt) {
		if _, err := s.master.Read(b); err != nil {
			s.t.Fatalf("it ended without the prompt %q:\n%s", prompt, s.seen.String())
		}
		s.seen.Write(b)
	}
	_, err := io.WriteString(s.master, text)
	must(s.t, err)
}

// ends gives the exit code and all that was on the screen.
func (s *session) ends() (int, string) {
	s.t.Helper()
	rest, _ := io.ReadAll(s.master) // which ends with an error when nobody has the terminal any more
	s.seen.Write(rest)
	_ = s.cmd.Wait() // the exit code says it
	return s.cmd.ProcessState.ExitCode(), s.seen.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func login(t *testing.T) *session {
	t.Helper()
	return onTerminal(t, "login", "--server", "http://127.0.0.1:1", "--name", "ada")
}

func TestAPasswordIsNotShownHoweverFastItIsTyped(t *testing.T) {
	for range 5 {
		s := login(t)
		s.types("password: ", "hunter2-hunter2\n")
		s.types("one-time code: ", "123456\n")
		code, screen := s.ends()
		if code != 1 || strings.Contains(screen, "hunter2") {
			t.Errorf("it ended with %d:\n%s", code, screen)
		}
		if !strings.Contains(screen, "123456") {
			t.Errorf("the terminal stays mute:\n%s", screen)
		}
	}
}

func TestCtrlDAtAPasswordIsNoPassword(t *testing.T) {
	s := login(t)
	s.types("password: ", "\x04")
	if code, screen := s.ends(); code != 2 || !strings.Contains(screen, "error: there is no line with the password") {
		t.Errorf("it ended with %d:\n%s", code, screen)
	}
}

func TestCtrlCAtAPromptInterrupts(t *testing.T) {
	s := login(t)
	s.types("password: ", "\x03")
	if code, screen := s.ends(); code != 130 || !strings.Contains(screen, "error: interrupted") {
		t.Errorf("it ended with %d:\n%s", code, screen)
	}
	s = login(t)
	s.types("password: ", "x\n")
	s.types("one-time code: ", "\x03")
	if code, screen := s.ends(); code != 130 {
		t.Errorf("it ended with %d:\n%s", code, screen)
	}
}

// TestAShortPasswordCostsNoOneTimeCode: it is asked for again, before the code is.
func TestAShortPasswordCostsNoOneTimeCode(t *testing.T) {
	var got api.NewPassword
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := api.Session{Token: "sps_x", MustChange: true}
		if r.URL.Path == "/v1/me/password" {
			s.MustChange = json.NewDecoder(r.Body).Decode(&got) != nil
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	defer srv.Close()
	s := onTerminal(t, "login", "--server", srv.URL, "--name", "ada")
	s.types("password: ", "given\n")
	s.types("one-time code: ", "111111\n")
	s.types("new password (12 characters or more): ", "short\n")
	s.types("new password (12 characters or more): ", "äöüäöüäöüäöü\n")
	s.types("new password again: ", "äöüäöüäöüäöü\n")
	s.types("changes): ", "222222\n")
	if code, screen := s.ends(); code != 0 || strings.Contains(screen, "short\r") {
		t.Errorf("it ended with %d:\n%s", code, screen)
	}
	if want := (api.NewPassword{Password: "given", Code: "222222", New: "äöüäöüäöüäöü"}); got != want {
		t.Errorf("the server got %+v", got)
	}
}

func TestASecretIsDestroyedByNameOnly(t *testing.T) {
	t.Setenv("SALLYPORT_TOKEN", "sps_x")
	for _, version := range []string{"", "2"} {
		for typed, want := range map[string]string{"crm\n": "nothing was destroyed", "crm-token\n": "destroyed"} {
			var destroyed atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					destroyed.Add(1)
				}
				_, _ = io.WriteString(w, `{"name":"crm-token","connections":["crm"],"versions":[{"version":1,"state":"active"},{"version":2,"state":"destroyed"}]}`)
			}))
			s := onTerminal(t, append(strings.Fields("secret destroy crm-token "+version), "--server", srv.URL)...)
			s.types("to confirm: ", typed)
			code, screen := s.ends()
			srv.Close()
			if right := typed == "crm-token\n"; (code == 0) != right || (destroyed.Load() == 1) != right || !strings.Contains(screen, want) {
				t.Errorf("%q: it ended with %d:\n%s", typed, code, screen)
			}
			if warned := strings.Contains(screen, "these Connections use it: crm"); warned != (version == "") {
				t.Errorf("who uses it: %v\n%s", warned, screen)
			}
		}
	}
}
