package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// File is a file that the administrator named with { file = "/path" }, with its content.
type File struct {
	// Path as written in the configuration.
	Path    string
	Content []byte
}

// Directory is what the administrator named with { directory = "/path" }, with its files.
type Directory struct {
	// Path as written in the configuration.
	Path  string
	Files []NamedFile
}

// NamedFile is a file of a [Directory].
type NamedFile struct {
	// Name without the directory.
	Name    string
	Content []byte
}

// How the host writes files: content when it is UTF-8, base64 otherwise.
type hostFile struct {
	File    string  `json:"file"`
	Name    string  `json:"name"`
	Content *string `json:"content"`
	Base64  []byte  `json:"base64"`
}

func (file hostFile) content() []byte {
	if file.Content != nil {
		return []byte(*file.Content)
	}
	return file.Base64
}

// UnmarshalJSON reads what the host writes in place of { file = "/path" }.
func (file *File) UnmarshalJSON(text []byte) error {
	var from hostFile
	if err := json.Unmarshal(text, &from); err != nil || from.File == "" {
		return errors.New(`must be a file such as { file = "/path" }`)
	}
	*file = File{from.File, from.content()}
	return nil
}

// UnmarshalJSON reads what the host writes in place of { directory = "/path" }.
func (directory *Directory) UnmarshalJSON(text []byte) error {
	var from struct {
		Directory string     `json:"directory"`
		Files     []hostFile `json:"files"`
	}
	if err := json.Unmarshal(text, &from); err != nil || from.Directory == "" {
		return errors.New(`must be a directory such as { directory = "/path" }`)
	}
	*directory = Directory{Path: from.Directory}
	for _, file := range from.Files {
		directory.Files = append(directory.Files, NamedFile{file.Name, file.content()})
	}
	return nil
}

// decode reads a configuration over the defaults. The host has held it against the schema, so what is wrong here is rare.
func decode[C any](text string, defaults C) (C, error) {
	config := defaults
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&config)
	if err == nil {
		if _, err := decoder.Token(); err != io.EOF {
			return config, Problems{{"", "must be one JSON object"}}
		}
		return config, nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		path := ""
		if wrongType.Field != "" {
			path = "/" + strings.ReplaceAll(wrongType.Field, ".", "/")
		}
		return config, Problems{{path, fmt.Sprintf("must be a %s, is a %s", wrongType.Type, wrongType.Value)}}
	}
	return config, Problems{{"", strings.TrimPrefix(err.Error(), "json: ")}}
}
