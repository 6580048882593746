package resource

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"sallyport.dev/internal/fault"
)

// secretShapes are forms that nothing but a credential has: the prefixes that
// issuers give their tokens so that they can be found, and places in text where
// a credential stands.
var secretShapes = regexp.MustCompile(`(?:^|[^A-Za-z0-9])(?:` + strings.Join([]string{
	`sk-(?:ant-|proj-)?[A-Za-z0-9_-]{16,}`, `gh[pousr]_[A-Za-z0-9]{20,}`, `github_pat_[A-Za-z0-9_]{20,}`, `glpat-[A-Za-z0-9_-]{16,}`,
	`xox[abeoprs]-[A-Za-z0-9-]{10,}`, `(?:AKIA|ASIA)[A-Z0-9]{16}`, `AIza[A-Za-z0-9_-]{30,}`, `ya29\.[A-Za-z0-9_-]{20,}`,
	`(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}`, `hv[sbr]\.[A-Za-z0-9_-]{20,}`, `npm_[A-Za-z0-9]{30,}`, `pypi-[A-Za-z0-9_-]{30,}`,
	`SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`, `dop_v1_[a-f0-9]{32,}`, `shpat_[a-fA-F0-9]{20,}`, `sally_[a-z]+_[A-Za-z0-9]{16,}`, `AGE-SECRET-KEY-1[A-Z0-9]{20,}`,
	`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*`, `(?i:bearer) [A-Za-z0-9._~+/-]{16,}`, `(?i:basic) [A-Za-z0-9+/]{16,}={0,2}`,
}, "|") + `)|-----BEGIN [A-Z ]*PRIVATE KEY|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`)

// secretKeys are keys whose value is a credential, whatever it looks like;
// compared without case, "-" and "_".
var secretKeys = map[string]bool{
	"password": true, "passwd": true, "pwd": true, "passphrase": true, "token": true, "accesstoken": true, "refreshtoken": true,
	"apikey": true, "apitoken": true, "secretkey": true, "secretvalue": true, "clientsecret": true, "privatekey": true,
	"authorization": true, "bearer": true, "credential": true, "credentials": true, "accesskey": true, "secretaccesskey": true,
}

// SecretKey reports whether the value under a key of this name is a credential.
func SecretKey(key string) bool {
	return secretKeys[strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(key))]
}

// LooksSecret reports whether a text seems to hold a credential: a known
// token's shape, or a run of at least 32 characters that is too random for
// words. It errs towards yes; a resource has no use for such text.
func LooksSecret(s string) bool {
	if HasSecretShape(s) {
		return true
	}
	for run := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '+' && r != '=' && r != '_' && r != '-'
	}) {
		if random(run) {
			return true
		}
	}
	return false
}

// HasSecretShape reports whether a text has a known token's shape. Unlike
// [LooksSecret] it does not judge randomness, so it suits whole documents.
func HasSecretShape(s string) bool { return secretShapes.MatchString(s) }

// random judges a run without spaces. Names of people's making are letters with
// separators; what a generator makes is letters and digits mixed.
func random(s string) bool {
	if len(s) < 32 {
		return false
	}
	var count [128]int
	var digits, upper, lower, seps int
	for i := range len(s) {
		c := s[i]
		count[c]++
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		default:
			seps++
		}
	}
	var bits float64
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	if upper >= 2 && lower >= 2 {
		return digits >= 2 && bits >= 4
	}
	return seps == 0 && digits >= 4 && upper+lower >= 2 && bits >= 3
}

// secrets refuses a credential anywhere in a resource.
func (c *checker) secrets(r Resource) {
	c.walk("", reflect.ValueOf(r).Elem())
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (c *checker) walk(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if LooksSecret(v.String()) {
			c.secret(path)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			c.walk(path, v.Elem())
		}
	case reflect.Slice:
		c.walkSlice(path, v)
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			key := it.Key().String()
			at := join(path, key)
			if LooksSecret(key) {
				c.secret(path)
				continue
			}
			if e := it.Value(); v.Type().Elem().Kind() == reflect.Interface && SecretKey(key) && e.Elem().IsValid() && e.Elem().Kind() == reflect.String {
				c.secret(at)
				continue
			}
			c.walk(at, it.Value())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if f.Anonymous {
				c.walk(path, v.Field(i))
			} else if name != "-" {
				c.walk(join(path, name), v.Field(i))
			} else if f.Type == rawMessage && HasSecretShape(string(v.Field(i).Bytes())) {
				c.secret(join(path, strings.ToLower(f.Name)))
			}
		}
	}
}

func (c *checker) walkSlice(path string, v reflect.Value) {
	if v.Type() == rawMessage {
		return
	}
	for i := range v.Len() {
		c.walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (c *checker) secret(path string) {
	c.add(path, ErrSecret())
}

// ErrSecret is what is said about a credential in a resource. It never repeats it.
func ErrSecret() *fault.Error {
	return fault.New(fault.Invalid, "this looks like a secret value").
		WithHint("store it with: sallyport secret set NAME, and refer to it by name in a Connection")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
