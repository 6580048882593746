package leaktest

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

var (
	member = regexp.MustCompile(`"([a-z_]+)":\s*"((?:[^"\\]|\\.)*)"`)
	which  = regexp.MustCompile(`"index":\s*([0-9]+)`)
)

// deltas joins what a stream says in pieces: a model's answer comes as many small
// texts, one in each event or line. Texts are joined by their names, by their
// names and the index beside them, and by the fields of the events.
func deltas(t []byte) (out []byte) {
	if bytes.Count(t, []byte("data:")) < 3 && bytes.Count(t, []byte("\n{")) < 2 && bytes.Count(t, []byte("id:")) < 3 {
		return nil
	}
	joined := map[string][]byte{}
	var order []string
	join := func(key string, text []byte) {
		if joined[key] == nil {
			order = append(order, key)
		}
		joined[key] = append(joined[key], text...)
	}
	for line := range bytes.FieldsFuncSeq(t, func(r rune) bool { return r == '\n' || r == '\r' }) {
		index := ""
		if m := which.FindSubmatch(line); m != nil {
			index = string(m[1])
		}
		for _, m := range member.FindAllSubmatch(line, -1) {
			join(string(m[1]), m[2])
			if index != "" {
				join(string(m[1])+" "+index, m[2])
			}
		}
		if name, text, ok := bytes.Cut(line, []byte(":")); ok && len(name) < 16 && bytes.IndexByte(name, '{') < 0 {
			join(string(name)+":", bytes.TrimPrefix(text, []byte(" ")))
		}
	}
	for _, key := range order {
		out = append(append(out, joined[key]...), '\n')
	}
	return out
}

// Joined is a text, and what it says when it is read as the deltas of a stream.
func Joined(text string) string { return text + "\n" + string(deltas([]byte(text))) }

// stream is a carrier whose text is cut into deltas of n bytes, each in a frame.
// In format, TEXT stands for a delta and N for its number.
func stream(name, mediaType string, n int, takes func(string) bool, format, end string) Carrier {
	return Carrier{name, takes, true, func(text string, p func(string) []string) string {
		var b strings.Builder
		text = "so: " + text + "."
		for i := 0; len(text) > 0; i++ {
			k := min(n, len(text))
			delta := text[:k]
			if strings.Contains(format, `"TEXT"`) {
				delta = GoJSON(delta)
			}
			b.WriteString(strings.NewReplacer("TEXT", delta, "$N", fmt.Sprint(i)).Replace(format))
			text = text[k:]
		}
		return chunked(mediaType, b.String()+end, "", p)
	}}
}

// streams are the ways in which models and systems cut a text into deltas.
var streams = []Carrier{
	stream("deltas of a chat", "text/event-stream", 5, anything,
		`data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}`+"\n\n", "data: [DONE]\n\n"),
	stream("deltas of a message", "text/event-stream; charset=utf-8", 3, anything,
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"TEXT\"}}\n\n: still here\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
	stream("deltas of two choices", "text/event-stream", 5, anything,
		`data: {"choices":[{"index":0,"delta":{"content":"TEXT"}}]}`+"\r\n\r\n"+`data: {"choices":[{"index":1,"delta":{"content":"TEXT"}}]}`+"\r\n\r\n", ""),
	stream("deltas of arguments", "text/event-stream", 2, anything,
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"TEXT"}}]}}]}`+"\n\n", "data: [DONE]\n\n"),
	stream("deltas in lines", "application/x-ndjson", 5, anything, `{"model":"m","message":{"role":"assistant","content":"TEXT"},"done":false}`+"\n", `{"done":true}`+"\n"),
	stream("deltas in records", "application/jsonl", 7, anything, `{"id":"r$N","line":"TEXT"}`+"\n", ""),
	stream("deltas of text", "text/event-stream", 5, line, "data: TEXT\n\n", ""),
	stream("deltas in ids", "text/event-stream", 5, line, "id: TEXT\rdata: {}\r\r", ""),
}
