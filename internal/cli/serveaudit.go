package cli

import (
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit/export"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
	"sallyport.dev/internal/resource"
)

// auditConfig makes of the file on the audit log what the server needs. Without a
// file there is nothing.
func auditConfig(file, data string) (out app.AuditConfig, err error) {
	if file == "" {
		return out, nil
	}
	in, err := config.LoadAudit(file)
	if err != nil {
		return out, err
	}
	for _, d := range []time.Duration{in.Witnesses.Every.D(time.Second), in.Anchors.Every.D(time.Second)} {
		if d < time.Second {
			return out, fault.New(fault.Invalid, "witnesses and anchors are not visited more often than every second")
		}
	}
	if in.Anchors.Entries < 0 {
		return out, fault.New(fault.Invalid, "anchors.entries is a number from 1")
	}
	out = app.AuditConfig{Origin: in.Origin, Quorum: in.Witnesses.Quorum, Visit: in.Witnesses.Every.D(0), Every: in.Anchors.Every.D(0), Entries: in.Anchors.Entries}
	for _, w := range in.Witnesses.List {
		c, err := outside.NewWitness(w.URL, w.Key)
		if err != nil {
			return out, err
		}
		out.Witnesses = append(out.Witnesses, c)
	}
	if in.Anchors.File != "" {
		f, err := outside.NewFile(in.Anchors.File, data)
		if err != nil {
			return out, err
		}
		out.Sinks = append(out.Sinks, f)
	}
	if s := in.Anchors.Syslog; s != nil {
		l, err := outside.NewSyslog(s.Network, s.Address, s.CAFile)
		if err != nil {
			return out, err
		}
		out.Sinks = append(out.Sinks, l)
	}
	if d := in.Retention.Days; d < 0 || d > 36500 {
		return out, fault.New(fault.Invalid, "retention.days is a number of days, or 0 for ever")
	}
	if d := in.Retention.LogDays; d != 0 && (d < in.Retention.Days || in.Retention.Days == 0 || d > 36500) {
		return out, fault.New(fault.Invalid, "retention.logDays is a number of days, and not less than retention.days: entries stay as long as the bodies that they are about")
	}
	out.KeepLog = time.Duration(in.Retention.LogDays) * 24 * time.Hour
	out.KeepBodies = time.Duration(in.Retention.Days) * 24 * time.Hour
	for _, s := range in.Sinks {
		if err := addSink(&out, s, data); err != nil {
			return out, err
		}
	}
	return out, nil
}

func addSink(out *app.AuditConfig, s config.AuditSink, data string) error {
	switch {
	case s.File != nil && s.Syslog == nil && s.Webhook == nil:
		f, err := export.NewFile(s.File.Path, data, s.File.MaxBytes)
		if err != nil {
			return err
		}
		out.Exports = append(out.Exports, f)
	case s.Syslog != nil && s.File == nil && s.Webhook == nil:
		l, err := outside.NewSyslog(s.Syslog.Network, s.Syslog.Address, s.Syslog.CAFile)
		if err != nil {
			return err
		}
		out.Exports = append(out.Exports, export.Syslog{Syslog: l})
	case s.Webhook != nil && s.File == nil && s.Syslog == nil:
		ch := resource.Channel{Head: resource.Head{APIVersion: resource.APIVersion, Kind: resource.KindChannel, Name: "audit-export"},
			Webhook: &resource.Webhook{URL: s.Webhook.URL, Secret: s.Webhook.Secret}, Network: s.Webhook.Network}
		if err := ch.Check(); err != nil {
			return err
		}
		out.Webhooks = append(out.Webhooks, app.AuditWebhook{Hook: *ch.Webhook, Network: ch.Network})
	default:
		return fault.New(fault.Invalid, "a sink is one of file, syslog and webhook")
	}
	return nil
}
