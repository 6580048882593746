package confine

import (
	"path/filepath"
	"strings"

	"sallyport.dev/internal/fault"
)

// unguarded refuses a Spec under which one of the guarded paths would be in the
// program's reach: below a path that it may use, or above one. Links are followed
// on both sides. What is not there is reached by nobody.
func unguarded(s Spec, reach []string) error {
	for _, g := range s.Guarded {
		guarded, err := filepath.EvalSymlinks(g)
		if err != nil {
			continue
		}
		for _, p := range reach {
			at, err := filepath.EvalSymlinks(p)
			if err != nil {
				continue
			}
			if within(guarded, at) || within(at, guarded) {
				return fault.Newf(fault.Denied, "the child's path %s has the server's own files within reach", fault.Quote(p)).
					WithHint("a child that can read the server's data directory or its key files can take every secret: give it a directory apart")
			}
		}
	}
	return nil
}

// within says whether path is dir, or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
