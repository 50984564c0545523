package policy

// MailExchanger is a host that takes mail for a domain (RFC 5321 §5.1).
type MailExchanger struct {
	Preference int
	// Host without the final dot; empty for the null MX (RFC 7505).
	Host string
}

// LookupHost gives the IPv4 and IPv6 addresses of a name, following CNAME. As with all look-ups: no such records is an empty
// list, not an error. Also the way to ask block lists. Grant: dns.
func (transaction *Transaction) LookupHost(name string) ([]string, error) {
	return transaction.source.lookupHost(name)
}

// LookupTXT gives the TXT records; the strings of one record are joined. Grant: dns.
func (transaction *Transaction) LookupTXT(name string) ([]string, error) {
	return transaction.source.lookupTXT(name)
}

// LookupMX gives the MX records by rising preference. Grant: dns.
func (transaction *Transaction) LookupMX(name string) ([]MailExchanger, error) {
	return transaction.source.lookupMX(name)
}

// LookupAddr gives the host names of an IPv4 or IPv6 address (PTR), without the final dot. Grant: dns.
func (transaction *Transaction) LookupAddr(address string) ([]string, error) {
	return transaction.source.lookupAddr(address)
}
