package vault

import (
	"strconv"
	"strings"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/ident"
)

// Ref is a reference to a Secret, as a Connection has it.
type Ref struct {
	Name    string
	Version int // 0: the active one at call time
}

// ParseRef reads "NAME" or "NAME@vN", N from 1 without leading zeroes. Kind
// Invalid; the text is not repeated, since people put values there by mistake.
func ParseRef(s string) (Ref, error) {
	name, version, pinned := strings.Cut(s, "@")
	bad := fault.New(fault.Invalid, "that is not a reference to a secret").
		WithHint("write the secret's name, like erp-read, or a version of it, like erp-read@v2")
	if ident.CheckName(name) != nil {
		return Ref{}, bad
	}
	if !pinned {
		return Ref{Name: name}, nil
	}
	digits, ok := strings.CutPrefix(version, "v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxVersion || strconv.Itoa(n) != digits {
		return Ref{}, bad
	}
	return Ref{Name: name, Version: n}, nil
}

// String is what ParseRef reads.
func (r Ref) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "@v" + strconv.Itoa(r.Version)
}

// Rule is how the version is chosen, as a Decision is bound to it: "active", or
// "vN".
func (r Ref) Rule() string {
	if r.Version == 0 {
		return "active"
	}
	return "v" + strconv.Itoa(r.Version)
}
