package policy

import "strings"

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Path is a JSON pointer (RFC 6901) into the configuration: "/thresholds/reject". Empty: the whole.
	Path string
	// Message in lower case without full stop, with the value and what is allowed: "must be above 0, is -3".
	Message string
}

// Problems is all that is wrong with a configuration, gathered so that it is told at once. It is an error; the function that
// makes the policy returns problems.Err().
type Problems []Problem

// Add adds a problem. For path and message see [Problem].
func (problems *Problems) Add(path, message string) {
	*problems = append(*problems, Problem{path, message})
}

// Err gives the problems as an error, nil when there are none.
func (problems Problems) Err() error {
	if len(problems) == 0 {
		return nil
	}
	return problems
}

func (problems Problems) Error() string {
	lines := make([]string, len(problems))
	for at, problem := range problems {
		lines[at] = problem.Path + ": " + problem.Message
	}
	return strings.Join(lines, "; ")
}
