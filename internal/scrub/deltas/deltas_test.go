package deltas_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/deltas"
)

const (
	sse    = "text/event-stream"
	ndjson = "application/x-ndjson"
	secret = `sk-9f27Kq0ZxW4v81/+"onEtWo`
	short  = "q7Zr4mWx9K"
)

func build(t testing.TB, values ...string) *scrub.Set {
	t.Helper()
	all := []scrub.Secret{{Name: "erp", Value: []byte(secret)}, {Name: "crm", Value: []byte(short)}}
	for _, v := range values {
		all = append(all, scrub.Secret{Name: "more", Value: []byte(v)})
	}
	set, err := scrub.Build(all)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// through gives what comes out of a stream that is written in pieces of n bytes.
func through(t testing.TB, set *scrub.Set, mediaType, in string, n int) string {
	t.Helper()
	var out bytes.Buffer
	s := deltas.NewStream(set, mediaType, &out)
	for len(in) > 0 {
		k := min(n, len(in))
		if _, err := io.WriteString(s, in[:k]); err != nil {
			t.Fatal(err)
		}
		in = in[k:]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// strings of all values by path and by name, joined: what readers put together.
func said(t testing.TB, out string) map[string]string {
	t.Helper()
	all := map[string]string{}
	out = strings.NewReplacer("{\"t\":\ndata: ", "{\"t\":", ",\ndata: \"n\"", ",\"n\"").Replace(out)
	for line := range strings.FieldsFuncSeq(out, func(r rune) bool { return r == '\n' || r == '\r' }) {
		all["wire"] += line
		if line == "data: [DONE]" {
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.Contains(name, "{") {
			all["field "+name] += strings.TrimPrefix(value, " ")
			line = strings.TrimPrefix(value, " ")
		}
		line = strings.TrimPrefix(line, "\x1e")
		if strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
			var v any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%v: not JSON any more: %q", err, line)
			}
			walk(all, "", "", v)
		}
	}
	return all
}

func walk(all map[string]string, path, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if i, ok := v["index"]; ok {
			path += fmt.Sprint("#", i)
		}
		for k, e := range v {
			walk(all, path+"."+k, k, e)
		}
	case []any:
		for i, e := range v {
			if m, ok := e.(map[string]any); ok && m["index"] != nil {
				i = 0
			}
			walk(all, fmt.Sprint(path, "[", i, "]"), name, e)
		}
	case string:
		all[path] += v
		all["name "+name] += v
	}
}

// clean fails when something of what was said has a secret, or nothing was found.
func clean(t *testing.T, set *scrub.Set, where, out string) {
	t.Helper()
	for channel, text := range said(t, out) {
		if names := set.Contains([]byte(text)); len(names) > 0 {
			t.Errorf("%s: %v in %s: %.400q", where, names, channel, text)
		}
	}
	if !strings.Contains(out, "[secret:") {
		t.Errorf("%s: nothing was put in: %.400q", where, out)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s) // of a string, which never fails
	return string(b)
}

func cut(s string, n int) (all []string) {
	for len(s) > 0 {
		k := min(n, len(s))
		all, s = append(all, s[:k]), s[k:]
	}
	return all
}

// shapes are the ways in which models and systems stream a text.
var shapes = []struct {
	name, mediaType, before, each, after string
}{
	{"OpenAI chat", sse, "", `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}` + "\n\n", "data: [DONE]\n\n"},
	{"OpenAI tool call", sse, `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}` + "\n\n",
		`data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":%s},"index":1}]},"index":0}]}` + "\n\n", "data: [DONE]\n\n"},
	{"OpenAI reasoning", sse, "", `data: {"choices":[{"index":0,"delta":{"reasoning_content":%s}}]}` + "\n\n", ""},
	{"OpenAI refusal", sse, "", `data: {"choices":[{"index":0,"delta":{"refusal":%s}}]}` + "\n\n", ""},
	{"OpenAI responses", sse, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n",
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":%s}\n\n", "event: response.completed\ndata: {}\n\n"},
	{"Anthropic text", sse, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\"}}\n\n: ping\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%s}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	{"Anthropic arguments", sse, "", "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":%s}}\n\n", ""},
	{"Anthropic thinking", sse, "", "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":%s}}\r\n\r\n", ""},
	{"Gemini", sse, "", `data: {"candidates":[{"content":{"parts":[{"text":%s}],"role":"model"}}],"usageMetadata":{"n":1}}` + "\r\n\r\n", ""},
	{"Ollama", ndjson, "", `{"model":"llama","message":{"role":"assistant","content":%s},"done":false}` + "\n", `{"done":true}` + "\n"},
	{"a log", ndjson, "", `{"ts":17,"line":%s}` + "\n", ""},
	{"a log with ids", "application/jsonl; charset=utf-8", "", `{"id":"$N","ts":17,"line":%s}` + "\n", ""},
	{"a list in events", sse, "", "data: [\"token\",%s]\n\n", ""},
	{"records", "application/json-seq", "", "\x1e{\"t\":%s}\n", ""},
	{"CR alone", sse, "\ufeff: hi\r\r", "event:x\rid:1\rdata:{\"t\":%s}\r\r", "data: end\r\r"},
	{"data in lines", sse, "", "data: {\"t\":\ndata: %s,\ndata: \"n\":1}\nid: 4\n\n", ""},
	{"hardly JSON", sse, "", "data: {\"t\":%s,}\n\n", ""},
}

func TestASecretThatIsCutIntoDeltasIsFoundInEveryShapeOfAStream(t *testing.T) {
	set := build(t)
	for _, shape := range shapes {
		for _, text := range []string{secret, short} {
			for _, size := range []int{1, 2, 5, 16} {
				var in strings.Builder
				in.WriteString(shape.before)
				for i, part := range cut("it is "+text+", I think", size) {
					fmt.Fprintf(&in, strings.ReplaceAll(shape.each, "$N", fmt.Sprint(i)), quote(part))
				}
				in.WriteString(shape.after)
				where := fmt.Sprint(shape.name, " in deltas of ", size)
				whole := through(t, set, shape.mediaType, in.String(), in.Len())
				if shape.name == "hardly JSON" {
					if got := strings.Join(strings.FieldsFunc(strings.NewReplacer("data: {\"t\":\"", "", "\",}", "").Replace(whole), func(r rune) bool { return r == '\n' }), ""); len(set.Contains([]byte(got))) > 0 || !strings.Contains(got, "[secret:") {
						t.Errorf("%s: %q", where, got)
					}
				} else {
					clean(t, set, where, whole)
				}
				for _, n := range []int{1, 7, 4096} {
					if got := through(t, set, shape.mediaType, in.String(), n); got != whole {
						t.Errorf("%s, written in %d: %q, not %q", where, n, got, whole)
					}
				}
			}
		}
	}
}

func TestWhatStandsAroundASecretStaysAsItWasWritten(t *testing.T) {
	in := "event: x\ndata: {\"a\" : 1.50, \"t\":\"caf\\u00e9 \\/ " + short[:4] + "\"}\n\n" +
		": ping\n\ndata: {\"n\":123456789012345678901234567890,\"t\":\"" + short[4:] + "\\n\\ud83d \\ud83d\\ude00\",\"u\":true}\n\ndata: [DONE]\n\n"
	want := "event: x\ndata: {\"a\" : 1.50, \"t\":\"caf\\u00e9 \\/ [secret:crm]\"}\n\n" +
		": ping\n\ndata: {\"n\":123456789012345678901234567890,\"t\":\"\\n\\ud83d \\ud83d\\ude00\",\"u\":true}\n\ndata: [DONE]\n\n"
	if got := through(t, build(t), sse, in, 3); got != want {
		t.Errorf("\n%q, not\n%q", got, want)
	}
}

func TestFramesWithoutASecretLeaveAtOnceAndByteForByte(t *testing.T) {
	set := build(t)
	for _, in := range []string{
		"data: {\"t\":\"hello!\"}\n\n", "\ufeffdata: x.\n\n", ": c.\n\n", "id\n\n", "retry: 10\n\n", "data\r\n\r\n", "\n", "\r\n", "data: {\"a\":[1,2,{\"b\":\".\"}],}\n\n",
		"data: \"lone \\ud800 \xff.\"\n\n", "event: e.\ndata: 1e999\ndata: 2\n\n", "data: {\"a\":\"\",\"a\":\".\",\"a\":{}}\n\n", "data: {\"open.\n\n",
	} {
		var out bytes.Buffer
		s := deltas.NewStream(set, sse, &out)
		for i := range len(in) {
			_, _ = io.WriteString(s, in[i:i+1])
		}
		if out.String() != in {
			t.Errorf("%q, not %q", out.String(), in)
		}
		if err := s.Close(); err != nil || out.String() != in {
			t.Errorf("at the end %v, %q, not %q", err, out.String(), in)
		}
	}
}

func TestAFrameWaitsOnlyUntilItIsDecided(t *testing.T) {
	var out bytes.Buffer
	s := deltas.NewStream(build(t), sse, &out)
	step := func(in, want string) {
		t.Helper()
		out.Reset()
		if _, err := io.WriteString(s, in); err != nil || out.String() != want {
			t.Errorf("after %q: %v %q, not %q", in, err, out.String(), want)
		}
	}
	first, ping := "data: {\"t\":\"a "+short[:3]+"\"}\n\n", ": ping.\n\n"
	step(first, "")
	step(ping, "")
	step("data: {\"t\":\"but no.\"}\n\n", first+ping+"data: {\"t\":\"but no.\"}\n\n")
	step(first, "")
	step("data: {\"t\":\""+short[3:]+".\"}\n\n", "data: {\"t\":\"a [secret:crm]\"}\n\ndata: {\"t\":\".\"}\n\n")
	step(first, "")
	out.Reset()
	if err := s.Close(); err != nil || out.String() != first {
		t.Errorf("at the end: %v %q", err, out.String())
	}
	if r := s.Report(); r.Total() != 1 || r.Names()[0] != "crm" {
		t.Errorf("the report says %v", r)
	}
}

func TestTwoChoicesInTurnAreTwoTexts(t *testing.T) {
	set := build(t)
	for _, format := range []string{
		`data: {"choices":[{"index":%d,"delta":{"content":%s}}]}` + "\n\n",
		"event: content_block_delta\ndata: {\"index\":%d,\"delta\":{\"text\":%s}}\n\n",
		"data: {\"item_id\":\"i%d\",\"delta\":%s}\n\n",
	} {
		var in strings.Builder
		for _, part := range cut("so: "+secret+" and "+short, 3) {
			for i := range 3 {
				fmt.Fprintf(&in, format, i, quote(part))
			}
		}
		out := through(t, set, sse, in.String(), 100)
		if n := strings.Count(out, "[secret:"); n != 6 {
			t.Errorf("%d places, not 6: %q", n, out)
		}
		if strings.Contains(format, "item_id") {
			continue // the three together are no text
		}
		clean(t, set, format, out)
	}
	// Choices in one frame, of which now one and then the other is left out.
	var in strings.Builder
	for i, part := range cut(secret+" "+secret, 4) {
		one, two := `{"index":0,"t":`+quote(part)+`}`, `{"index":1,"t":`+quote(part)+`}`
		fmt.Fprintf(&in, "data: {\"c\":[%s]}\n\n", []string{one + "," + two, two + "," + one}[i%2])
	}
	if out := through(t, set, sse, in.String(), 100); strings.Count(out, "[secret:") != 4 {
		t.Errorf("%q", out)
	}
}

func TestEncodingsOfASecretAreFoundAcrossDeltas(t *testing.T) {
	set := build(t)
	inner := quote(secret)
	for name, text := range map[string]string{
		"base64": base64.StdEncoding.EncodeToString([]byte("x:" + secret + "-y")), "hex": hex.EncodeToString([]byte(secret)),
		"JSON": `{"token":` + inner + `}`, "JSON in JSON": `{"args":` + quote(`{"t":`+inner+`}`) + `}`,
		"percent": "%73%6b%2D%39%66%32%37%4b%71%30%5a%78%57%34%76%38%31%2f%2b%22%6f%6e%45%74%57%6f",
		"escapes": `\u0073\u006b-9f27Kq0ZxW4v81\/\u002b\u0022onEtWo`, "entities": "sk-9f27Kq0ZxW4v81/+&quot;onEtWo",
	} {
		for _, size := range []int{1, 2, 5} {
			var in strings.Builder
			for _, part := range cut("<"+text+">", size) {
				fmt.Fprintf(&in, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":%s}}]}}]}\n\n", quote(part))
			}
			clean(t, set, fmt.Sprint(name, " in deltas of ", size), through(t, set, sse, in.String(), 11))
		}
	}
}

func TestFieldsAndCommentsAndTextAreChannelsToo(t *testing.T) {
	set := build(t)
	for _, format := range []string{"event: %s\ndata: {}\n\n", "id: %s\ndata: x\n\n", ": %s\n\n", ":%s\n", "data: %s\n\n", "data: %s\n", "retry: %s\n\n", "%s\n\n", "x-field: %s\n\n", "data: {}\nid: %s\nevent: y\n\n"} {
		var in strings.Builder
		for _, part := range cut(short, 5) {
			fmt.Fprintf(&in, format, part)
		}
		out := through(t, set, sse, in.String(), 1)
		rest := strings.ReplaceAll(out, "[secret:crm]", "*")
		for _, around := range strings.Split(format, "%s") {
			rest = strings.ReplaceAll(rest, around, "")
		}
		if rest != "*" {
			t.Errorf("%q: %q has %q", format, out, rest)
		}
	}
}

func TestAnEventThatSaysTheWholeAtTheEndIsScrubbedToo(t *testing.T) {
	set := build(t)
	in := "event: response.output_text.delta\ndata: {\"delta\":\"" + short[:5] + "\"}\n\nevent: response.output_text.delta\ndata: {\"delta\":\"" + short[5:] + "\"}\n\n" +
		"event: response.completed\ndata: {\"response\":{\"output\":[{\"content\":[{\"text\":\"" + short + "\"}]}]}}\n\n"
	out := through(t, set, sse, in, 9)
	clean(t, set, "the end", out)
	if strings.Count(out, "[secret:crm]") != 2 {
		t.Errorf("%q", out)
	}
}

func TestAReaderGivesWhatIsReadBeforeItsSourceFails(t *testing.T) {
	src := io.MultiReader(strings.NewReader("data: {\"t\":\""+short[:6]+"\"}\n\ndata: {\"t\":\""+short[6:]), iotest.ErrReader(io.ErrUnexpectedEOF))
	b, err := io.ReadAll(deltas.Reader(build(t), sse, iotest.OneByteReader(src)))
	if err != io.ErrUnexpectedEOF { //nolint:errorlint // it is passed on as it is
		t.Error(err)
	}
	if want := "data: {\"t\":\"[secret:crm]\"}\n\ndata: {\"t\":\""; string(b) != want {
		t.Errorf("%q, not %q", b, want)
	}
}
