package main

import (
	"maps"
	"slices"

	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/plugins/database/mysql"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// builtins are the engines and sign-ins that are linked. The registry of the whole
// program has some sixty, and takes an hour to build.
type builtins struct{}

func factory(f logical.Factory) func() (any, error) { return func() (any, error) { return f, nil } }

var plugins = map[consts.PluginType]map[string]func() (any, error){
	consts.PluginTypeSecrets: {"kv": factory(kv.Factory), "database": factory(database.Factory)},
	consts.PluginTypeCredential: {
		"approle": factory(approle.Factory), "cert": factory(cert.Factory),
		"jwt": factory(jwt.Factory), "kubernetes": factory(kubernetes.Factory),
	},
	consts.PluginTypeDatabase: {
		"postgresql-database-plugin": postgresql.New,
		"mysql-database-plugin":      mysql.New(mysql.DefaultUserNameTemplate),
	},
}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	_, ok := plugins[kind][name]
	return ok
}

func (builtins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	f, ok := plugins[kind][name]
	return f, ok
}

func (builtins) Keys(kind consts.PluginType) []string { return slices.Sorted(maps.Keys(plugins[kind])) }

func (builtins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	_, ok := plugins[kind][name]
	return consts.Supported, ok
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
