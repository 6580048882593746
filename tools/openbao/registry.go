package main

import (
	"maps"
	"slices"

	"github.com/openbao/openbao/builtin/credential/approle"
	"github.com/openbao/openbao/builtin/credential/cert"
	jwt "github.com/openbao/openbao/builtin/credential/jwt"
	kubernetes "github.com/openbao/openbao/builtin/credential/kubernetes"
	"github.com/openbao/openbao/builtin/logical/database"
	"github.com/openbao/openbao/builtin/logical/kv"
	"github.com/openbao/openbao/plugins/database/mysql"
	"github.com/openbao/openbao/plugins/database/postgresql"
	"github.com/openbao/openbao/sdk/v2/helper/consts"
	"github.com/openbao/openbao/sdk/v2/logical"
)

// builtins are the engines and sign-ins that are linked: those of tools/vault.
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
