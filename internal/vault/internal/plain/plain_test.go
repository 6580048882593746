package plain_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sallyport.dev/internal/vault/internal/plain"
)

const canary = "canary-7b1d9f04e2"

func TestAValueNeverPrints(t *testing.T) {
	v := plain.New([]byte(canary))
	type wrapped struct {
		In  plain.Value
		Ptr *plain.Value
		Err error
		in  plain.Value
	}
	w := wrapped{v, &v, fmt.Errorf("with %v", v), v}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, "w", w)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v, "w", w)
	out := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%T"} {
		out += fmt.Sprintf(verb, v) + fmt.Sprintf(verb, &v) + fmt.Sprintf(verb, []plain.Value{v}) + fmt.Sprintf(verb, w)
	}
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), decimal, decimal[:20]} {
		if strings.Contains(out, form) {
			t.Errorf("a Value printed itself as %q", form)
		}
	}
}

func TestAValueIsNotEncoded(t *testing.T) {
	v := plain.New([]byte(canary))
	if b, err := json.Marshal(v); err == nil {
		t.Errorf("json wrote %s", b)
	}
	if b, err := json.Marshal(map[string]any{"a": &v}); err == nil {
		t.Errorf("json wrote %s", b)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(v); err == nil {
		t.Error("gob encoded a Value")
	}
}

func TestAPageHoldsTheKeyUntilItIsWiped(t *testing.T) {
	v := plain.New([]byte(canary))
	p, err := plain.NewPage(v)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain.Bytes(v), make([]byte, len(canary))) {
		t.Error("the Value that was moved into the page is still readable")
	}
	var lent []byte
	if !plain.Use(p, func(k []byte) { lent = k }) || string(lent) != canary {
		t.Fatal("the page does not hold the key")
	}
	plain.WipePage(p)
	if !bytes.Equal(lent, make([]byte, len(canary))) {
		t.Error("the key is in memory after it was wiped")
	}
	if plain.Use(p, func([]byte) {}) {
		t.Error("a wiped page lends a key")
	}
}

func TestDoPassesPanicsOn(t *testing.T) {
	var want any = errors.New("boom") // the value itself has to arrive
	defer func() {
		if r := recover(); r != want {
			t.Errorf("recovered %v", r)
		}
	}()
	plain.Do(func() { panic(want) })
}
