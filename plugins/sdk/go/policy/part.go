package policy

import "io"

// PartKind says what a part holds.
type PartKind uint8

const (
	// Leaf has content of its own.
	Leaf PartKind = iota
	// Multipart is multipart/*: its children are the parts.
	Multipart
	// Enclosed is message/rfc822: its only child is the root of the enclosed message.
	Enclosed
)

// PartRole says what a part is to the reader, and to edits that annotate.
type PartRole uint8

const (
	// Body is shown as the message's text.
	Body PartRole = iota
	// Attachment is a file, an inline picture, a forwarded message.
	Attachment
	// Signed is inside or part of something signed: changing it breaks the signature.
	Signed
	// Encrypted, or part of an encrypted structure.
	Encrypted
	// Container is multipart/* without a role of its own.
	Container
)

// Part is a part of the MIME tree (RFC 2045, 2046). Reading its content needs the grant text for role Body and attachments
// for all others; where it was not granted, the plugin's call ends with the failure "refused".
type Part struct {
	// ID counts in order of appearance; 0 is the root (the message's own content).
	ID int
	// Parent is the enclosing part; for the root 0, itself.
	Parent int
	Kind   PartKind
	Role   PartRole
	// MediaType in lower case without parameters; "text/plain" when missing or beyond recognition.
	MediaType string
	// Charset in lower case; empty when missing.
	Charset string
	// Encoding is the Content-Transfer-Encoding in lower case; "7bit" when missing.
	Encoding string
	// Disposition is "inline", "attachment" or another token in lower case; empty when missing.
	Disposition string
	// FileName, decoded; empty for none.
	FileName string
	// ContentID without angle brackets; empty for none.
	ContentID string
	// EncodedSize is the size of the content as it stands in the message, transfer-encoded, without header fields.
	EncodedSize int
	// Defects: what was wrong with this part, such as "invalid-base64".
	Defects []string

	source source
}

// Headers gives the part's header fields; for the root those of the message, which needs the grant headers.
func (part *Part) Headers() []HeaderField { return part.source.partHeaders(part.ID) }

// Size of the decoded content of a leaf in bytes; 0 for others. Decodes the part.
func (part *Part) Size() int { return part.source.partSize(part.ID) }

// Text is the content of a text part as UTF-8; at most limit bytes of it, cut between characters.
func (part *Part) Text(limit int) string { return part.source.partText(part.ID, limit) }

// Open reads the decoded content of a leaf; nothing of a multipart or an enclosed message.
func (part *Part) Open() io.Reader {
	source, id := part.source, part.ID
	return &pieces{read: func(offset, length int) []byte { return source.readPart(id, offset, length) }}
}

// Entity reads the part as it stands in the message, header fields included; of the root the entity that S/MIME and
// PGP/MIME sign or encrypt. Grant: raw.
func (part *Part) Entity() io.Reader {
	source, id := part.source, part.ID
	return &pieces{read: func(offset, length int) []byte { return source.readEntity(id, offset, length) }}
}
