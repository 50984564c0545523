package policy

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
)

// FailureKind says why a policy could not decide.
type FailureKind uint8

const (
	// Service: a service that the policy needs did not answer, or not sensibly.
	Service FailureKind = iota
	// Unsupported: the message is beyond what the policy can handle.
	Unsupported
	// Internal is anything else.
	Internal
)

// Failure is an error that says "I could not decide" with its kind: not a verdict on the message. A policy may return any
// other error, too: errors of services, DNS and store (see [ErrLimit] and its neighbours) count as Service, the rest as Internal.
type Failure struct {
	Kind FailureKind
	// Detail is for the log: what was being done, to what, what went wrong. No message content, no secrets.
	Detail string
}

// Failed makes a failure with a detail in the way of fmt.Sprintf.
func Failed(kind FailureKind, format string, values ...any) *Failure {
	return &Failure{kind, fmt.Sprintf(format, values...)}
}

func (failure *Failure) Error() string { return failure.Detail }

// What the host may answer instead of doing what was asked. Find out with errors.Is.
var (
	// ErrDenied: there is no such service, or it was not granted to this stage.
	ErrDenied = errors.New("no such service, or not granted to this stage")
	// ErrUnreachable: could not connect.
	ErrUnreachable = errors.New("can not connect")
	// ErrTimedOut: no answer in time.
	ErrTimedOut = errors.New("no answer in time")
	// ErrClosed: the peer closed or reset the connection, or the stream is not open.
	ErrClosed = errors.New("the connection was closed")
	// ErrLimit: a limit of the host was passed.
	ErrLimit = errors.New("limit passed")
	// ErrUnavailable: the resolver or the store failed.
	ErrUnavailable = errors.New("not available")
)

var hostErrors = []error{ErrDenied, ErrUnreachable, ErrTimedOut, ErrClosed, ErrLimit, ErrUnavailable}

// withDetail gives the error as what the host said about it.
func withDetail(err error, detail string) error {
	if detail == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, detail)
}

// failureOf turns what a policy returned into what the host is told.
func failureOf(err error) Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return Failure{failure.Kind, err.Error()}
	}
	for _, host := range hostErrors {
		if errors.Is(err, host) {
			return Failure{Service, err.Error()}
		}
	}
	return Failure{Internal, err.Error()}
}

// panicDetail tells what the panic was and where, without values that may come from the message.
func panicDetail(reason any) string {
	detail := fmt.Sprintf("panic with a %T", reason)
	switch reason := reason.(type) {
	case runtime.Error:
		detail = reason.Error()
	case string:
		detail = "panic: " + reason
	}
	return detail + panicPlace()
}

// panicPlace finds the line of the plugin that panicked: the first one on the stack below the panic that is not the
// runtime's.
func panicPlace() string {
	frames := make([]uintptr, 64)
	stack := runtime.CallersFrames(frames[:runtime.Callers(1, frames)])
	panicked := false
	for {
		frame, more := stack.Next()
		if frame.Function == "runtime.gopanic" || strings.HasPrefix(frame.Function, "runtime.panic") {
			panicked = true
		} else if panicked && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" at %s:%d", path.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
