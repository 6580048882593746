package mission_test

import (
	"encoding/json"
	"testing"

	"sallyport.dev/internal/intent"
	"sallyport.dev/internal/mission"
)

func TestAModelReadsWhatAnMCPResultSays(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"structured":   {`{"content":[{"type":"text","text":"{\"id\":1}"}],"structuredContent":{"id":"T-1"}}`, `{"id":"T-1"}`},
		"JSON as text": {`{"content":[{"type":"text","text":"{\"id\":\"T-1\"}"}]}`, `{"id":"T-1"}`},
		"texts":        {`{"content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]}`, `"one\ntwo"`},
		"an image":     {`{"content":[{"type":"text","text":"see"},{"type":"image","mimeType":"image/png","data":"AAAAAAAA"}]}`, `"see\n[image/png, 6 bytes]"`},
		"a resource":   {`{"content":[{"type":"resource","resource":{"uri":"file:///a","text":"words"}}]}`, `"[file:///a]\nwords"`},
		"a binary one": {`{"content":[{"type":"resource","resource":{"uri":"file:///a","mimeType":"application/pdf","blob":"AAAA"}}]}`, `"[file:///a: application/pdf, 3 bytes]"`},
		"a link":       {`{"content":[{"type":"resource_link","uri":"file:///a","name":"A"}]}`, `"[A file:///a]"`},
		"nothing":      {`{}`, `""`},
		"cut":          {`{"content":[{"type":"te`, `{"content":[{"type":"te`},
	} {
		r := &intent.Result{ContentType: intent.MCPResult, Body: json.RawMessage(c.body)}
		if got := string(mission.Readable(r)); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := string(mission.Readable(&intent.Result{ContentType: "application/json", Body: json.RawMessage(`{"content":[]}`)})); got != `{"content":[]}` {
		t.Errorf("of another Integration: %s", got)
	}
}
