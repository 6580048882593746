package demo_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/leaktest"
)

// commands are the commands that read from a server, with RUN, INTENT and SECRET
// standing for what there is, and for a known secret.
var commands = []string{
	"run list", "run show RUN", "run intents RUN", "explain RUN", "explain RUN --kind reasoning --from 1", "explain SECRET", "run replay RUN", "run replay SECRET", "rail follow RUN", "run follow RUN", "intent show RUN INTENT", "decision list --state all", "decision show SECRET",
	"secret list", "secret show SECRET", "mission list", "account list", "account passkeys SECRET", "unknown list", "unknown show SECRET", "audit tail", "audit tail --run RUN", "audit verify", "whoami", "health",
	"run stop SECRET", "run start SECRET", "run start vendor-onboarding --input name=SECRET --input country=DE --input tax_id=DE129274202",
	"secret edit SECRET --description x", "secret rollback SECRET", "account disable SECRET", "intent resolve SECRET applied --why SECRET --stdin", "stop list", "stop run SECRET --reason SECRET", "stop mission SECRET --reason SECRET", "stop connection SECRET --reason SECRET", "stop worker SECRET --reason SECRET",
	"resume run SECRET --reason SECRET --stdin", "resume mission SECRET --reason SECRET --stdin", "resume connection SECRET --reason SECRET --stdin", "resume worker SECRET --reason SECRET --stdin", "resume all --reason SECRET --stdin",
	"policy explain --run RUN --tool SECRET/SECRET --args {\"a\":\"SECRET\"}", "policy check -f /dev/null", "policy test -f /dev/null",
	"SECRET", "run SECRET",
	"secret intake-key", "secret activate SECRET", "secret disable SECRET", "secret destroy SECRET --yes", "secret rotate SECRET", "secret set SECRET", "secret import SECRET", "secret move SECRET --to SECRET:SECRET --stdin", "secret set SECRET --pointer SECRET --pick SECRET", "secret rotate SECRET --pointer SECRET:SECRET",
	"seal status", "seal add SECRET", "seal rotate SECRET", "seal remove SECRET", "seal unseal", "key status", "key rotate SECRET", "account reset SECRET", "schema", "apply -f /dev/null",
	"audit prove 0", "audit prove SECRET", "audit prove 3 -o SECRET/SECRET", "audit verify-receipt SECRET --key SECRET", "audit verify-receipt /dev/null --key SECRET", "audit verify --key SECRET",
	"audit verify --tiles SECRET", "audit verify --witness SECRET", "audit verify --anchor SECRET", "audit verify --checkpoint SECRET", "audit verify --tiles / --save-checkpoint SECRET/SECRET", "audit save /dev/null/SECRET", "audit status", "audit rotate-key --why SECRET", "audit query --record SECRET", "audit query --person SECRET --since SECRET", "audit query --type SECRET --after SECRET", "audit reindex", "audit prune --before SECRET --reason SECRET", "audit prune --below 1 --reason SECRET", "audit forget-records --reason SECRET", "run erase SECRET --reason SECRET", "hold set record SECRET --reason SECRET", "hold set SECRET SECRET --reason SECRET", "hold list", "hold lift run SECRET --reason SECRET",
	"worker list", "worker show SECRET", "worker show leak-agent", "worker token list SECRET", "worker token list leak-agent", "worker token revoke SECRET SECRET",
	"incident list", "incident list --state all", "incident show SECRET", "incident close SECRET --outcome explained --note SECRET", "incident promote SECRET --name SECRET --any-origin", "incident dismiss SECRET --note SECRET",
	"intent propose RUN --connection SECRET --tool SECRET --args {\"a\":\"SECRET\"}", "run end RUN --verdict SECRET --summary SECRET", "decision approve SECRET", "decision reject SECRET",
	"decision edit SECRET --args {\"a\":\"SECRET\"} --reason SECRET", "decision ask SECRET SECRET", "decision answer --run RUN SECRET SECRET", "decision break-glass SECRET --reason SECRET",
	"mcp config --client generic", "mcp config --client SECRET", "mcp config --client codex --mission SECRET", "mcp config --client codex --token-env SECRET", "mcp --token-file SECRET",
	"connection list", "connection authorize SECRET --no-wait",
	"integration list", "integration show SECRET", "integration pull SECRET --connection SECRET", "integration test SECRET", "integration changes --all",
	"integration accept SECRET --reason SECRET --stdin", "integration refuse SECRET --reason SECRET --stdin",
	"secret rotation list", "secret rotation resolve SECRET again --stdin", "secret policy set SECRET --file SECRET", "secret policy remove SECRET --stdin", "secret rotate SECRET --now --stdin", "doctor secrets", "doctor backends", "doctor backends --ask", "doctor backends SECRET --ask", "secret leases SECRET",
	"decision watch --for 1s", "channel list", "channel show SECRET", "channel test SECRET",
	"stop all --reason SECRET", // the last: nothing goes on after it
}

// TestLeakAProcessShowsNoSecret looks at a server as the machine sees it: the
// environment and arguments of it and of what it starts, what it leaves in the
// directory for temporary files, and what the command line prints of it, as text
// and as JSON.
func TestLeakAProcessShowsNoSecret(t *testing.T) {
	t.Parallel()
	tmp, dir := filepath.Join(t.TempDir(), "tmp"), t.TempDir()
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "", "TMPDIR="+tmp)
	w := &world{t: t, dir: dir}
	s := &sinks{seen: map[string]*bytes.Buffer{}}
	values, wanted := credentials(w)
	secret := values["erp-write-token"]
	post(t, p.Control["taxverify"], "/behaviour", `{"mode":"echo"}`)
	post(t, p.Control["erp"], "/behaviour", `{"mode":"echo-error"}`)
	post(t, p.Control[company.ScriptedModel], "/behaviour", `{"mode":"echo","times":1}`)
	run := p.begin()
	w.eventually("the Run ends", func() bool {
		var r intent.Run
		p.must(p.call("requester", "GET", "/v1/runs/"+run, nil, &r))
		return r.State == intent.RunEnded
	})
	var out struct{ Intents []intent.Intent }
	p.must(p.call("requester", "GET", "/v1/runs/"+run+"/intents", nil, &out))
	ran := 0
	for _, who := range []string{"admin", "auditor", "requester"} {
		p.must(p.call(who, "GET", "/v1/me", nil, nil)) // signs in
		for _, line := range commands {
			for _, flags := range [][]string{nil, {"--json"}} {
				p.command(s, who, slices.Concat(flags, strings.Fields(strings.NewReplacer("RUN", run, "INTENT", out.Intents[0].ID, "SECRET", "\x00").Replace(line))), secret)
				ran++
			}
		}
	}
	processes := family(t, p.cmd.Process.Pid)
	if len(processes) < 5 {
		t.Errorf("the server and its systems are %d processes", len(processes))
	}
	for _, pid := range processes {
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.at(file + " of processes").Write(append(b, '\n'))
		}
	}
	s.files(t, tmp, func(string) bool { return true })
	_, _ = s.at("stderr of the server").Write([]byte(p.stderr.String()))
	p.stop()
	s.clean(t, wanted, "environ of processes", "cmdline of processes", "output of commands")
	// And what is planted in each of them is found.
	for name, from := range s.sizes() {
		_, _ = s.at(name).Write([]byte(" planted: " + leaktest.GoJSON(secret)))
		if len(leaktest.NewIndex(wanted...).Search(s.tail(name, from))) == 0 {
			t.Errorf("what was planted in %s is not found", name)
		}
	}
	t.Logf("leak suite, processes: %d commands, %d processes, %d sinks", ran, len(processes), len(s.sizes()))
}

// command runs one command of the command line as somebody; a zero byte stands for
// the secret. What the person typed comes back in no line of it.
func (p *process) command(s *sinks, who string, args []string, secret string) {
	p.t.Helper()
	self, err := os.Executable()
	p.must(err)
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "\x00", secret)
	}
	cmd := exec.CommandContext(p.t.Context(), self, args...)
	cmd.Env = append(os.Environ(), envCLI+"=1", envServer+"=", envSystem+"=", "SALLYPORT_SERVER="+p.URL, "SALLYPORT_TOKEN="+p.tokens[who], "XDG_CONFIG_HOME="+p.t.TempDir(), "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // exec gives it as it is
		p.t.Fatal(err)
	}
	_, _ = s.at("output of commands").Write(out)
}

// family is a process and those that it started.
func family(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, child)
		}
	}
	return all
}
