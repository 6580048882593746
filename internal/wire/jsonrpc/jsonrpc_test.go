package jsonrpc_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/wire/jsonrpc"
)

func TestARequestIsReadWithItsExactMembers(t *testing.T) {
	m, err := jsonrpc.Decode([]byte(` {"Method":"other","jsonrpc":"2.0","id":7,"method":"tools/call","params":{"Name":"x","name":"crm__get","arguments":{"a":[1,{"b":null}]}}} `), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !m.IsRequest() || m.Method != "tools/call" || m.ID != jsonrpc.IntID(7) {
		t.Fatalf("read as %+v", m)
	}
	if name, _ := m.Params.Text("name"); name != "crm__get" {
		t.Errorf("the name is %q", name)
	}
	if args, _ := m.Params.Get("arguments"); string(args) != `{"a":[1,{"b":null}]}` {
		t.Errorf("the arguments are %s", args)
	}
}

func TestTheKindsOfMessagesAreToldApart(t *testing.T) {
	for in, want := range map[string][3]bool{
		`{"jsonrpc":"2.0","id":"a","method":"ping"}`:                       {true, false, false},
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`: {false, true, false},
		`{"jsonrpc":"2.0","id":1,"result":{}}`:                             {false, false, true},
		`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m"}}`:    {false, false, true},
	} {
		m, err := jsonrpc.Decode([]byte(in), 1000)
		if got := [3]bool{m.IsRequest(), m.IsNotification(), m.IsAnswer()}; err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
}

func TestWhatTwoParsersCouldReadInTwoWaysIsRefused(t *testing.T) {
	deep := strings.Repeat("[", 80) + strings.Repeat("]", 80)
	for in, code := range map[string]int64{
		``:                          jsonrpc.CodeParse,
		`{`:                         jsonrpc.CodeParse,
		`{"jsonrpc":"2.0"} {}`:      jsonrpc.CodeParse,
		"{\"jsonrpc\":\"2.0\xff\"}": jsonrpc.CodeParse,
		`[]`:                        jsonrpc.CodeInvalidRequest,
		`7`:                         jsonrpc.CodeInvalidRequest,
		`{"id":1,"method":"ping"}`:  jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"1.0","id":1,"method":"ping"}`:                                  jsonrpc.CodeInvalidRequest,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`:                                jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`:                                jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":null,"method":"ping"}`:                               jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":{},"method":"ping"}`:                                 jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":7}`:                                       jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`:                      jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`:                      jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`:      jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1}`:                                                  jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"error":"no"}`:                                     jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`:                           jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":{"a":1,"\u0061":2}}}`:   jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\ud800"}}`:             jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"\udc00":1}}`:               jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":` + deep + `}}`:         jsonrpc.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 300) + `","method":"ping"}`: jsonrpc.CodeInvalidRequest,
	} {
		_, err := jsonrpc.Decode([]byte(in), 1000)
		if !fault.Is(err, fault.Invalid) || jsonrpc.CodeOf(err) != code {
			t.Errorf("%.60s: %v, code %d", in, err, jsonrpc.CodeOf(err))
		}
	}
}

func TestAMessageOverTheLimitIsRefusedUnread(t *testing.T) {
	if _, err := jsonrpc.Decode([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), 10); !fault.Is(err, fault.Limit) {
		t.Errorf("got %v", err)
	}
}

func TestTheIDOfARequestThatIsWrongIsKnown(t *testing.T) {
	m, err := jsonrpc.Decode([]byte(`{"jsonrpc":"2.0","id":9,"method":"ping","params":[]}`), 1000)
	if err == nil || m.ID != jsonrpc.IntID(9) {
		t.Errorf("id %s, error %v", m.ID, err)
	}
}

func TestIDsThatMeanTheSameAreTheSame(t *testing.T) {
	a, _ := jsonrpc.ReadID(json.RawMessage(`"\u0061"`))
	if a != jsonrpc.StringID("a") {
		t.Errorf("read as %s", a)
	}
	if jsonrpc.StringID("1") == jsonrpc.IntID(1) {
		t.Error("a string and a number are one id")
	}
}

func TestManyKeysAreStillComparedAllWithAll(t *testing.T) {
	o := map[string]int{}
	for i := range 100 {
		o[strings.Repeat("k", i+1)] = i
	}
	b, _ := json.Marshal(o)
	if _, err := jsonrpc.ReadObject(b); err != nil {
		t.Fatal(err)
	}
	b = append(b[:len(b)-1], `,"kkk":1}`...)
	if _, err := jsonrpc.ReadObject(b); err == nil {
		t.Error("a repeated key among many was taken")
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	id := jsonrpc.StringID("a\"\n<\u2028")
	for _, b := range [][]byte{
		jsonrpc.AppendRequest(nil, id, "tools/list", []byte(`{"a":1}`)),
		jsonrpc.AppendRequest(nil, jsonrpc.ID{}, "notifications/progress", nil),
		jsonrpc.AppendResult(nil, id, []byte(`{"b":2}`)),
		jsonrpc.AppendError(nil, jsonrpc.ID{}, jsonrpc.Error{Code: -32700, Message: "no \"JSON\"\n", Data: []byte(`{}`)}),
	} {
		if strings.ContainsAny(string(b), "\n") {
			t.Errorf("%s is not one line", b)
		}
		if _, err := jsonrpc.Decode(b, 1000); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	m, _ := jsonrpc.Decode(jsonrpc.AppendResult(nil, id, []byte(`{"b":2}`)), 1000)
	if m.ID != id || string(m.Result) != `{"b":2}` {
		t.Errorf("read as %+v", m)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,2,{"y":"\ud83d\ude00"}]}}}`,
		`{"jsonrpc":"2.0","id":"a","result":{"content":[]}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}`,
		`[{}]`, `{"jsonrpc":"2.0","id":1,"id":2}`, `{"a":{"b":{}},"a":[]}`, "{\"jsonrpc\" : \"2.0\" , \"id\":-0, \"method\":\"x\"}\n", `{"":"\\u`, `"\ud800"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := jsonrpc.Decode(b, 1<<16)
		if err != nil {
			return
		}
		// What was taken has one meaning: the standard library sees the same.
		var whole map[string]json.RawMessage
		if json.Unmarshal(b, &whole) != nil {
			t.Fatalf("taken, but no JSON object: %q", b)
		}
		if m.Method != "" {
			var method string
			if json.Unmarshal(whole["method"], &method) != nil || method != m.Method {
				t.Fatalf("the method is read as %q", m.Method)
			}
		}
		var want, got map[string]any
		if m.Raw != nil {
			if err := json.Unmarshal(whole["params"], &want); err != nil {
				t.Fatal(err)
			}
			got = map[string]any{}
			for _, p := range m.Params {
				var v any
				if err := json.Unmarshal(p.Value, &v); err != nil {
					t.Fatalf("member %q: %v", p.Key, err)
				}
				got[p.Key] = v
			}
			if len(m.Params) != len(want) || !reflect.DeepEqual(got, want) {
				t.Fatalf("members %v, want %v", got, want)
			}
		}
	})
}
