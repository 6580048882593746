package storetest

import (
	"reflect"

	"sallyport.dev/internal/decision"
	"sallyport.dev/internal/origin"
)

// origins are stored with the Decision and settled with it. What has become a
// Secret since is not in them, and a Decision that is held shows none.
func origins(o *office) {
	i := o.newIntent(acme)
	d, err := decision.New(i, of("finance"), 0, o.Now)
	o.must(err)
	d.Origins = &origin.Report{Cut: true, Origins: []origin.Origin{
		{At: "/name", Kind: origin.Answer, Ref: "int_1", Connection: "erp-read", Tool: "findVendors", Where: "/CANARY/0", How: origin.Contains, Part: "siemens CANARY"},
		{At: "/city", Kind: origin.Input, Trusted: true, Where: "/city", How: origin.Exact}}}
	o.must(o.propose(i, d))
	stored, err := o.Store.DecisionOf(o.ctx, acme, i.ID)
	o.must(err)
	if !reflect.DeepEqual(stored.Origins, d.Origins) {
		o.t.Errorf("stored are %+v", stored.Origins)
	}
	got, err := o.desk.Get(o.ctx, acme, d.ID)
	o.must(err)
	if f := got.Decision.Origins.Flagged(); len(f) != 1 || f[0].Where != "/[secret]/0" || f[0].Part != "siemens [secret]" || !got.Decision.Origins.Cut {
		o.t.Errorf("shown are %+v", got.Decision.Origins)
	}
	o.secretly(`"name":"Siemens AG"`, "weapon")
	if got, err = o.desk.Get(o.ctx, acme, d.ID); err != nil || got.Held == nil || got.Decision.Origins != nil {
		o.t.Errorf("while it is held: %+v, %v", got, err)
	}
	o.secretly("", "")
	_, err = o.desk.Decide(o.ctx, o.request(stored, decision.Approve, o.ann), o.Now)
	o.must(err)
	if stored, err = o.Store.DecisionOf(o.ctx, acme, i.ID); err != nil || !reflect.DeepEqual(stored.Origins, d.Origins) {
		o.t.Errorf("after the verdict: %+v, %v", stored.Origins, err)
	}
}
