//go:build !wasip1

package policy

import (
	"log/slog"
	"strings"
)

// Source is where a message comes from in native tests; package policytest has one. The methods are the functions of the
// contract; those that can fail give the errors of this package.
type Source interface {
	Client() Client
	Connected() Client
	Sender() Mailbox
	Recipients() []Mailbox
	QueueID() string
	Fact(name string) any
	Now() float64
	Random(length int) []byte
	Log(level slog.Level, line string)

	Headers() []HeaderField
	HeaderText(name string) []string
	Addresses(name string) []Address
	Parts() []Part
	PartHeaders(part int) []HeaderField
	PartContent(part int) []byte
	PartText(part int) string
	PartEntity(part int) []byte
	Raw() []byte

	CreateBlob() int
	AppendBlob(blob int, bytes []byte)

	Open(service string) (connection int, err error)
	Send(connection int, bytes []byte) error
	Finish(connection int) error
	Receive(connection, length int) ([]byte, error)
	Close(connection int)

	LookupHost(name string) ([]string, error)
	LookupTXT(name string) ([]string, error)
	LookupMX(name string) ([]MailExchanger, error)
	LookupAddr(address string) ([]string, error)

	StoreGet(key string) (value []byte, found bool, err error)
	StoreSet(key string, value []byte, seconds int) error
	StoreRemove(key string) error
	StoreAdd(key string, amount, seconds int) (int, error)
}

// NewMessage makes a message for a native test.
func NewMessage(from Source) *Message { return &Message{Transaction{source{from}}} }

// NewTransaction makes a transaction for a native test of an envelope hook.
func NewTransaction(from Source) *Transaction { return &Transaction{source{from}} }

// Configured makes the policy of a configuration in the way of the host, for native tests: the value that the function given
// to [Register] returned, or what is wrong with the configuration.
func Configured(config string) (any, error) {
	registered.policy = nil
	if problems := configure(config, nil); len(problems) > 0 {
		return nil, problems
	}
	return registered.policy, nil
}

// Schema is the JSON Schema that the registered plugin gives to the host, for native tests.
func Schema() string { return registered.info.Schema }

type source struct{ from Source }

func (source source) client() Client           { return source.from.Client() }
func (source source) connected() Client        { return source.from.Connected() }
func (source source) sender() Mailbox          { return source.from.Sender() }
func (source source) recipients() []Mailbox    { return source.from.Recipients() }
func (source source) queueID() string          { return source.from.QueueID() }
func (source source) fact(name string) any     { return source.from.Fact(name) }
func (source source) now() float64             { return source.from.Now() }
func (source source) random(length int) []byte { return source.from.Random(length) }
func (source source) log(level slog.Level, line string) {
	source.from.Log(level, line)
}

func (source source) headers() []HeaderField { return source.from.Headers() }

func (source source) header(name string) (found []HeaderField) {
	for _, field := range source.from.Headers() {
		if strings.EqualFold(field.Name, name) {
			found = append(found, field)
		}
	}
	return found
}

func (source source) headerCount(name string) int { return len(source.header(name)) }
func (source source) headerText(name string) []string {
	return source.from.HeaderText(name)
}
func (source source) addresses(name string) []Address { return source.from.Addresses(name) }

func (source source) parts() []Part { return source.from.Parts() }
func (source source) partHeaders(part int) []HeaderField {
	return source.from.PartHeaders(part)
}
func (source source) partSize(part int) int { return len(source.from.PartContent(part)) }

func (source source) partText(part, limit int) string {
	text := source.from.PartText(part)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xC0 == 0x80 {
		limit--
	}
	return text[:limit]
}

func (source source) readPart(part, offset, length int) []byte {
	return piece(source.from.PartContent(part), offset, length)
}
func (source source) readEntity(part, offset, length int) []byte {
	return piece(source.from.PartEntity(part), offset, length)
}
func (source source) rawSize() int { return len(source.from.Raw()) }
func (source source) readRaw(offset, length int) []byte {
	return piece(source.from.Raw(), offset, length)
}

func piece(bytes []byte, offset, length int) []byte {
	offset = min(offset, len(bytes))
	return bytes[offset:min(offset+length, len(bytes))]
}

func (source source) createBlob() int                   { return source.from.CreateBlob() }
func (source source) appendBlob(blob int, bytes []byte) { source.from.AppendBlob(blob, bytes) }
func (source source) appendEntity(blob, part int) {
	source.from.AppendBlob(blob, source.from.PartEntity(part))
}

func (source source) open(service string) (int, error) { return source.from.Open(service) }
func (source source) send(connection int, bytes []byte) error {
	return source.from.Send(connection, bytes)
}
func (source source) finish(connection int) error { return source.from.Finish(connection) }
func (source source) receive(connection, length int) ([]byte, error) {
	return source.from.Receive(connection, length)
}
func (source source) close(connection int) { source.from.Close(connection) }

func (source source) lookupHost(name string) ([]string, error) { return source.from.LookupHost(name) }
func (source source) lookupTXT(name string) ([]string, error)  { return source.from.LookupTXT(name) }
func (source source) lookupMX(name string) ([]MailExchanger, error) {
	return source.from.LookupMX(name)
}
func (source source) lookupAddr(address string) ([]string, error) {
	return source.from.LookupAddr(address)
}

func (source source) storeGet(key string) ([]byte, bool, error) { return source.from.StoreGet(key) }
func (source source) storeSet(key string, value []byte, seconds int) error {
	return source.from.StoreSet(key, value, seconds)
}
func (source source) storeRemove(key string) error { return source.from.StoreRemove(key) }
func (source source) storeAdd(key string, amount, seconds int) (int, error) {
	return source.from.StoreAdd(key, amount, seconds)
}
