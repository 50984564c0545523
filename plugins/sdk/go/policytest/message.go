//go:build !wasip1

// Package policytest makes messages for native tests of policies (go test).
//
// It knows enough of MIME for that: nested multiparts and enclosed messages, base64 and quoted-printable, UTF-8, US-ASCII and
// ISO-8859-1. What the host does with unusual and broken messages is only seen in the host: use `wasmilter plugin test`.
package policytest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
)

// Message is a message and what surrounds it, all of it for the test to set. The zero value of everything but the message is
// useful; what is asked and was not set is an error of the policy (services) or nothing (DNS, facts).
type Message struct {
	Client policy.Client
	// Connected; nil: the client.
	Connected  *policy.Client
	Sender     policy.Mailbox
	Recipients []policy.Mailbox
	QueueID    string
	// Facts of stages before, by full name: bool, float64, string, []string.
	Facts map[string]any
	// Now in seconds since 1970.
	Now float64
	// Services by name.
	Services map[string]Service
	// Hosts, TXT, MX and Names are what DNS knows, by name or address.
	Hosts, TXT, Names map[string][]string
	MX                map[string][]policy.MailExchanger
	// DNSError is what all look-ups give, when it is set.
	DNSError error
	// Values and Counters of the store. Nothing expires.
	Values   map[string][]byte
	Counters map[string]int
	// StoreError is what the store gives, when it is set.
	StoreError error

	// Logged is what the policy wrote into the log: "INFO message key=value".
	Logged []string
	// Blobs that the policy wrote, in order.
	Blobs [][]byte

	raw     []byte
	fields  []policy.HeaderField
	parts   []part
	streams []stream
}

// Service is a network service as a test wants it.
type Service struct {
	// Answer to what was sent before the first read.
	Answer func(sent []byte) []byte
	// OpenError and ReadError are what the policy gets instead, such as policy.ErrUnreachable.
	OpenError, ReadError error
}

type part struct {
	policy.Part
	fields          []policy.HeaderField
	content, entity []byte
}

type stream struct {
	service Service
	sent    []byte
	rest    []byte
	asked   bool
	closed  bool
}

// Parse makes a message of its text; line ends may be LF. It comes from sender@example.net at 192.0.2.1 to recipient@example.org.
func Parse(text string) *Message {
	raw := []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"))
	message := &Message{
		Client:     policy.Client{Address: "192.0.2.1", Port: 25000, Hostname: "client.example.net", Helo: "client.example.net"},
		Sender:     Mailbox("sender@example.net"),
		Recipients: []policy.Mailbox{Mailbox("recipient@example.org")},
		QueueID:    "4TEST0123",
		Now:        1_767_225_600,
		raw:        raw,
	}
	message.fields, _ = split(raw)
	message.add(raw, 0, nil)
	return message
}

// Mailbox makes a mailbox of its address.
func Mailbox(address string) policy.Mailbox {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return policy.Mailbox{Address: address, Local: address}
	}
	return policy.Mailbox{Address: address, Local: address[:at], Domain: strings.ToLower(address[at+1:])}
}

// Policy is the message as a policy gets it.
func (message *Message) Policy() *policy.Message { return policy.NewMessage(ambient{message}) }

// Transaction is the transaction as an envelope hook gets it.
func (message *Message) Transaction() *policy.Transaction {
	return policy.NewTransaction(ambient{message})
}

// split separates header fields and content of an entity.
func split(entity []byte) (fields []policy.HeaderField, content []byte) {
	for len(entity) > 0 {
		line, rest, _ := bytes.Cut(entity, []byte("\r\n"))
		entity = rest
		switch {
		case len(line) == 0:
			return fields, entity
		case (line[0] == ' ' || line[0] == '\t') && len(fields) > 0:
			last := &fields[len(fields)-1]
			last.Value = append(append(last.Value, "\r\n"...), line...)
		default:
			if name, value, found := bytes.Cut(line, []byte(":")); found {
				fields = append(fields, policy.HeaderField{Name: string(bytes.TrimSpace(name)), Value: bytes.Clone(value)})
			}
		}
	}
	return fields, nil
}

func field(fields []policy.HeaderField, name string) string {
	for _, field := range fields {
		if strings.EqualFold(field.Name, name) {
			return unfold(field.Value)
		}
	}
	return ""
}

func unfold(value []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(string(value), "\r\n", ""))
}

// add adds the part that an entity is, and all below it. inherited is the role of what it stands in, when that decides.
func (message *Message) add(entity []byte, parent int, inherited *policy.PartRole) {
	fields, content := split(entity)
	id := len(message.parts)
	mediaType, parameters, err := mime.ParseMediaType(field(fields, "Content-Type"))
	if err != nil {
		mediaType, parameters = "text/plain", nil
	}
	disposition, dispositionParameters, _ := mime.ParseMediaType(field(fields, "Content-Disposition"))
	name := dispositionParameters["filename"]
	if name == "" {
		name = parameters["name"]
	}
	encoding := strings.ToLower(field(fields, "Content-Transfer-Encoding"))
	if encoding == "" {
		encoding = "7bit"
	}
	if id == 0 {
		entity = rootEntity(fields, content)
	}
	new := part{
		Part: policy.Part{
			ID: id, Parent: parent, MediaType: mediaType, Charset: strings.ToLower(parameters["charset"]),
			Encoding: encoding, Disposition: disposition, FileName: decodeWords(name),
			ContentID: strings.Trim(field(fields, "Content-ID"), "<>"), EncodedSize: len(content),
		},
		fields: fields, entity: entity,
	}
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		new.Kind = policy.Multipart
	case mediaType == "message/rfc822":
		new.Kind = policy.Enclosed
	default:
		new.content, new.Defects = decode(content, encoding)
	}
	new.Role = role(new.Part, inherited)
	message.parts = append(message.parts, new)

	if inherited == nil && (new.Role == policy.Signed || new.Role == policy.Encrypted) {
		inherited = &new.Role
	}
	switch new.Kind {
	case policy.Multipart:
		children := multipart.NewReader(bytes.NewReader(content), parameters["boundary"])
		for {
			child, err := children.NextRawPart()
			if err != nil {
				return
			}
			var whole bytes.Buffer
			for _, name := range slices.Sorted(maps.Keys(child.Header)) {
				for _, value := range child.Header[name] {
					fmt.Fprintf(&whole, "%s: %s\r\n", name, value)
				}
			}
			whole.WriteString("\r\n")
			if _, err := whole.ReadFrom(child); err != nil {
				return
			}
			message.add(whole.Bytes(), id, inherited)
		}
	case policy.Enclosed:
		enclosed := policy.Attachment
		if inherited == nil {
			inherited = &enclosed
		}
		message.add(content, id, inherited)
	}
}

func role(part policy.Part, inherited *policy.PartRole) policy.PartRole {
	switch {
	case inherited != nil:
		return *inherited
	case part.MediaType == "multipart/encrypted", part.MediaType == "application/pkcs7-mime":
		return policy.Encrypted
	case part.MediaType == "multipart/signed":
		return policy.Signed
	case part.Kind == policy.Multipart:
		return policy.Container
	case part.Kind == policy.Leaf && (part.MediaType == "text/plain" || part.MediaType == "text/html") &&
		part.Disposition != "attachment" && part.FileName == "":
		return policy.Body
	default:
		return policy.Attachment
	}
}

// rootEntity leaves out what is the message's and not the content's.
func rootEntity(fields []policy.HeaderField, content []byte) []byte {
	var entity bytes.Buffer
	for _, field := range fields {
		name := strings.ToLower(field.Name)
		if name == "mime-version" || strings.HasPrefix(name, "content-") {
			fmt.Fprintf(&entity, "%s:%s\r\n", field.Name, field.Value)
		}
	}
	entity.WriteString("\r\n")
	entity.Write(content)
	return entity.Bytes()
}

func decode(content []byte, encoding string) (decoded []byte, defects []string) {
	var err error
	switch encoding {
	case "base64":
		decoded, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(content)))
	case "quoted-printable":
		decoded, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(content)))
	case "7bit", "8bit", "binary":
		decoded = content
	default:
		return content, []string{"unknown-encoding"}
	}
	if err != nil {
		defects = []string{"invalid-" + encoding}
	}
	return decoded, defects
}

func decodeWords(text string) string {
	decoded, err := new(mime.WordDecoder).DecodeHeader(text)
	if err != nil {
		return text
	}
	return decoded
}

// ambient is the message as the policy's host.
type ambient struct{ of *Message }

func (ambient ambient) Client() policy.Client { return ambient.of.Client }
func (ambient ambient) Connected() policy.Client {
	if ambient.of.Connected != nil {
		return *ambient.of.Connected
	}
	return ambient.of.Client
}
func (ambient ambient) Sender() policy.Mailbox       { return ambient.of.Sender }
func (ambient ambient) Recipients() []policy.Mailbox { return ambient.of.Recipients }
func (ambient ambient) QueueID() string              { return ambient.of.QueueID }
func (ambient ambient) Fact(name string) any         { return ambient.of.Facts[name] }
func (ambient ambient) Now() float64                 { return ambient.of.Now }

// Random counts up: tests want the same every time.
func (ambient ambient) Random(length int) []byte {
	bytes := make([]byte, length)
	for at := range bytes {
		bytes[at] = byte(at)
	}
	return bytes
}

func (ambient ambient) Log(level slog.Level, line string) {
	ambient.of.Logged = append(ambient.of.Logged, level.String()+" "+line)
}

func (ambient ambient) Headers() []policy.HeaderField { return ambient.of.fields }

func (ambient ambient) HeaderText(name string) (texts []string) {
	for _, field := range ambient.of.fields {
		if strings.EqualFold(field.Name, name) {
			texts = append(texts, decodeWords(unfold(field.Value)))
		}
	}
	return texts
}

func (ambient ambient) Addresses(name string) (addresses []policy.Address) {
	for _, field := range ambient.of.fields {
		if !strings.EqualFold(field.Name, name) {
			continue
		}
		list, err := mail.ParseAddressList(unfold(field.Value))
		if err != nil {
			addresses = append(addresses, policy.Address{Address: unfold(field.Value)})
		}
		for _, address := range list {
			addresses = append(addresses, policy.Address{Name: address.Name, Address: address.Address})
		}
	}
	return addresses
}

func (ambient ambient) Parts() (parts []policy.Part) {
	for _, part := range ambient.of.parts {
		parts = append(parts, part.Part)
	}
	return parts
}
func (ambient ambient) PartHeaders(part int) []policy.HeaderField {
	return ambient.of.parts[part].fields
}
func (ambient ambient) PartContent(part int) []byte { return ambient.of.parts[part].content }
func (ambient ambient) PartEntity(part int) []byte  { return ambient.of.parts[part].entity }
func (ambient ambient) PartText(part int) string {
	content := ambient.of.parts[part].content
	if ambient.of.parts[part].Charset == "iso-8859-1" {
		var text strings.Builder
		for _, letter := range content {
			text.WriteRune(rune(letter))
		}
		return text.String()
	}
	return strings.ToValidUTF8(string(content), "\uFFFD")
}
func (ambient ambient) Raw() []byte { return ambient.of.raw }

func (ambient ambient) CreateBlob() int {
	ambient.of.Blobs = append(ambient.of.Blobs, nil)
	return len(ambient.of.Blobs) - 1
}
func (ambient ambient) AppendBlob(blob int, bytes []byte) {
	ambient.of.Blobs[blob] = append(ambient.of.Blobs[blob], bytes...)
}

func (ambient ambient) Open(service string) (int, error) {
	found, known := ambient.of.Services[service]
	if !known {
		return 0, policy.ErrDenied
	}
	if found.OpenError != nil {
		return 0, found.OpenError
	}
	ambient.of.streams = append(ambient.of.streams, stream{service: found})
	return len(ambient.of.streams) - 1, nil
}
func (ambient ambient) Send(connection int, bytes []byte) error {
	stream := &ambient.of.streams[connection]
	if stream.closed {
		return policy.ErrClosed
	}
	stream.sent = append(stream.sent, bytes...)
	return nil
}
func (ambient ambient) Finish(connection int) error {
	if ambient.of.streams[connection].closed {
		return policy.ErrClosed
	}
	return nil
}
func (ambient ambient) Receive(connection, length int) ([]byte, error) {
	stream := &ambient.of.streams[connection]
	if stream.closed {
		return nil, policy.ErrClosed
	}
	if stream.service.ReadError != nil {
		return nil, stream.service.ReadError
	}
	if !stream.asked && stream.service.Answer != nil {
		stream.rest = stream.service.Answer(stream.sent)
	}
	stream.asked = true
	// In small pieces, so that nothing relies on getting an answer whole.
	count := min(length, 7, len(stream.rest))
	piece := stream.rest[:count]
	stream.rest = stream.rest[count:]
	return piece, nil
}
func (ambient ambient) Close(connection int) { ambient.of.streams[connection].closed = true }

func (ambient ambient) LookupHost(name string) ([]string, error) {
	return ambient.of.Hosts[name], ambient.of.DNSError
}
func (ambient ambient) LookupTXT(name string) ([]string, error) {
	return ambient.of.TXT[name], ambient.of.DNSError
}
func (ambient ambient) LookupMX(name string) ([]policy.MailExchanger, error) {
	return ambient.of.MX[name], ambient.of.DNSError
}
func (ambient ambient) LookupAddr(address string) ([]string, error) {
	return ambient.of.Names[address], ambient.of.DNSError
}

func (ambient ambient) StoreGet(key string) ([]byte, bool, error) {
	value, found := ambient.of.Values[key]
	return value, found, ambient.of.StoreError
}
func (ambient ambient) StoreSet(key string, value []byte, _ int) error {
	if ambient.of.StoreError == nil {
		if ambient.of.Values == nil {
			ambient.of.Values = map[string][]byte{}
		}
		ambient.of.Values[key] = bytes.Clone(value)
	}
	return ambient.of.StoreError
}
func (ambient ambient) StoreRemove(key string) error {
	delete(ambient.of.Values, key)
	delete(ambient.of.Counters, key)
	return ambient.of.StoreError
}
func (ambient ambient) StoreAdd(key string, amount, _ int) (int, error) {
	if ambient.of.StoreError != nil {
		return 0, ambient.of.StoreError
	}
	if amount > 0 {
		if ambient.of.Counters == nil {
			ambient.of.Counters = map[string]int{}
		}
		ambient.of.Counters[key] += amount
	}
	return ambient.of.Counters[key], nil
}
