package rotation_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport.dev/internal/resource"
	"sallyport.dev/internal/rotation"
	"sallyport.dev/internal/vault"
)

// What the doctor says of a Secret that is well, and of ones that are not.
func TestTheDoctorFindsWhatIsSharedUnusedOldExpiringOrWide(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	well := func() rotation.Kept {
		made := now.AddDate(0, 0, -40)
		return rotation.Kept{Last: now, Uses: []rotation.Use{{"crm-read", "crm", "https://crm.example:443", true}},
			Secret: vault.Secret{Name: "crm-token", Active: 1, CreatedAt: made, Versions: []vault.Version{{Version: 1, State: vault.Active, CreatedAt: made,
				Scope: vault.Scope{Origins: []string{"https://crm.example:443"}, Methods: []string{"GET"}}}}}}
	}
	scope := func(k *rotation.Kept) *vault.Scope { return &k.Secret.Versions[0].Scope }
	for name, c := range map[string]struct {
		change func(*rotation.Kept)
		want   []string
	}{
		"well": {func(*rotation.Kept) {}, nil},
		"two systems": {func(k *rotation.Kept) {
			k.Uses = append(k.Uses, rotation.Use{"erp", "erp", "https://crm.example:443", true})
		}, []string{rotation.Shared}},
		"never used":      {func(k *rotation.Kept) { k.Last = time.Time{} }, []string{rotation.Unused}},
		"nobody names it": {func(k *rotation.Kept) { k.Last, k.Uses = time.Time{}, nil }, []string{rotation.Unused}},
		"a Channel's":     {func(k *rotation.Kept) { k.Last, k.Uses, k.Others = time.Time{}, nil, true }, nil},
		"new":             {func(k *rotation.Kept) { k.Last, k.Secret.CreatedAt = time.Time{}, now }, nil},
		"old":             {func(k *rotation.Kept) { k.Secret.Versions[0].CreatedAt = now.AddDate(0, 0, -91) }, []string{rotation.NeverRotated}},
		"old, by hand": {func(k *rotation.Kept) {
			k.Secret.Versions[0].CreatedAt, k.Policy = now.AddDate(0, 0, -91), &resource.Rotation{}
		}, []string{rotation.NeverRotated}},
		"old, by schedule": {func(k *rotation.Kept) {
			k.Secret.Versions[0].CreatedAt, k.Policy = now.AddDate(0, 0, -91), &resource.Rotation{Every: 1}
		}, nil},
		"expires":        {func(k *rotation.Kept) { scope(k).NotAfter = now.AddDate(0, 0, 5) }, []string{rotation.Expiring}},
		"expired":        {func(k *rotation.Kept) { scope(k).NotAfter = now.AddDate(0, 0, -5) }, []string{rotation.Expiring}},
		"anywhere":       {func(k *rotation.Kept) { scope(k).Origins = nil }, []string{rotation.Wider}},
		"somewhere else": {func(k *rotation.Kept) { scope(k).Origins = append(scope(k).Origins, "https://other.example:443") }, []string{rotation.Wider}},
		"may write":      {func(k *rotation.Kept) { scope(k).Methods = nil }, []string{rotation.Wider}},
		"writes":         {func(k *rotation.Kept) { scope(k).Methods, k.Uses[0].Reads = nil, false }, nil},
		"a token for more": {func(k *rotation.Kept) {
			k.Said = []vault.Said{{By: vault.SaidToken, Words: []string{"mail.read", "mail.send"}, Asked: []string{"mail.read"}}}
		}, []string{rotation.Wider}},
		"a token for less": {func(k *rotation.Kept) {
			k.Said = []vault.Said{{By: vault.SaidToken, Words: []string{"mail.read"}, Asked: []string{"mail.read", "mail.send"}}}
		}, nil},
		"a token, nothing asked": {func(k *rotation.Kept) { k.Said = []vault.Said{{By: vault.SaidToken, Words: []string{"mail.read"}}} }, nil},
		"scopes that write": {func(k *rotation.Kept) {
			k.Said = []vault.Said{{By: vault.SaidHeader, Words: []string{"read:org", "repo"}}}
		}, []string{rotation.Wider}},
		"scopes that read": {func(k *rotation.Kept) {
			k.Said = []vault.Said{{By: vault.SaidHeader, Words: []string{"read:org", "user:email", "calls-all-read"}}}
		}, nil},
		"scopes that it needs": {func(k *rotation.Kept) {
			k.Said, k.Uses[0].Reads = []vault.Said{{By: vault.SaidHeader, Words: []string{"repo"}}}, false
		}, nil},
		"a superuser":                    {func(k *rotation.Kept) { k.Said = []vault.Said{{By: vault.SaidRole, Words: []string{"superuser"}}} }, []string{rotation.Wider}},
		"a user":                         {func(k *rotation.Kept) { k.Said = []vault.Said{{By: vault.SaidRole}} }, nil},
		"what a person authorised rests": {func(k *rotation.Kept) { k.Resting = now.Add(time.Minute) }, []string{rotation.Refused}},
		"a policy of a pointer": {func(k *rotation.Kept) {
			k.Secret.Versions[0].Pointer, k.Policy = &vault.Pointer{Backend: "corp"}, &resource.Rotation{}
		}, []string{rotation.Idle}},
		"a policy of what was removed": {func(k *rotation.Kept) { k.Secret.Removed, k.Policy = true, &resource.Rotation{} }, []string{rotation.Idle}},
		"removed":                      {func(k *rotation.Kept) { k.Secret.Removed, k.Last = true, time.Time{} }, nil},
		"without a version":            {func(k *rotation.Kept) { k.Secret.Active = 0 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := well()
			c.change(&k)
			var got []string
			for _, f := range rotation.Lint([]rotation.Kept{k}, nil, now) {
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("it finds %v, not %v", got, c.want)
			}
		})
	}
	got := rotation.Lint(nil, []rotation.Rotation{{ID: "rot_1", Secret: "crm-token", State: rotation.NeedsPerson, Why: "look"}, {Secret: "x", State: rotation.Grace}}, now)
	if len(got) != 1 || got[0].Kind != rotation.Waiting {
		t.Error(fmt.Sprint("of rotations it finds ", got))
	}
}
