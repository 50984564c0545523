package policy

import (
	"log/slog"

	hostClient "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_client"
	hostClock "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_clock"
	hostDNS "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_dns"
	hostEnvelope "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_envelope"
	hostFacts "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_facts"
	hostHeaders "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_headers"
	hostLog "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_log"
	hostOutput "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_output"
	hostParts "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_parts"
	hostRandom "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_random"
	hostRaw "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_raw"
	hostServices "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_services"
	hostStore "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_store"
	hostTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_types"
	witTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/types"
)

// source is the host. It has no fields, and its methods are called directly: what a plugin does not use is left out by the
// linker, is not imported by the component, and needs no grant.
type source struct{}

func (source) client() Client    { return clientOf(hostClient.Get()) }
func (source) connected() Client { return clientOf(hostClient.Connected()) }

func clientOf(client hostClient.ClientInfo) Client {
	return Client{
		Address: client.Address, Port: int(client.Port), Hostname: client.Hostname, Helo: client.Helo,
		AuthUser: client.AuthUser, AuthMechanism: client.AuthMechanism,
		TLSVersion: client.TlsVersion, TLSCipher: client.TlsCipher, Listener: client.Listener,
	}
}

func (source) sender() Mailbox       { return Mailbox(hostEnvelope.Sender()) }
func (source) recipients() []Mailbox { return mailboxes(hostEnvelope.Recipients()) }
func (source) queueID() string       { return hostEnvelope.QueueId() }

func mailboxes(from []hostTypes.Mailbox) []Mailbox {
	return mapped(from, func(mailbox hostTypes.Mailbox) Mailbox { return Mailbox(mailbox) })
}

func (source) fact(name string) any {
	fact := hostFacts.Get(name)
	if fact.IsNone() {
		return nil
	}
	switch value := fact.Some(); value.Tag() {
	case hostTypes.FactValueFlag:
		return value.Flag()
	case hostTypes.FactValueNumber:
		return value.Number()
	case hostTypes.FactValueText:
		return value.Text()
	default:
		return value.Texts()
	}
}

func (source) now() float64 { return hostClock.Now() }

func (source) random(length int) []byte { return hostRandom.Bytes(uint32(length)) }

func (source) log(level slog.Level, line string) {
	switch {
	case level >= slog.LevelError:
		hostLog.Write(hostLog.LevelError, line)
	case level >= slog.LevelWarn:
		hostLog.Write(hostLog.LevelWarn, line)
	case level >= slog.LevelInfo:
		hostLog.Write(hostLog.LevelInfo, line)
	default:
		hostLog.Write(hostLog.LevelDebug, line)
	}
}

func (source) headers() []HeaderField           { return fields(hostHeaders.All()) }
func (source) headerCount(name string) int      { return int(hostHeaders.Count(name)) }
func (source) header(name string) []HeaderField { return fields(hostHeaders.Get(name)) }
func (source) headerText(name string) []string  { return hostHeaders.Text(name) }
func (source) addresses(name string) []Address {
	return mapped(hostHeaders.Addresses(name), func(address hostHeaders.Address) Address { return Address(address) })
}

func fields(from []hostTypes.HeaderField) []HeaderField {
	return mapped(from, func(field hostTypes.HeaderField) HeaderField { return HeaderField(field) })
}

func (source) parts() []Part { return mapped(hostParts.All(), partOf) }

func partOf(part hostParts.Part) Part {
	return Part{
		ID: int(part.Id), Parent: int(part.Parent), Kind: PartKind(part.Kind), Role: PartRole(part.Role),
		MediaType: part.MediaType, Charset: part.Charset, Encoding: part.Encoding, Disposition: part.Disposition,
		FileName: part.FileName, ContentID: part.ContentId, EncodedSize: int(part.EncodedSize), Defects: part.Defects,
	}
}

func (source) partHeaders(part int) []HeaderField {
	return fields(hostParts.HeaderFields(uint32(part)))
}
func (source) partSize(part int) int { return int(hostParts.Size(uint32(part))) }
func (source) partText(part, limit int) string {
	return hostParts.Text(uint32(part), uint32(limit))
}
func (source) readPart(part, offset, length int) []byte {
	return hostParts.Read(uint32(part), uint32(offset), uint32(length))
}
func (source) readEntity(part, offset, length int) []byte {
	return hostParts.ReadEntity(uint32(part), uint32(offset), uint32(length))
}
func (source) rawSize() int { return int(hostRaw.Size()) }
func (source) readRaw(offset, length int) []byte {
	return hostRaw.Read(uint32(offset), uint32(length))
}

func (source) createBlob() int                   { return int(hostOutput.Create()) }
func (source) appendBlob(blob int, bytes []byte) { hostOutput.Append(uint32(blob), bytes) }
func (source) appendEntity(blob, part int)       { hostOutput.AppendEntity(uint32(blob), uint32(part)) }

func (source) open(service string) (int, error) {
	connection, err := taken(hostServices.Open(service), serviceError)
	return int(connection), err
}
func (source) send(connection int, bytes []byte) error {
	_, err := taken(hostServices.Write(uint32(connection), bytes), serviceError)
	return err
}
func (source) finish(connection int) error {
	_, err := taken(hostServices.Finish(uint32(connection)), serviceError)
	return err
}
func (source) receive(connection, length int) ([]byte, error) {
	return taken(hostServices.Read(uint32(connection), uint32(length)), serviceError)
}
func (source) close(connection int) { hostServices.Close(uint32(connection)) }

func serviceError(err hostServices.ServiceError) error {
	switch err.Tag() {
	case hostServices.ServiceErrorDenied:
		return ErrDenied
	case hostServices.ServiceErrorUnreachable:
		return withDetail(ErrUnreachable, err.Unreachable())
	case hostServices.ServiceErrorTimedOut:
		return ErrTimedOut
	case hostServices.ServiceErrorClosed:
		return ErrClosed
	default:
		return withDetail(ErrLimit, err.Limit())
	}
}

func (source) lookupHost(name string) ([]string, error) {
	return taken(hostDNS.Addresses(name), dnsError)
}
func (source) lookupTXT(name string) ([]string, error) { return taken(hostDNS.Texts(name), dnsError) }
func (source) lookupMX(name string) ([]MailExchanger, error) {
	found, err := taken(hostDNS.MailExchangers(name), dnsError)
	return mapped(found, func(host hostDNS.MailExchanger) MailExchanger {
		return MailExchanger{int(host.Preference), host.Host}
	}), err
}
func (source) lookupAddr(address string) ([]string, error) {
	return taken(hostDNS.Names(address), dnsError)
}

func dnsError(err hostDNS.DnsError) error {
	switch err.Tag() {
	case hostDNS.DnsErrorTimedOut:
		return ErrTimedOut
	case hostDNS.DnsErrorFailed:
		return withDetail(ErrUnavailable, err.Failed())
	default:
		return withDetail(ErrLimit, err.Limit())
	}
}

func (source) storeGet(key string) ([]byte, bool, error) {
	value, err := taken(hostStore.Get(key), storeError)
	if err != nil || value.IsNone() {
		return nil, false, err
	}
	return value.Some(), true, nil
}
func (source) storeSet(key string, value []byte, seconds int) error {
	_, err := taken(hostStore.Set(key, value, uint32(seconds)), storeError)
	return err
}
func (source) storeRemove(key string) error {
	_, err := taken(hostStore.Remove(key), storeError)
	return err
}
func (source) storeAdd(key string, amount, seconds int) (int, error) {
	sum, err := taken(hostStore.Add(key, uint32(amount), uint32(seconds)), storeError)
	return int(sum), err
}

func storeError(err hostStore.StoreError) error {
	if err.Tag() == hostStore.StoreErrorLimit {
		return withDetail(ErrLimit, err.Limit())
	}
	return withDetail(ErrUnavailable, err.Unavailable())
}

// taken takes the value or the error out of a result.
func taken[T, E any](result witTypes.Result[T, E], convert func(E) error) (value T, err error) {
	if result.IsErr() {
		return value, convert(result.Err())
	}
	return result.Ok(), nil
}

func mapped[T, U any](from []T, convert func(T) U) []U {
	into := make([]U, len(from))
	for at, value := range from {
		into[at] = convert(value)
	}
	return into
}
