package origin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/origin"
)

// hostile are answers of a size made to be slow, with arguments that fit them.
func hostile(size int) map[string][2]string {
	long := strings.Repeat("a1 ", 20_000)
	var near []string
	for i := range 60 {
		near = append(near, strings.Repeat("a1 ", i+2)+"b")
	}
	steps, _ := json.Marshal(near)
	mules := make([]string, 150)
	for i := range mules {
		mules[i] = fmt.Sprintf("GB29 NWBK 6016 13%02d 9268 %03d", i%100, i)
	}
	many, _ := json.Marshal(mules)
	entities := strings.Repeat("&#71;&#66;%47%42", size/16)
	return map[string][2]string{
		"prose":        {`"` + strings.Repeat("The quick brown fox 12,500.00 jumps. ", size/37) + `"`, string(many)},
		"near misses":  {`"` + strings.Repeat("a1 ", size/3) + `"`, string(steps)},
		"one long":     {`"` + strings.Repeat("a1 ", size/3) + `"`, `{"x":"` + long + `c"}`},
		"small values": {"[" + strings.Repeat("1,", size/2-1) + "1]", string(many)},
		"small names":  {"{" + strings.Repeat(`"a":"b",`, size/8-1) + `"a":1}`, string(many)},
		"deep":         {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), string(many)},
		"base64":       {`"` + strings.Repeat("R0IyOSBOV0JLIDYwMTYgMTMz", size/24) + `"`, string(many)},
		"entities":     {`"` + entities + `"`, string(many)},
		"digits":       {strings.Repeat("1,234.567 ", size/10), `["1,234.567","1234567","1234.567"]`},
		"expanding":    {`"` + strings.Repeat("\uFDFA", size/3) + `"`, string(many)},
	}
}

func TestAHostileAnswerTakesLittleTime(t *testing.T) {
	for name, c := range hostile(256 << 10) {
		s := seen(c[0])
		began := time.Now()
		r := origin.Trace(json.RawMessage(c[1]), s)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		} else {
			t.Logf("%s: %s, %d values, cut %t", name, took.Round(time.Millisecond), len(r.Origins), r.Cut)
		}
	}
}

func BenchmarkTrace(b *testing.B) {
	for name, c := range hostile(origin.MaxSeen - 1<<10) {
		s := seen(c[0])
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(c[0])))
			b.ReportAllocs()
			for b.Loop() {
				origin.Trace(json.RawMessage(c[1]), s)
			}
		})
	}
	s := seen(`{"id":"V-100231","name":"Siemens AG","iban":"DE89370400440532013000"}`)
	b.Run("an ordinary Run", func(b *testing.B) {
		for b.Loop() {
			origin.Trace(json.RawMessage(`{"name":"Siemens AG","vatId":"DE129273398","iban":"DE89370400440532013000","comment":"checked with V-100231"}`), s)
		}
	})
}
