package vaultkv_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/backend/vaultkv"
	"sallyport.dev/internal/vaulttest"
)

// entered asks, and wants success with these words, or an error with them.
func entered(t *testing.T, c vaultkv.Config, why backend.Reason, words, hint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	did, err := open(t, c, time.Now).(backend.Enterer).Enter(ctx)
	switch {
	case why == "" && (err != nil || !strings.Contains(did, words)):
		t.Errorf("%q, %v, hint %q; wanted %q", did, err, fault.HintOf(err), words)
	case why != "" && (err == nil || backend.ReasonOf(err) != why || !strings.Contains(err.Error(), words) || !strings.Contains(fault.HintOf(err), hint)):
		t.Errorf("%q, %v, hint %q; wanted %s, %q and %q", did, err, fault.HintOf(err), why, words, hint)
	}
}

// wrongs asks with a good configuration, and with each that is wrong in one way.
func wrongs(t *testing.T, good func() vaultkv.Config, token, other string) {
	t.Helper()
	with := func(change func(*vaultkv.Config)) vaultkv.Config {
		c := good()
		change(&c)
		return c
	}
	entered(t, good(), "", "signed in; the mount "+good().Mount+" is there, a key-value engine of version 2", "")
	entered(t, with(func(c *vaultkv.Config) { c.AppRole.RoleID = "another" }), backend.Refused, "refuses the sign-in", "role")
	entered(t, with(func(c *vaultkv.Config) { c.Mount = "secrets-that-are-not" }), backend.Refused, `no mount secrets-that-are-not`, "mount")
	entered(t, with(func(c *vaultkv.Config) { c.Engine = 1; c.Write = false }), backend.Wrong, "another engine", "engine")
	entered(t, with(func(c *vaultkv.Config) { c.AppRole, c.TokenFile = nil, file(t, "token", "hvs.one-that-has-ended") }), backend.Refused, "does not take the token", "has ended")
	entered(t, with(func(c *vaultkv.Config) { c.AppRole, c.TokenFile = nil, file(t, "token", token) }), "", "signed in", "")
	entered(t, with(func(c *vaultkv.Config) { c.AppRole, c.TokenFile = nil, file(t, "token", token) }), "", "signed in", "") // it is not ended by that
	entered(t, with(func(c *vaultkv.Config) { c.AppRole, c.TokenFile = nil, file(t, "token", other) }), backend.Refused, "the policy allows nothing below it", "policy")
	entered(t, with(func(c *vaultkv.Config) { c.AppRole.SecretIDFile = "/nowhere/secret-id" }), backend.Refused, "/nowhere/secret-id", "")
}

func TestABackendIsTriedWithoutAValueBeingRead(t *testing.T) {
	f, s := startVault(t)
	good := func() vaultkv.Config {
		c := config(t, f, s)
		c.Mount = "secret"
		return c
	}
	before := len(f.tokens)
	entered(t, good(), "", "signed in", "")
	if len(f.tokens) != before {
		t.Error("the token of the trial lives on")
	}
	wrongs(t, good, f.token("root", "token", nil), f.token("", "token", nil))
	if slices.ContainsFunc(f.seen, func(s string) bool { return strings.Contains(s, "/data/") }) {
		t.Errorf("a value was asked for: %v", f.seen)
	}
	f.fault = "is sealed"
	entered(t, good(), backend.Away, "is sealed", "unseal")
}

func TestARealServerIsTriedWithoutAValueBeingRead(t *testing.T) {
	s := vaulttest.Shared(t)
	mount := s.KV(t, 2)
	name := s.Policy(t, policy(2, mount))
	role := appRole(t, s, name, nil)
	good := func() vaultkv.Config {
		c, a := at(s, 2, mount), *role
		c.AppRole = &a
		return c
	}
	wrongs(t, good, s.TokenOf(t, []string{name}, nil), s.TokenOf(t, []string{s.Policy(t, policy(2, "elsewhere"))}, nil))
}

func TestACredentialThatIsMissingIsKnownBeforeAnybodyIsAsked(t *testing.T) {
	f, s := startVault(t)
	c := config(t, f, s)
	b := open(t, c, time.Now).(backend.Enterer)
	if err := b.Ready(); err != nil || len(f.seen) != 0 {
		t.Errorf("%v, and the server was asked %v", err, f.seen)
	}
	if err := os.Remove(c.AppRole.SecretIDFile); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); backend.ReasonOf(err) != backend.Refused || !strings.Contains(err.Error()+fault.HintOf(err), c.AppRole.SecretIDFile) || len(f.seen) != 0 {
		t.Errorf("without its file: %v", err)
	}
}
