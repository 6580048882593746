package leaktest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Carrier is a way for an HTTP/1.1 answer to carry a text.
type Carrier struct {
	Name string
	// Takes says whether a text can stand there at all.
	Takes func(text string) bool
	// Shown says that what the text is without secrets is passed on to the caller:
	// where it is not, the whole place is dropped.
	Shown bool
	// Answer is all that the system sends; pieces cuts a body into HTTP's chunks.
	Answer func(text string, pieces func(string) []string) string
}

func anything(string) bool { return true }

// line says that a text is one line without what a header can't have.
func line(text string) bool {
	return text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// token says that a text can be a header's name.
func token(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~") == ""
}

// letters says that a text can be a host's name.
func letters(text string) bool {
	return text != "" && len(text) < 250 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// head is a status line and headers, before the empty line.
func head(status string, headers ...string) string {
	return "HTTP/1.1 " + status + "\r\n" + strings.Join(append(headers, "Connection: close"), "\r\n") + "\r\n"
}

func sized(status, mediaType, body string, headers ...string) string {
	return head(status, append(headers, "Content-Type: "+mediaType, fmt.Sprint("Content-Length: ", len(body)))...) + "\r\n" + body
}

func chunked(mediaType, body, trailer string, pieces func(string) []string, headers ...string) string {
	var b strings.Builder
	b.WriteString(head("200 OK", append(headers, "Content-Type: "+mediaType, "Transfer-Encoding: chunked")...) + "\r\n")
	for _, p := range pieces(body) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String() + "0\r\n" + trailer + "\r\n"
}

func packed(text string, w func(io.Writer) io.WriteCloser) string {
	var b bytes.Buffer
	z := w(&b)
	_, _ = io.WriteString(z, text) // to memory
	_ = z.Close()
	return b.String()
}

func gzipped(text string) string {
	return packed(text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func zlibbed(text string) string {
	return packed(text, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
}

func deflated(text string) string {
	return packed(text, func(w io.Writer) io.WriteCloser {
		z, _ := flate.NewWriter(w, flate.BestSpeed) // a level that there is
		return z
	})
}

// body is a carrier whose text is in a body that is made so.
func body(name string, answer func(text string, pieces func(string) []string) string) Carrier {
	return Carrier{name, anything, true, answer}
}

// field is a carrier whose text is in a header line, where format has it.
func field(name, status, format string, shown bool) Carrier {
	return Carrier{name, line, shown, func(text string, _ func(string) []string) string {
		return sized(status, "text/plain", "x", fmt.Sprintf(format, text))
	}}
}

// raw is a carrier of bytes that are hardly HTTP.
func raw(name, format string) Carrier {
	return Carrier{name, anything, false, func(text string, _ func(string) []string) string {
		return strings.ReplaceAll(format, "TEXT", text)
	}}
}

// Carriers are every place of an answer that text can come in.
var Carriers = slices.Concat(places, streams)

var places = []Carrier{
	body("JSON", func(t string, _ func(string) []string) string {
		return sized("200 OK", "application/json", `{"ok":true,"note":"`+t+`","n":1}`)
	}),
	body("text in chunks", func(t string, p func(string) []string) string {
		return chunked("text/plain", "you sent "+t+" to us\n", "", p)
	}),
	body("a page", func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/html", "<html><body><pre>"+t+"</pre></body></html>")
	}),
	body("an error page", func(t string, p func(string) []string) string {
		return strings.Replace(chunked("text/html", "<h1>Oops</h1><p>"+t+"</p>", "", p), "200 OK", "500 Oops", 1)
	}),
	body("a problem", func(t string, _ func(string) []string) string {
		return sized("403 Forbidden", "application/problem+json", `{"title":"no","detail":"`+t+`"}`)
	}),
	body("until the end", func(t string, _ func(string) []string) string {
		return head("200 OK", "Content-Type: text/plain") + "\r\nbefore " + t + " after"
	}),
	body("events", func(t string, p func(string) []string) string {
		return chunked("text/event-stream", "event: x\ndata: {\"a\":1}\n\ndata: "+t+"\n\nid: 3\ndata: end\n\n", "", p)
	}),
	body("lines of JSON", func(t string, p func(string) []string) string {
		return chunked("application/x-ndjson", "{\"a\":\"b\"}\n{\"t\":\""+t+"\"}\n{}\n", "", p)
	}),
	body("parts", func(t string, _ func(string) []string) string {
		return sized("200 OK", "multipart/mixed; boundary=b", "--b\r\nContent-Type: text/plain\r\n\r\n"+t+"\r\n--b--\r\n")
	}),
	body("a long body", func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain", strings.Repeat("filler of no meaning. ", 1500)+t+strings.Repeat(" more of it", 700))
	}),
	body("at the end of a buffer", func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain", strings.Repeat(".", 32<<10-len(t)/2)+t)
	}),
	body("a body that is cut", func(t string, _ func(string) []string) string {
		return head("200 OK", "Content-Type: text/plain", "Content-Length: 9999999") + "\r\nso far " + t
	}),
	body("chunks that are cut", func(t string, p func(string) []string) string {
		return strings.TrimSuffix(chunked("text/plain", t, "", p), "0\r\n\r\n")
	}),
	body("gzip", func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain", gzipped("in it: "+t), "Content-Encoding: gzip")
	}),
	body("gzip in chunks", func(t string, p func(string) []string) string {
		return chunked("application/json", gzipped(`{"t":"`+t+`"}`), "", p, "Content-Encoding: gzip")
	}),
	body("deflate", func(t string, p func(string) []string) string {
		return chunked("text/plain", zlibbed(t), "", p, "Content-Encoding: deflate")
	}),
	body("bare deflate", func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain", deflated(t), "Content-Encoding: deflate")
	}),
	field("a header", "200 OK", "X-Echo: %s", true),
	field("a header with more", "200 OK", "Link: <https://a.example/?t=%s>; rel=next", true),
	field("a disposition", "200 OK", `Content-Disposition: attachment; filename="%s"`, true),
	field("the server's name", "200 OK", "Server: x/1 (%s)", true),
	field("a location", "302 Found", "Location: https://a.example/?state=%s", true),
	field("a cookie", "200 OK", "Set-Cookie: session=%s; Path=/", false),
	field("a challenge", "401 Unauthorized", `WWW-Authenticate: Bearer realm="%s"`, false),
	field("a proxy's challenge", "407 x", `Proxy-Authenticate: Digest realm="%s"`, false),
	field("authentication info", "200 OK", "Authentication-Info: nextnonce=%s", false),
	field("a refresh", "200 OK", "Refresh: 0; url=https://a.example/%s", false),
	field("another service", "200 OK", `Alt-Svc: h2="%s:443"`, false),
	field("an unknown encoding", "200 OK", "Content-Encoding: %s", false),
	{"a media type", line, true, func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain; charset="+t, "x")
	}},
	{"a header's name", token, true, func(t string, _ func(string) []string) string {
		return sized("200 OK", "text/plain", "x", "X-"+t+": y")
	}},
	{"a host", letters, true, func(t string, _ func(string) []string) string {
		return sized("307 x", "text/plain", "x", "Location: https://"+t+".example/x")
	}},
	{"the status", line, true, func(t string, _ func(string) []string) string {
		return sized("200 OK "+t, "text/plain", "x")
	}},
	{"a long status", line, false, func(t string, _ func(string) []string) string {
		return sized("503 "+strings.Repeat("busy ", 16)+t, "text/plain", "x")
	}},
	{"a trailer", line, true, func(t string, p func(string) []string) string {
		return chunked("text/plain", "x", "X-Sum: "+t+"\r\n", p, "Trailer: X-Sum")
	}},
	{"a trailer that was not announced", line, true, func(t string, p func(string) []string) string {
		return chunked("text/plain", "x", "X-Sum: "+t+"\r\n", p)
	}},
	{"a trailer's name", token, true, func(t string, p func(string) []string) string {
		return chunked("text/plain", "x", "X-"+t+": y\r\n", p, "Trailer: X-"+t)
	}},
	{"an early hint", line, false, func(t string, _ func(string) []string) string {
		return "HTTP/1.1 103 " + t + "\r\nLink: <" + t + ">\r\n\r\n" + sized("200 OK", "text/plain", "x")
	}},
	{"an upgrade", line, false, func(t string, _ func(string) []string) string {
		return "HTTP/1.1 101 " + t + "\r\nConnection: Upgrade\r\nUpgrade: " + t + "\r\n\r\n" + t
	}},
	{"a chunk's extension", line, false, func(t string, _ func(string) []string) string {
		return head("200 OK", "Transfer-Encoding: chunked") + "\r\n1;x=" + t + "\r\nx\r\n0\r\n\r\n"
	}},
	raw("no HTTP", "TEXT\r\n\r\n"),
	raw("another version", "HTTP/9.TEXT 200 OK\r\n\r\n"),
	raw("a status that is no number", "HTTP/1.1 TEXT\r\n\r\n"),
	raw("a header without a colon", "HTTP/1.1 200 OK\r\nTEXT\r\n\r\n"),
	raw("a length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: TEXT\r\n\r\n"),
	raw("a chunk that is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nTEXT\r\n"),
	raw("an encoding of transfer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: TEXT\r\n\r\n"),
	raw("bytes that are not gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nTEXT"),
}
