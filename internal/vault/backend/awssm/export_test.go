package awssm

import (
	"context"
	"encoding/json"
	"fmt"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
)

// Read reads an answer.
var Read = read

// ReadXML reads STS's.
func ReadXML(raw []byte) error {
	_, err := fromXML(raw)
	return err
}

// InstanceForTest gets a key from a metadata service elsewhere.
func InstanceForTest(ctx context.Context, server, want string) error {
	c, err := rest.Client(rest.Options{Plain: true})
	if err != nil {
		return err
	}
	k, err := fromInstance(ctx, c, server)
	if err == nil && k.ID != want {
		err = fmt.Errorf("the key is %s", k.ID)
	}
	return err
}

func (m *manager) forTest(ctx context.Context, action string, in any) (out struct{ VersionId string }, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	raw, err := m.call(ctx, action, body)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

// PutForTest makes a version, as an administrator does.
func PutForTest(ctx context.Context, b backend.Backend, name, value string) (string, error) {
	m := b.(writer).manager
	out, err := m.forTest(ctx, "PutSecretValue", map[string]string{"SecretId": name, "SecretString": value})
	if backend.ReasonOf(err) == backend.Missing && err != nil {
		out, err = m.forTest(ctx, "CreateSecret", map[string]string{"Name": name, "SecretString": value})
	}
	return out.VersionId, err
}

// DeleteForTest takes a secret away.
func DeleteForTest(ctx context.Context, b backend.Backend, name string) error {
	_, err := b.(writer).forTest(ctx, "DeleteSecret", map[string]any{"SecretId": name, "ForceDeleteWithoutRecovery": true})
	return err
}
