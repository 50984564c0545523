package policy

import "io"

// Message is the message at hand with its transaction, as the stages before this one left it. Nothing is copied into the
// plugin unless asked.
type Message struct{ Transaction }

// HeaderField is a header field as it stands in the message.
type HeaderField struct {
	// Name, as written. Compare with strings.EqualFold.
	Name string
	// Value is everything after the colon, raw: usually starts with a space; folded lines are joined by CRLF and white space.
	Value []byte
}

// Address is one address of a From, To, Cc, Reply-To… field.
type Address struct {
	// Name, decoded; empty when there is none.
	Name string
	// Address such as "user@example.org"; may be something else when the field is malformed.
	Address string
}

// Headers gives all fields, from the top, raw. Grant: headers.
func (message *Message) Headers() []HeaderField { return message.source.headers() }

// HeaderCount tells how many fields there are of that name (any case). Grant: headers.
func (message *Message) HeaderCount(name string) int { return message.source.headerCount(name) }

// Header gives the fields of that name, from the top, raw. Grant: headers.
func (message *Message) Header(name string) []HeaderField { return message.source.header(name) }

// HeaderText gives the fields of that name, from the top: unfolded, trimmed, encoded words (RFC 2047) decoded. Grant: headers.
func (message *Message) HeaderText(name string) []string { return message.source.headerText(name) }

// Subject is the text of the first Subject field; empty when there is none. Grant: headers.
func (message *Message) Subject() string {
	for _, subject := range message.HeaderText("Subject") {
		return subject
	}
	return ""
}

// Addresses gives the mailboxes in all fields of that name; groups flattened. Grant: headers.
func (message *Message) Addresses(name string) []Address { return message.source.addresses(name) }

// Parts gives all parts of the MIME tree in order of appearance; the first is the root, and the index is the part's ID.
// Grant: text or attachments.
func (message *Message) Parts() []Part {
	parts := message.source.parts()
	for at := range parts {
		parts[at].source = message.source
	}
	return parts
}

// RawSize is the size of the message in bytes. Grant: raw.
func (message *Message) RawSize() int { return message.source.rawSize() }

// Raw reads the message as bytes: header fields, empty line, body, lines ended by CRLF. Grant: raw.
func (message *Message) Raw() io.Reader {
	return &pieces{read: message.source.readRaw}
}

// NewBlob starts a large content for an edit, written in pieces so that it never stands in the plugin's memory as a whole.
func (message *Message) NewBlob() *Blob {
	return &Blob{message.source, message.source.createBlob()}
}

// Blob is large content for an edit, kept by the host. Write to it, then put [Blob.Content] into the edit.
type Blob struct {
	source source
	id     int
}

// Write appends. The plugin's call ends when the stage's limit of output bytes is passed.
func (blob *Blob) Write(bytes []byte) (int, error) {
	blob.source.appendBlob(blob.id, bytes)
	return len(bytes), nil
}

// AppendEntity appends the entity of a part, as [Part.Entity] gives it, without moving it through the plugin. Grant: raw.
func (blob *Blob) AppendEntity(part int) { blob.source.appendEntity(blob.id, part) }

// Content is what to put into an edit.
func (blob *Blob) Content() Content { return Content{blob: blob.id + 1} }

// largestRead is what the host gives in one call.
const largestRead = 65536

// pieces reads what the host gives piece by piece.
type pieces struct {
	read   func(offset, length int) []byte
	offset int
	ended  bool
}

func (pieces *pieces) Read(into []byte) (int, error) {
	if pieces.ended {
		return 0, io.EOF
	}
	length := min(len(into), largestRead)
	if length == 0 {
		return 0, nil
	}
	count := copy(into, pieces.read(pieces.offset, length))
	pieces.offset += count
	if count == 0 {
		pieces.ended = true
		return 0, io.EOF
	}
	return count, nil
}
