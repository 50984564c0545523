package policy

import (
	"log/slog"
	"time"
)

// Client is the SMTP client.
type Client struct {
	// Address, IPv4 or IPv6 in its usual notation; empty when there is none (local submission, unix socket).
	Address string
	// Port, 0 when not known.
	Port int
	// Hostname that the MTA verified; empty when it could not.
	Hostname string
	// Helo is the name given at HELO or EHLO; empty before that.
	Helo string
	// AuthUser is the user name when the client authenticated; empty otherwise.
	AuthUser string
	// AuthMechanism is the SASL mechanism; empty when not authenticated.
	AuthMechanism string
	// TLSVersion, such as "TLSv1.3"; empty without TLS.
	TLSVersion string
	TLSCipher  string
	// Listener is the name of the MTA's listener; empty when not told.
	Listener string
}

// Mailbox is an address of the envelope with its ESMTP arguments.
type Mailbox struct {
	// Address without angle brackets; empty for the null sender.
	Address string
	// Local is the part before the last @, as written.
	Local string
	// Domain is the part after the last @, in lower case; empty when there is none.
	Domain string
	// Arguments, such as "SIZE=1000", "NOTIFY=NEVER".
	Arguments []string
}

// Transaction is the SMTP transaction so far, and what else the plugin may reach. Each method tells the grant that it needs.
type Transaction struct{ source source }

// Client is the client as stages before this one restored it, otherwise the connected one.
func (transaction *Transaction) Client() Client { return transaction.source.client() }

// Connected is the host that is connected to the MTA, whatever stages before this one found out.
func (transaction *Transaction) Connected() Client { return transaction.source.connected() }

// Sender is the envelope sender. Grant: envelope.
func (transaction *Transaction) Sender() Mailbox { return transaction.source.sender() }

// Recipients that the MTA accepted so far. Grant: envelope.
func (transaction *Transaction) Recipients() []Mailbox { return transaction.source.recipients() }

// QueueID of the MTA; empty while it has none. Grant: envelope.
func (transaction *Transaction) QueueID() string { return transaction.source.queueID() }

// Fact is what a stage before this one published, by full name such as "spam.score": a bool, a float64, a string or a
// []string; nil when nobody published it.
func (transaction *Transaction) Fact(name string) any { return transaction.source.fact(name) }

// Now is the time of day. Grant: clock.
func (transaction *Transaction) Now() time.Time {
	return time.UnixMicro(int64(transaction.source.now() * 1e6)).UTC()
}

// Random gives bytes fit for keys, at most 4096. Grant: random.
func (transaction *Transaction) Random(length int) []byte { return transaction.source.random(length) }

// Log writes to the host's log. Lines carry the stage and the message's ids by themselves. Never log message content.
func (transaction *Transaction) Log() *slog.Logger {
	return slog.New(handler{source: transaction.source})
}
