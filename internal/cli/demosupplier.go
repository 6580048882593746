package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"time"

	"sallyport.dev/examples/vendor-onboarding/company"
	"sallyport.dev/internal/demo"
	"sallyport.dev/internal/fault"
)

// samples are the verdicts that sample suppliers are there for.
var samples = []string{"onboarded", "rejected", "duplicate"}

// supplier is one that --auto submits: a sample with an expected verdict, or the
// input of a file, of which nothing is expected.
type supplier struct {
	expect string
	input  map[string]any
}

// choose reads --supplier.
func choose(flag string) ([]supplier, error) {
	if flag == "" {
		var all []supplier
		for _, s := range samples {
			all = append(all, supplier{expect: s})
		}
		return all, nil
	}
	if slices.Contains(samples, flag) {
		return []supplier{{expect: flag}}, nil
	}
	b, err := os.ReadFile(flag)
	if err != nil {
		return nil, &usageError{"--supplier is neither a kind of sample nor a file that can be read", "give onboarded, rejected, duplicate, or a JSON file"}
	}
	var in map[string]any
	if json.Unmarshal(b, &in) != nil || in == nil {
		return nil, fault.Newf(fault.Invalid, "the file %s is not a JSON object", fault.Quote(flag))
	}
	return []supplier{{input: in}}, nil
}

// pick gives the input: of a sample that is to be onboarded, one that no Run was
// about yet.
func (s supplier) pick(used map[string]bool) (map[string]any, error) {
	if s.input != nil {
		return s.input, nil
	}
	all, err := company.Suppliers()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Expect == s.expect && !(s.expect == "onboarded" && used[c.Name]) {
			used[c.Name] = true
			return c.Input(), nil
		}
	}
	return nil, fault.New(fault.Conflict, "every sample supplier is onboarded already").WithHint("start anew with another --data")
}

// step is how long a one-time code lasts, in seconds.
const step = 30

// authenticator is the app of one of the demo's people. A one-time code is good
// once, and one step early or late: so it goes ahead by one, and then waits.
type authenticator struct {
	person *demo.Person
	last   int64 // the step of the last code
	say    func(format string, args ...any)
}

func (a *authenticator) next(ctx context.Context) (string, error) {
	now := time.Now().Unix()
	a.last = max(a.last+1, now/step)
	if early := (a.last-1)*step - now; early > 0 {
		a.say("waiting %d seconds for the next one-time code", early)
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Duration(early) * time.Second):
		}
	}
	return a.person.Code(time.Unix(a.last*step, 0))
}

// trimEnd takes off the end of the line that editors and echo add.
func trimEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}
