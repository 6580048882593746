package cli

import (
	"time"

	"sallyport.dev/internal/app"
	"sallyport.dev/internal/audit/outside"
	"sallyport.dev/internal/config"
	"sallyport.dev/internal/fault"
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
	return out, nil
}
