package leaktest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strconv"
	"unicode/utf16"
)

// runs gives what decode makes of each run of at least n bytes that are in.
func runs(t []byte, n int, in *[256]bool, decode func(out, run []byte) []byte) (out []byte) {
	for i := 0; i < len(t); {
		end := i
		for end < len(t) && in[t[end]] {
			end++
		}
		if end-i >= n {
			out = decode(out, t[i:end])
		}
		i = end + 1
	}
	return out
}

// small is a text, in bytes, of which nothing is left out that decodes to noise.
const small = 2 << 10

// readable says that something was decoded and not only noise: a few characters
// in a row (UTF-16 has zeroes between them), or what begins packed data.
func readable(t []byte) bool {
	n := 0
	for i, c := range t {
		if c >= ' ' && c <= '~' || c == 0 || c == '\t' {
			if n++; n >= window {
				return true
			}
			continue
		}
		if n = 0; c == 0x1f && i+1 < len(t) && t[i+1] == 0x8b {
			return true
		}
	}
	return bytes.Contains(t, []byte{0x78, 0x9c}) || bytes.Contains(t, []byte{0x78, 0x01}) || bytes.Contains(t, []byte{0x78, 0xda})
}

// The alphabets of the codes.
var (
	isBase64  = alphabet(func(c byte) bool { return alnum(c) || c == '+' || c == '/' || c == '-' || c == '_' })
	isBase32  = alphabet(func(c byte) bool { return c >= '2' && c <= '7' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' })
	isHex     = alphabet(func(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' })
	isNumbers = alphabet(func(c byte) bool { return c >= '0' && c <= '9' || c == ' ' || c == ',' })
)

func alphabet(has func(byte) bool) *[256]bool {
	var in [256]bool
	for c := range in {
		in[c] = has(byte(c))
	}
	return &in
}

// unbase64 decodes a run at each alignment, with what is left of the last group.
func unbase64(out, run []byte) []byte {
	std := bytes.ReplaceAll(bytes.ReplaceAll(run, []byte("-"), []byte("+")), []byte("_"), []byte("/"))
	for skip := range 4 {
		t := std[skip:]
		for _, cut := range []int{len(t) % 4, 0} {
			at := len(out)
			out = append(out, make([]byte, base64.RawStdEncoding.DecodedLen(len(t)))...)
			n, _ := base64.RawStdEncoding.Decode(out[at:], t[:len(t)-cut])
			out = append(out[:at+n], '\n')
			if len(t)%4 == 0 {
				break
			}
		}
	}
	return out
}

func unbase32(out, run []byte) []byte {
	up := bytes.ToUpper(run)
	for skip := range min(8, len(up)) {
		t := up[skip:]
		if n := len(t) % 8; n == 1 || n == 3 || n == 6 {
			t = t[:len(t)-1] // no text ends so
		}
		d, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(string(t))
		out = append(append(out, d...), '\n')
	}
	return out
}

func unhex(out, run []byte) []byte {
	for skip := range 2 {
		t := run[skip:]
		d, _ := hex.DecodeString(string(t[:len(t)&^1]))
		out = append(append(out, d...), '\n')
	}
	return out
}

// unnumber reads a list of bytes in decimal.
func unnumber(out, run []byte) []byte {
	for _, f := range bytes.FieldsFunc(run, func(r rune) bool { return r == ' ' || r == ',' }) {
		if n, err := strconv.ParseUint(string(f), 10, 8); err == nil {
			out = append(out, byte(n))
		}
	}
	return append(out, '\n')
}

// wide reads a text as UTF-16 in both orders, where enough of it are zeroes.
func wide(t []byte) (out []byte) {
	if bytes.Count(t, []byte{0})*16 < len(t) {
		return nil
	}
	for skip := range 2 {
		var le, be []uint16
		for i := skip; i+1 < len(t); i += 2 {
			le = append(le, uint16(t[i])|uint16(t[i+1])<<8)
			be = append(be, uint16(t[i+1])|uint16(t[i])<<8)
		}
		out = append(append(out, string(utf16.Decode(le))+"\n"...), string(utf16.Decode(be))+"\n"...)
	}
	return out
}

// unwrap joins the lines of a code that was wrapped: runs of one with nothing
// but line ends and spaces between them, escaped or not.
func unwrap(t []byte) (out []byte) {
	const least, rest = 20, 4
	length := func(i int) (n int) {
		for i+n < len(t) && (isBase64[t[i+n]] && !breakAt(t, i+n) || t[i+n] == '=') {
			n++
		}
		return n
	}
	for i := 0; i < len(t); {
		n := length(i)
		if n < least {
			i += n + 1
			continue
		}
		from, lines := len(out), 1
		out = append(out, t[i:i+n]...)
		for i += n; ; lines++ {
			gap := skipBreaks(t[i:])
			if n = length(i + gap); gap == 0 || n < rest {
				break
			}
			out = append(out, t[i+gap:i+gap+n]...)
			i += gap + n
		}
		if out = append(out, '\n'); lines == 1 {
			out = out[:from]
		}
	}
	return out
}

// breakAt says that a run ends here although the byte could be of it.
func breakAt(t []byte, i int) bool { return i > 0 && t[i-1] == '\\' }

// skipBreaks is how many bytes of t are white space, as it is or escaped.
func skipBreaks(t []byte) (n int) {
	for n < len(t) {
		switch rest := t[n:]; {
		case rest[0] == ' ' || rest[0] == '\n' || rest[0] == '\r' || rest[0] == '\t':
			n++
		case rest[0] == '\\':
			after := bytes.TrimLeft(rest, `\`)
			if len(after) == 0 || bytes.IndexByte([]byte("nrt"), after[0]) < 0 {
				return n
			}
			n += len(rest) - len(after) + 1
		case bytes.HasPrefix(rest, []byte("%0A")) || bytes.HasPrefix(rest, []byte("%0D")) || bytes.HasPrefix(rest, []byte("%0a")) || bytes.HasPrefix(rest, []byte("%0d")):
			n += 3
		default:
			return n
		}
	}
	return n
}

// inflate unpacks what looks like gzip or zlib, up to a megabyte each.
func inflate(t []byte) (out []byte) {
	for i := 0; i+2 < len(t); i++ {
		if t[i] != 0x1f && t[i] != 0x78 {
			continue
		}
		var r io.Reader
		var err error
		switch {
		case t[i] == 0x1f && t[i+1] == 0x8b && t[i+2] == 8:
			r, err = gzip.NewReader(bytes.NewReader(t[i:]))
		case t[i] == 0x78 && (int(t[i])<<8|int(t[i+1]))%31 == 0:
			r, err = zlib.NewReader(bytes.NewReader(t[i:]))
		default:
			continue
		}
		if err == nil {
			d, _ := io.ReadAll(io.LimitReader(r, 1<<20)) // as far as it goes
			out = append(append(out, d...), '\n')
		}
	}
	return out
}
