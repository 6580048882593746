package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport.dev/internal/cli"
)

// The scripts run the real main, each in a directory of its own that is its
// whole world: HOME and all XDG directories are in it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sallyport": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			for _, v := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"} {
				dir := filepath.Join(e.WorkDir, "home", v)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
				e.Setenv(v, dir)
			}
			e.Values[worldKey{}] = newWorld(e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "background": background, "interrupt": interrupt, "crash": crash,
			"code": code, "take": take, "put": put, "system": system, "received": received,
			"spoil": spoil, "unseen": unseen, "childless": childless, "empty": empty, "mode": mode, "certificate": certificate,
		},
		RequireExplicitExec: true,
	})
}
