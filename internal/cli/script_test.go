package cli_test

import (
	"crypto/fips140"
	"fmt"
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
		"crashing":  crashing,
	})
}

func TestScripts(t *testing.T) { testscript.Run(t, scripts("script")) }

// scripts are those of a directory below testdata.
func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(e *testscript.Env) error {
			for _, v := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"} {
				dir := filepath.Join(e.WorkDir, "home", v)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
				e.Setenv(v, dir)
			}
			e.Setenv("GODEBUG", os.Getenv("GODEBUG")) // the mode of FIPS 140 is the children's too
			e.Values[worldKey{}] = newWorld(e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "background": background, "interrupt": interrupt, "crash": crash,
			"code": code, "take": take, "put": put, "system": system, "received": received,
			"spoil": spoil, "unseen": unseen, "childless": childless, "empty": empty, "mode": mode, "certificate": certificate, "wire": wire,
			"damage": damage, "cut": cut, "pipe": pipe, "vaulted": vaulted, "opens": opens, "proof": proof,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "fips" {
				return false, fmt.Errorf("the condition %s is not known", cond)
			}
			return fips140.Enforced(), nil
		},
		RequireExplicitExec: true,
	}
}
