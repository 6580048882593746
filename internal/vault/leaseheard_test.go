package vault_test

import (
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/ident"
	"sallyport.dev/internal/vault"
)

// state is what the doctor says of the bank's backend.
func (b *bank) state(tenant ident.Tenant) vault.BackendState {
	b.t.Helper()
	all, err := b.Backends(b.t.Context(), tenant)
	if err != nil || len(all) != 1 {
		b.t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

func TestTheDoctorKnowsWhenABackendMadeACredentialForARunAndWhyNot(t *testing.T) {
	b := openBank(t, nil)
	b.pass(time.Hour)
	b.as(acme, "run_one")
	first := b.fixture.now
	if s := b.state(acme); s.State != "answers" || !s.Answered.Equal(first) {
		t.Errorf("after a Run got one: %+v", s)
	}
	if s := b.state(globex); s.State != "unasked" {
		t.Errorf("a tenant that has asked nothing hears %+v", s)
	}
	b.pass(time.Hour)
	b.Answer(503)
	if err := b.refused("run_two"); err == nil {
		t.Fatal("a sealed server made one")
	}
	if s := b.state(acme); s.State != "fails" || !s.Failed.Equal(b.fixture.now) || !s.Answered.Equal(first) || !strings.Contains(s.Said, "is sealed") || !strings.Contains(s.Hint, "unseal") {
		t.Errorf("while it is sealed: %+v", s)
	}
	b.Answer(0)
	b.pass(2 * time.Minute)
	b.as(acme, "run_two")
	if s := b.state(acme); s.State != "answers" || !s.Answered.Equal(b.fixture.now) || s.Said != "" || s.Hint != "" {
		t.Errorf("when it is unsealed: %+v", s)
	}
}

func TestTheDoctorKnowsThatARenewalWasAnswered(t *testing.T) {
	b := openBank(t, nil)
	b.as(acme, "run_one")
	b.pass(25 * time.Minute)
	b.tend()
	if s := b.state(acme); s.State != "answers" || !s.Answered.Equal(b.fixture.now) {
		t.Errorf("after a renewal: %+v", s)
	}
	b.pass(25 * time.Minute)
	b.Answer(503)
	b.tend()
	if s := b.state(acme); s.State != "fails" || !s.Failed.Equal(b.fixture.now) {
		t.Errorf("after a renewal that failed: %+v", s)
	}
}
