package deltas_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport.dev/internal/leaktest"
	"sallyport.dev/internal/scrub"
	"sallyport.dev/internal/scrub/deltas"
)

func TestWhatIsSeenInWholeTextsIsSeenInAWholeStream(t *testing.T) {
	value := leaktest.Mint("deltas", "whole", "token").Value
	set := build(t, value)
	index := leaktest.NewIndex(leaktest.Canary{Door: "deltas", Value: value, Parts: []string{value}})
	for i, enc := range append(leaktest.WholeEncoders, leaktest.Encoders...) {
		coded, ok := enc.Encode(value)
		if !ok {
			continue
		}
		for j, shape := range shapes {
			if i%5 != j%5 {
				continue // they take turns: the search takes long
			}
			if shape.name == "hardly JSON" || shape.name == "data in lines" || shape.name == "a list in events" {
				continue // whose texts the search doesn't join
			}
			var in strings.Builder
			in.WriteString(shape.before)
			for i, part := range cut("so: "+coded+" .", 5) {
				fmt.Fprintf(&in, strings.ReplaceAll(shape.each, "$N", fmt.Sprint(i)), quote(part))
			}
			in.WriteString(shape.after)
			out, r := deltas.Bytes(set, shape.mediaType, []byte(in.String()))
			index.Forget()
			if hits := index.Search(out); len(hits) > 0 || !r.Found() {
				t.Errorf("%s in %s: %v, %v in %.300q", enc.Name, shape.name, r, hits, out)
			}
		}
	}
}

func TestAWholeStreamWithoutASecretIsTheSame(t *testing.T) {
	in := []byte("event: x\ndata: {\"t\":\"" + short[:9] + "\"}\r\n\r\n" + event(1, "but not all of it") + "data: [DONE]\n\nrest")
	for _, set := range []*scrub.Set{build(t), nil, {}} {
		out, r := deltas.Bytes(set, sse, in)
		if &out[0] != &in[0] || r.Found() {
			t.Errorf("%v: %q", r, out)
		}
	}
}
