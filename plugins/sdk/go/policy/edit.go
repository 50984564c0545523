package policy

import (
	"fmt"
	"strings"
)

// Edit is one change to the message. What no edit names stays byte for byte as it was.
type Edit interface {
	// String is the edit as cases write it in expected.toml.
	String() string
	edit()
}

// NewHeader is a header field to write. Value is what follows the colon without the leading space; lines may be folded.
// Non-ASCII text must be encoded (mime.QEncoding.Encode), unless the transaction is SMTPUTF8; SetSubject encodes by itself.
type NewHeader struct{ Name, Value string }

// Content is bytes of a new or changed part: made by [Bytes], [Text] or [Blob.Content].
type Content struct {
	bytes []byte
	blob  int // its id and 1; 0: none
}

// Bytes makes content of bytes.
func Bytes(bytes []byte) Content { return Content{bytes: bytes} }

// Text makes content of a text.
func Text(text string) Content { return Content{bytes: []byte(text)} }

// NewPart is a new part, or what a part is replaced by. The host encodes the content and writes the part's header fields.
type NewPart struct {
	// MediaType with parameters where needed, such as "text/plain" (UTF-8 is assumed and declared for text).
	MediaType string
	// FileName for the recipient; empty for none.
	FileName string
	// Disposition is "inline" or "attachment"; empty: attachment when there is a file name.
	Disposition string
	// ContentID without angle brackets, for pictures that HTML refers to; empty for none.
	ContentID string
	// Content, decoded.
	Content Content
}

// NewClient is the client as found behind trusted relays. Empty and 0: not known.
type NewClient struct {
	Address        string
	Port           int
	Hostname, Helo string
}

// The edits. [Decision] has a method for each; see there.
type (
	// AddHeader adds a field below all others.
	AddHeader NewHeader
	// InsertHeader inserts a field above all others.
	InsertHeader NewHeader
	// ReplaceHeader replaces the value of one occurrence, counted from 1 at the top among the fields of that name, as the
	// message was before any edit of this decision.
	ReplaceHeader struct {
		Name       string
		Occurrence int
		Value      string
	}
	// RemoveHeader removes one occurrence, counted in the same way, or with Occurrence 0 every one.
	RemoveHeader struct {
		Name       string
		Occurrence int
	}
	// SetSubject sets the subject.
	SetSubject struct{ Text string }
	// ReplacePart replaces a part and everything below it.
	ReplacePart struct {
		Part int
		By   NewPart
	}
	// RemovePart removes a part and everything below it.
	RemovePart struct{ Part int }
	// AddPart adds a part at the end.
	AddPart struct{ Part NewPart }
	// AppendText puts text after what people read.
	AppendText struct{ Plain, HTML string }
	// PrependText puts text before what people read.
	PrependText struct{ Plain, HTML string }
	// ReplaceContent replaces the whole content.
	ReplaceContent struct {
		Headers []NewHeader
		Body    Content
	}
	// SetSender changes the envelope sender.
	SetSender struct {
		Address   string
		Arguments []string
	}
	// AddRecipient adds a recipient.
	AddRecipient struct {
		Address   string
		Arguments []string
	}
	// RemoveRecipient removes a recipient.
	RemoveRecipient struct{ Address string }
	// SetClient sets the client for all later stages.
	SetClient struct{ Client NewClient }
)

func (AddHeader) edit()       {}
func (InsertHeader) edit()    {}
func (ReplaceHeader) edit()   {}
func (RemoveHeader) edit()    {}
func (SetSubject) edit()      {}
func (ReplacePart) edit()     {}
func (RemovePart) edit()      {}
func (AddPart) edit()         {}
func (AppendText) edit()      {}
func (PrependText) edit()     {}
func (ReplaceContent) edit()  {}
func (SetSender) edit()       {}
func (AddRecipient) edit()    {}
func (RemoveRecipient) edit() {}
func (SetClient) edit()       {}

func (edit AddHeader) String() string    { return "add-header " + edit.Name + ": " + edit.Value }
func (edit InsertHeader) String() string { return "insert-header " + edit.Name + ": " + edit.Value }
func (edit ReplaceHeader) String() string {
	return fmt.Sprintf("replace-header %s#%d: %s", edit.Name, edit.Occurrence, edit.Value)
}
func (edit RemoveHeader) String() string {
	if edit.Occurrence == 0 {
		return "remove-header " + edit.Name
	}
	return fmt.Sprintf("remove-header %s#%d", edit.Name, edit.Occurrence)
}
func (edit SetSubject) String() string { return "set-subject " + edit.Text }
func (edit ReplacePart) String() string {
	return fmt.Sprintf("replace-part %d by %s %q", edit.Part, edit.By.MediaType, edit.By.FileName)
}
func (edit RemovePart) String() string { return fmt.Sprintf("remove-part %d", edit.Part) }
func (edit AddPart) String() string {
	return fmt.Sprintf("add-part %s %q", edit.Part.MediaType, edit.Part.FileName)
}
func (edit AppendText) String() string  { return "append-text " + plainOr(edit.Plain, edit.HTML) }
func (edit PrependText) String() string { return "prepend-text " + plainOr(edit.Plain, edit.HTML) }
func (edit ReplaceContent) String() string {
	fields := make([]string, len(edit.Headers))
	for at, field := range edit.Headers {
		fields[at] = field.Name + ": " + field.Value
	}
	return "replace-content " + strings.Join(fields, "; ")
}
func (edit SetSender) String() string       { return "set-sender " + edit.Address }
func (edit AddRecipient) String() string    { return "add-recipient " + edit.Address }
func (edit RemoveRecipient) String() string { return "remove-recipient " + edit.Address }
func (edit SetClient) String() string       { return "set-client " + edit.Client.Address }

func plainOr(plain, html string) string {
	if plain != "" {
		return plain
	}
	return html
}
