package archtest

// NotPlaintext are the places that give bytes or text and no plaintext, each
// with the reason.
var NotPlaintext = byName(
	words{"names, labels and ids that people gave or the vault made; they are shown in every list",
		[]string{
			"vault.sturdy.Find", "vault.DoorSpec.Secret", "vault.DoorSpec.Integration", "vault.DoorSpec.Method", "vault.DoorSpec.Mission", "vault.DoorSpec.Run", "vault.DoorSpec.Resource",
			"vault.DoorSpec.Connection", "vault.Vault.KeepChildren", "proccred.Key.Connection", "proccred.Key.Secret", "proccred.Key.Outside", "proccred.Key.Run",
			"vault.ChannelSpec.Secret", "vault.MailSpec.Secret", "vault.MailSpec.Username", "vault.MailSpec.Hello",
			"smtpcred.Config.Server", "smtpcred.Config.Hello", "smtpcred.Config.Username", "vault.Meta.Name", "vault.Meta.ID", "vault.Meta.Fields",
			"vault.ProjectRow.Project", "vault.Ref.Name", "vault.Ref.String", "vault.Ref.Rule",
			"vault.Row.Name", "vault.Scope.Integrations", "vault.Scope.Origins", "vault.Scope.Methods",
			"vault.Scope.Missions", "vault.Edit.Description", "vault.Edit.Owner",
			"vault.Edit.Labels", "vault.Edit.Unlabel", "vault.About.Text", "httpcred.Config.Method",
			"vault.Secret.ID", "vault.Secret.Name", "vault.Secret.Description", "vault.Secret.Owner",
			"vault.Secret.Labels", "vault.Secret.Project",
			"vault.RotationJob.Secret", "vault.RotationJob.ID", "vault.Version.Rotation", "vault.Version.Ref",
			"vault.Version.Fields", "vault.Version.CreatedBy", "vault.VersionRow.Name",
			"vault.Write.Name", "vault.Found.Note", "vault.Quarantined.Rule", "vault.Quarantined.Run", "vault.Quarantined.Family", "vault.Vault.Quarantine",
			"vault.Write.Description", "vault.Write.Owner", "vault.Write.Labels",
			"kek.Sealed.ID", "kek.RecoveryPublic.ID", "vault.Brought.Key", "vault.Brought.Kind", "vault.Brought.Source",
			"vault.KeyStatus.Vault", "vault.RootRow.Vault", "vault.Rotation.What", "vault.SealInfo.ID", "vault.SealInfo.KeyID",
			"vault.SealInfo.Refused", "vault.SealRow.ID", "vault.UnsealKey.ID", "vault.VersionID.Name",
		}},
	words{"what is on record of a credential that was made for a Run: names, ids, a path, and by what its backend ends it; a value has no place in it",
		[]string{
			"vault.Lease.ID", "vault.Lease.Run", "vault.Lease.Secret", "vault.Lease.Backend", "vault.Lease.Path", "vault.Lease.Where", "vault.Lease.Handle", "vault.Lease.Lease",
			"vault.Lease.Digest", "vault.Lease.Why", "vault.LeaseState", "vault.Standing",
			"backend.Holder.Handle", "backend.Lessor.Engage", "backend.Lessor.Revoke", "backend.Lessor.Where", "vaultlease.engine.Where", "vaultlease.holder.Handle",
		}},
	words{"where a rotation's database is, and which program of the operator's rotates: addresses, names and paths; credentials go to a program on its standard input",
		[]string{"vault.Ways.Dial", "vault.Ways.Programs", "vault.RotationProgram.Path", "vault.RotationProgram.Args", "vault.RotationProgram.Env"}},
	words{"where a key server or a program is and how to sign in there: names and paths; secrets are in files that these name",
		[]string{
			"kek.TransitConfig.Address", "kek.TransitConfig.Mount", "kek.TransitConfig.Key", "kek.TransitConfig.Namespace",
			"kek.TransitConfig.CAFile", "kek.TransitConfig.TokenFile", "kek.AppRole.Mount", "kek.AppRole.RoleID", "kek.AppRole.SecretIDFile",
			"kek.ExecConfig.Path", "kek.ExecConfig.Args", "kek.ExecConfig.Env",
		}},
	words{"names of scopes and rights, as a system says them: short plain words, without what is known to be secret", []string{"vault.Said.Words", "vault.Said.Asked"}},
	words{"paths of this machine", []string{"vault.Config.Guarded", "vault.Config.Programs", "proccred.Config.Guarded", "proccred.Config.Temp"}},
	words{"what a child wrote to its standard error, scrubbed and bounded, for people who look for why it does not answer",
		[]string{"vault.Vault.ChildTail", "proccred.Children.Tail"}},
	words{"an error of ours with its hint, or our own words: they name addresses, paths and files, and repeat nothing that a server wrote", []string{
		"vault.Asked.Name", "vault.Asked.Did", "vault.Asked.Said", "vault.Asked.Hint", "vault.BackendState.Said", "vault.BackendState.Hint", "backend.Enterer.Enter",
		"vaultkv.kv.Enter", "vaultlease.engine.Enter", "awssm.manager.Enter", "azurekv.keyVault.Enter", "gcpsm.manager.Enter", "onepassword.connect.Enter", "kube.kube.Enter",
		"local.environment.Enter", "local.files.Enter"}},
	words{"a part of the path that was given", []string{"vaultkv.kv.Meant", "vaultlease.engine.Meant"}},
	words{"a word from a closed list", []string{"vault.GrantState", "vault.Purpose", "vault.State", "vault.Shape", "vault.SaidBy", "kek.Kind", "backend.Reason", "backend.Sight"}},
	words{"where a value is kept, and what it is called there; who points there and who reads it see it",
		[]string{
			"vault.External.Backend", "vault.External.Version", "vault.Move.Name", "vault.Move.Method",
			"vault.Pointer.Backend", "vault.Pointer.Path", "vault.Pointer.Version", "vault.Pointer.Fields",
			"backend.Ask.Path", "backend.Ask.Version", "backend.Answer.Version", "backend.Entry.Name", "backend.Entry.Paths", "backend.Entry.Kind", "vault.Spot.Backend", "vault.Spot.Path",
			"backend.Lease.ID", "backend.Writer.Create", "backend.Watcher.Watch", "vault.BackendState.Name", "vault.BackendState.Kind",
			"vault.BackendState.Paths", "vault.BackendState.State", "vault.BackendState.Watch",
		}},
	words{"the server's own file: names and paths; secrets are in files that it names",
		[]string{
			"backend.ReadConfig", "backend.Entry.HookFile", "awssm.Config.Region", "awssm.Config.Endpoint", "awssm.Config.CAFile", "awssm.Config.Credentials", "awssm.Config.CredentialsFile",
			"awssm.Config.Profile", "awssm.Config.RoleARN", "awssm.Config.TokenFile", "awssm.Config.STSEndpoint",
			"awssm.AssumeRole.RoleARN", "awssm.AssumeRole.ExternalID",
			"azurekv.Config.Vault", "azurekv.Config.CAFile", "azurekv.Config.Tenant", "azurekv.Config.ClientID", "azurekv.Config.Authority",
			"azurekv.Config.ClientSecretFile", "azurekv.Config.ClientCertificateFile", "azurekv.Config.AssertionFile", "gcpsm.Config.Project", "gcpsm.Config.Endpoint", "gcpsm.Config.CAFile",
			"gcpsm.Config.KeyFile", "onepassword.Config.Address", "onepassword.Config.CAFile", "onepassword.Config.Vault", "onepassword.Config.TokenFile",
			"vaultlease.Config.Mount", "vaultlease.Config.TokenRole", "vaultlease.AppRole.Mount", "vaultlease.AppRole.RoleID", "vaultlease.AppRole.SecretIDFile",
			"vaultlease.Certificate.Mount", "vaultlease.Certificate.Role", "vaultlease.Certificate.CertFile", "vaultlease.Certificate.KeyFile",
			"vaultlease.JWT.Mount", "vaultlease.JWT.Role", "vaultlease.JWT.JWTFile",
			"vaultkv.Config.Mount", "vaultkv.AppRole.Mount", "vaultkv.AppRole.RoleID", "vaultkv.AppRole.SecretIDFile",
			"vaultkv.Certificate.Mount", "vaultkv.Certificate.Role", "vaultkv.Certificate.CertFile", "vaultkv.Certificate.KeyFile",
			"vaultkv.JWT.Mount", "vaultkv.JWT.Role", "vaultkv.JWT.JWTFile", "kube.Config.Namespace", "kube.Config.Address", "kube.Config.CAFile", "kube.Config.TokenFile",
			"local.Files.Directory", "local.Environment.Prefix",
		}},
	words{"what AWS's SDK asks for: a step's name, and a web identity's token; no exported function gives a value of the types",
		[]string{"awssm.putting.ID", "awssm.identity.GetIdentityToken"}},
	words{"plain.Value, as below; of a backend's answer, which the vault alone asks for", []string{"backend.Answer.Fields", "backend.OneValue", "backend.JoinValue", "backend.Registry.HookKey"}},
	words{"an authorization by a person, as people see it: names, our own URLs, and the URL that they open, with a state that is worth nothing without their session",
		[]string{
			"vault.Grant.ID", "vault.Grant.Connection", "vault.Grant.Secret", "vault.Grant.Issuer", "vault.Grant.URL", "vault.Grant.Why",
			"vault.GrantSpec.Redirect", "vault.GrantSpec.Document", "vault.GrantSpec.Session",
		}},
	words{"what an issuer's answer says, on its way in, and the name of a Connection that is asked about; nothing fills it in",
		[]string{"vault.GrantAnswer.State", "vault.GrantAnswer.Code", "vault.GrantAnswer.Issuer", "vault.Vault.FinishGrant"}},
	words{"ciphertext, or a key under another key, on its way to the store",
		[]string{"vault.ProjectRow.Wrapped", "vault.VersionRow.Key", "vault.VersionRow.Value", "kek.Sealed.Box", "vault.Write.Sealed",
			"vault.Brought.Sealed", "vault.RootRow.Derive", "vault.SealRow.Root", "vault.SealRow.Tag", "kek.Encrypt"}},
	words{"a public key", []string{"kek.Public", "kek.RecoveryPublic.Public", "vault.SealRow.Public", "vault.UnsealKey.Public"}},
	words{"what a server is given of a recovery key; the tag key in it opens nothing", []string{"kek.NewRecovery", "kek.RecoveryPublic.Tag"}},
	words{"what is known of Secrets without their values, as JSON; a test with canaries reads every row",
		[]string{"vault.Row.Body"}},
	words{"parameters of a key derivation, public by design", []string{"kek.Sealed.Params"}},
	words{"a keyed hash or a signature: one way", []string{
		"vault.Row.MAC", "vault.RootRow.MAC", "vault.SealRow.MAC", "vault.Vault.MAC", "vault.signer.Sign",
		"vault.Version.Sum",
	}},
	words{"what the caller brought and the vault wipes; nothing fills it in", []string{"vault.Write.Fields", "vault.Found.Value"}},
	words{"plain.Value: opaque outside the vault, where nobody can import the package that opens it",
		[]string{
			"httpcred.Config.Fields", "smtpcred.Config.Fields", "proccred.Spec.Fields", "kek.KeyFile.Unwrap", "kek.Passphrase.Unwrap", "kek.Seal.Unwrap", "kek.Seal.Wrap",
			"kek.Transit.Unwrap", "kek.Exec.Unwrap", "kek.Recovery.Unwrap", "kek.Decrypt", "kek.NewSecret",
		}},
	words{"ids of Runs and the like; the value is taken out of them", []string{"vault.Trace.Places"}},
	words{"the id of a seal", []string{"vault.Vault.Which"}},
	words{"a backup's header, which whoever has the file can read: ids, a key under the root key, signed notes of the audit log",
		[]string{
			"vault.BackupHeader.ID", "vault.BackupHeader.Version", "vault.BackupHeader.Vault", "vault.BackupHeader.Key",
			"vault.BackupCheckpoint.Verifier", "vault.BackupCheckpoint.Note",
		}},
	words{"the database of a backup, for who has a seal of it: Secrets are ciphertext in it as in every database",
		[]string{"vault.Backup.Open"}},
	words{"names of Secrets, and one of three words for a part of a request", []string{"vault.Carried", "httpcred.Carried.Names", "httpcred.Carried.Part"}},
	words{"what net/smtp says to the server that it signs in to: no exported function gives a value of the type",
		[]string{"smtpcred.login.Start", "smtpcred.login.Next"}},
	words{"a value of the caller's own context", []string{"httpcred.quietCtx.Value"}},
)

// words is one reason and the places that it holds for.
type words struct {
	why   string
	names []string
}

func byName(groups ...words) map[string]string {
	m := map[string]string{}
	for _, g := range groups {
		for _, name := range g.names {
			m[name] = g.why
		}
	}
	return m
}
