package onepassword

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"sallyport.dev/internal/vault/backend"
	"sallyport.dev/internal/vault/internal/rest"
)

// Read reads an answer about the item "crm".
func Read(raw []byte, vault, item string) (backend.Answer, error) {
	return (&connect{cfg: Config{Vault: vault}}).read(raw, item, "crm")
}

// One reads a list of items with the title "crm".
func One(raw []byte, vault string) (string, error) {
	return (&connect{cfg: Config{Vault: vault}}).one(raw, "crm")
}

// PutForTest makes an item, or a new version of it, as an administrator does, and gives
// its version. No fields: it is deleted.
func PutForTest(ctx context.Context, b backend.Backend, title string, fields map[string]string) (string, error) {
	c := b.(*connect)
	token, err := os.ReadFile(c.cfg.TokenFile)
	if err != nil {
		return "", err
	}
	item, err := c.find(ctx, title)
	if err != nil && backend.ReasonOf(err) != backend.Missing {
		return "", err
	}
	method, at := http.MethodPost, c.server+"/v1/vaults/"+c.cfg.Vault+"/items"
	in := map[string]any{"title": title, "category": "SERVER", "vault": map[string]string{"id": c.cfg.Vault}}
	if item != "" {
		method, at, in["id"] = http.MethodPut, at+"/"+item, item
	}
	var list []map[string]string
	for label, value := range fields {
		list = append(list, map[string]string{"id": label, "type": "CONCEALED", "label": label, "value": value})
	}
	in["fields"] = list
	body, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	if fields == nil {
		method, body = http.MethodDelete, nil
	}
	a, err := rest.Do(ctx, c.http, who, rest.Request{Method: method, URL: at, Body: body,
		Header: http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}, "Content-Type": {"application/json"}}})
	if err != nil || a.Status/100 != 2 {
		return "", fmt.Errorf("status %d: %w", a.Status, err)
	}
	var out struct{ Version json.Number }
	if fields != nil {
		err = json.Unmarshal(a.Body, &out)
	}
	return out.Version.String(), err
}
