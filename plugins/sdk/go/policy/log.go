package policy

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
)

// handler writes records as "message key=value key=value"; level and time are the host's.
type handler struct {
	source source
	prefix string // of keys, from WithGroup
	attrs  string // written already, from WithAttrs
}

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (handler handler) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Message)
	line.WriteString(handler.attrs)
	record.Attrs(func(attr slog.Attr) bool {
		write(&line, handler.prefix, attr)
		return true
	})
	handler.source.log(record.Level, line.String())
	return nil
}

func (handler handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var line strings.Builder
	line.WriteString(handler.attrs)
	for _, attr := range attrs {
		write(&line, handler.prefix, attr)
	}
	handler.attrs = line.String()
	return handler
}

func (handler handler) WithGroup(name string) slog.Handler {
	if name != "" {
		handler.prefix += name + "."
	}
	return handler
}

func write(line *strings.Builder, prefix string, attr slog.Attr) {
	value := attr.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			prefix += attr.Key + "."
		}
		for _, inner := range value.Group() {
			write(line, prefix, inner)
		}
		return
	}
	if attr.Equal(slog.Attr{}) {
		return
	}
	line.WriteString(" " + prefix + attr.Key + "=")
	if text := value.String(); text == "" || strings.ContainsAny(text, " \"=\t\r\n") {
		line.WriteString(strconv.Quote(text))
	} else {
		line.WriteString(text)
	}
}
