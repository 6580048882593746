package vault

// RowMACOf is the MAC that a row should have: what an attacker with that one key
// would write.
func (v *Vault) RowMACOf(table string, r Row) []byte {
	mac, err := v.rowMAC(table, r)
	if err != nil {
		panic(err)
	}
	return mac
}
