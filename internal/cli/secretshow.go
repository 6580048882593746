package cli

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/internal/api"
	"sallyport.dev/internal/vault"
)

func (p *program) secretList() *cobra.Command {
	var labels []string
	c := verb("list [--label NAME[=VALUE]]...", "List the Secrets, without values", `  sallyport secret list
  sallyport secret list --label env=prod`, takes(0), func(cmd *cobra.Command, _ []string) error {
		path := "/v1/secrets"
		if len(labels) > 0 {
			path += "?" + url.Values{"label": labels}.Encode()
		}
		var out api.Secrets
		raw, err := p.call(cmd.Context(), "GET", path, nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.secretTable(out.Secrets, len(labels) > 0, time.Now()) })
	})
	c.Flags().StringArrayVar(&labels, "label", nil, "only those with this label; give it again for several")
	return c
}

func (p *program) secretTable(list []vault.Secret, some bool, now time.Time) {
	none := "there are no Secrets"
	if some {
		none = "there is no Secret with these labels"
	}
	var rows [][]string
	var warnings []string
	for _, s := range list {
		end := ""
		if s.Active > 0 && s.Active <= len(s.Versions) {
			var warning string
			if end, warning = expires(s.Versions[s.Active-1], now); warning != "" {
				warnings = append(warnings, s.Name+": version "+strconv.Itoa(s.Active)+" "+warning)
			}
		}
		rows = append(rows, []string{s.Name, active(s), strconv.Itoa(len(s.Versions)), end, when(s.UpdatedAt), s.Description})
	}
	p.table(none, []string{"NAME", "ACTIVE", "VERSIONS", "EXPIRES", "CHANGED", "DESCRIPTION"}, rows)
	for _, w := range warnings {
		p.warn(w)
	}
}

// warn is a line of talk that should be seen.
func (p *program) warn(text string) {
	p.say("%s", "warning: "+text)
}

func active(s vault.Secret) string {
	if s.Active == 0 {
		return "none"
	}
	return "v" + strconv.Itoa(s.Active)
}

func (p *program) secretShow() *cobra.Command {
	return verb("show NAME", "Show a Secret and its versions, without a value", "  sallyport secret show crm-token", named(1), func(cmd *cobra.Command, args []string) error {
		var s api.SecretShown
		raw, err := p.call(cmd.Context(), "GET", route("v1", "secrets", args[0]), nil, &s)
		if err != nil {
			return err
		}
		return p.result(raw, func() { p.shown(s, time.Now()) })
	})
}

func (p *program) shown(s api.SecretShown, now time.Time) {
	var labels []string
	for _, k := range sorted(s.Labels) {
		labels = append(labels, k+"="+s.Labels[k])
	}
	used := strings.Join(s.Connections, " ")
	if used == "" {
		used = "no Connection"
	}
	p.pairs("name", s.Name, "id", s.ID, "description", s.Description, "owner", s.Owner, "labels", strings.Join(labels, " "), "active", active(s.Secret), "used by", used)
	var rows [][]string
	var warnings []string
	for _, v := range s.Versions {
		n := "v" + strconv.Itoa(v.Version)
		end, warning := expires(v, now)
		if warning != "" && (v.State == vault.Active || v.State == vault.Pending) {
			warnings = append(warnings, s.Name+": version "+strconv.Itoa(v.Version)+" "+warning)
		}
		rows = append(rows, []string{n, string(v.State), strings.Join(v.Fields, " "), placeOf(v, slices.Contains(s.Dynamic, v.Version)), usedFor(v.Scope), end, when(v.CreatedAt), v.CreatedBy})
	}
	p.table("it has no version", []string{"VERSION", "STATE", "FIELDS", "KEPT IN", "USED FOR", "EXPIRES", "CREATED", "BY"}, rows)
	for _, w := range warnings {
		p.warn(w)
	}
}

// usedFor is a usage scope in words.
func usedFor(s vault.Scope) string {
	parts := []string{"anywhere"}
	if len(s.Origins) > 0 {
		parts[0] = strings.Join(s.Origins, " ")
	}
	add := func(what string, l []string) {
		if len(l) > 0 {
			parts = append(parts, what+" "+strings.Join(l, " "))
		}
	}
	schemes := make([]string, len(s.Schemes))
	for i, sch := range s.Schemes {
		schemes[i] = string(sch)
	}
	add("by", s.Methods)
	add("as", schemes)
	add("of integration", s.Integrations)
	add("in mission", s.Missions)
	return strings.Join(parts, ", ")
}

func (p *program) secretLeases() *cobra.Command {
	return verb("leases NAME", "List what a backend has made of a Secret for Runs and has not ended yet, without values", "  sallyport secret leases app-db", named(1), func(cmd *cobra.Command, args []string) error {
		var out api.Leases
		raw, err := p.call(cmd.Context(), "GET", route("v1", "secrets", args[0], "leases"), nil, &out)
		if err != nil {
			return err
		}
		return p.result(raw, func() {
			var rows [][]string
			for _, l := range out.Leases {
				rows = append(rows, []string{l.ID, l.Run, "v" + strconv.Itoa(l.Version), l.Backend + ":" + l.Path, string(l.State), when(l.Issued), when(l.Expires), l.Digest[:min(16, len(l.Digest))], l.Why})
			}
			p.table("no Run has one", []string{"LEASE", "RUN", "VERSION", "FROM", "STATE", "MADE", "ENDS", "DIGEST", "WHY"}, rows)
		})
	})
}
