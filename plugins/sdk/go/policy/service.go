package policy

import (
	"fmt"
	"io"
)

// Stream is a stream of bytes to a network service, an [io.ReadWriteCloser]. Time limits and connections are the host's.
// Every write is sent at once: gather small pieces in a bufio.Writer.
type Stream struct {
	source     source
	connection int
}

// Dial opens a stream to the service that the administrator named in [services.NAME]. Close it. Grant: service:NAME.
func (transaction *Transaction) Dial(service string) (*Stream, error) {
	connection, err := transaction.source.open(service)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", service, err)
	}
	return &Stream{transaction.source, connection}, nil
}

// Write sends all bytes.
func (stream *Stream) Write(bytes []byte) (int, error) {
	if err := stream.source.send(stream.connection, bytes); err != nil {
		return 0, err
	}
	return len(bytes), nil
}

// Read waits for at least one byte; [io.EOF] at the end of the stream.
func (stream *Stream) Read(into []byte) (int, error) {
	length := min(len(into), largestRead)
	if length == 0 {
		return 0, nil
	}
	bytes, err := stream.source.receive(stream.connection, length)
	if err != nil {
		return 0, err
	}
	if len(bytes) == 0 {
		return 0, io.EOF
	}
	return copy(into, bytes), nil
}

// CloseWrite says that nothing more will be written (TCP FIN); reading goes on.
func (stream *Stream) CloseWrite() error { return stream.source.finish(stream.connection) }

// Close ends the stream; it never fails.
func (stream *Stream) Close() error {
	stream.source.close(stream.connection)
	return nil
}
