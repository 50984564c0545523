package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

type limits struct {
	Reject float64 `json:"reject" min:"0" doc:"score"`
	Mode   string  `json:"mode,omitempty" enum:"warn,hold"`
}

type settings struct {
	Domains []string          `json:"domains" min:"1"`
	Limits  limits            `json:"limits,omitzero"`
	Names   map[string]string `json:"names,omitempty"`
	List    *File             `json:"list,omitempty"`
	Max     uint32            `json:"max,omitempty" max:"10"`
	hidden  bool
}

var defaults = settings{Limits: limits{Reject: 7, Mode: "warn"}, Max: 3}

type judge struct {
	settings settings
	decide   func(*Message) (*Decision, error)
}

func (judge *judge) Decide(message *Message) (*Decision, error) { return judge.decide(message) }

func register(t *testing.T, construct func(settings) (*judge, error)) {
	t.Helper()
	registered = plugin{}
	t.Cleanup(func() { registered = plugin{} })
	Register(Info{Name: "judge"}, defaults, construct)
}

func TestTheSchemaComesFromTheType(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(schemaOf(defaults)), &schema); err != nil {
		t.Fatal(err)
	}
	var wanted map[string]any
	if err := json.Unmarshal([]byte(`{
		"type": "object", "additionalProperties": false, "required": ["domains"],
		"properties": {
			"domains": {"type": "array", "items": {"type": "string"}, "minItems": 1},
			"limits": {
				"type": "object", "additionalProperties": false, "required": ["reject"],
				"properties": {
					"reject": {"type": "number", "minimum": 0, "description": "score", "default": 7},
					"mode": {"type": "string", "enum": ["warn", "hold"], "default": "warn"}
				}
			},
			"names": {"type": "object", "additionalProperties": {"type": "string"}},
			"list": {"type": "object"},
			"max": {"type": "integer", "minimum": 0, "maximum": 10, "default": 3}
		}
	}`), &wanted); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(schema, wanted) {
		t.Errorf("the schema is %v", schema)
	}
}

func TestWhatIsNotConfiguredKeepsItsDefault(t *testing.T) {
	var given settings
	register(t, func(settings settings) (*judge, error) { given = settings; return &judge{}, nil })
	config := `{"domains": ["example.org"], "limits": {"reject": 9}, "list": {"file": "/etc/list", "base64": "/w=="}}`
	if problems := configure(config, []string{"Decide"}); problems != nil {
		t.Fatal(problems)
	}
	if given.Limits != (limits{9, "warn"}) || given.Max != 3 {
		t.Errorf("the configuration is %+v", given)
	}
	if given.List.Path != "/etc/list" || string(given.List.Content) != "\xff" {
		t.Errorf("the file is %+v", given.List)
	}
}

func TestMistakesInTheConfigurationHaveTheirPlace(t *testing.T) {
	for config, wanted := range map[string]string{
		`{"limits": {"reject": "high"}}`: "/limits/reject: must be a float64, is a string",
		`{"domain": []}`:                 `: unknown field "domain"`,
		`{"list": "x"}`:                  `: must be a file such as { file = "/path" }`,
		`{} {}`:                          ": must be one JSON object",
	} {
		register(t, func(settings) (*judge, error) { return &judge{}, nil })
		if problems := configure(config, nil); problems.Error() != wanted {
			t.Errorf("%s gives %q", config, problems.Error())
		}
	}
}

func TestAllProblemsOfThePolicyAreTold(t *testing.T) {
	register(t, func(settings) (*judge, error) {
		var problems Problems
		problems.Add("/domains", "must not be empty")
		problems.Add("/max", "must be even, is 3")
		return nil, problems.Err()
	})
	wanted := Problems{{"/domains", "must not be empty"}, {"/max", "must be even, is 3"}}
	if problems := configure(`{}`, nil); !reflect.DeepEqual(problems, wanted) {
		t.Errorf("the problems are %v", problems)
	}
	register(t, func(settings) (*judge, error) { return nil, errors.New("no luck") })
	if problems := configure(`{}`, nil); !reflect.DeepEqual(problems, Problems{{"", "no luck"}}) {
		t.Errorf("the problems are %v", problems)
	}
}

func TestAPolicyWithoutWhatItsWorldExportsIsRefused(t *testing.T) {
	register(t, func(settings) (*judge, error) { return &judge{}, nil })
	problems := configure(`{}`, []string{"Decide", "Rcpt"})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "needs a method Rcpt, which *policy.judge does not have") {
		t.Errorf("the problems are %v", problems)
	}
}

func TestAPanicIsAFailureWithItsPlace(t *testing.T) {
	for _, test := range []struct {
		decide func(*Message) (*Decision, error)
		wanted string
	}{
		{func(*Message) (*Decision, error) { var none []int; return nil, fmt.Errorf("%d", none[len(none)]) },
			"runtime error: index out of range [0] with length 0 at plugin_test.go:"},
		{func(*Message) (*Decision, error) { panic("impossible") }, "panic: impossible at plugin_test.go:"},
		{func(*Message) (*Decision, error) { panic(errors.New("content of the message")) },
			"panic with a *errors.errorString at plugin_test.go:"},
	} {
		register(t, func(settings) (*judge, error) { return &judge{decide: test.decide}, nil })
		configure(`{}`, nil)
		_, err := ask(func(policy Decider) (*Decision, error) { return policy.Decide(nil) }, func(*Decision) bool { return true })
		failure := failureOf(err)
		if failure.Kind != Internal || !strings.HasPrefix(failure.Detail, test.wanted) {
			t.Errorf("the failure is %+v, not %s…", failure, test.wanted)
		}
	}
}

func TestErrorsOfTheHostAreFailuresOfAService(t *testing.T) {
	for _, test := range []struct {
		err    error
		wanted Failure
	}{
		{fmt.Errorf("asking: %w", withDetail(ErrUnreachable, "refused")), Failure{Service, "asking: can not connect: refused"}},
		{fmt.Errorf("part 3: %w", Failed(Unsupported, "%d levels", 9)), Failure{Unsupported, "part 3: 9 levels"}},
		{errors.New("bug"), Failure{Internal, "bug"}},
	} {
		if failure := failureOf(test.err); failure != test.wanted {
			t.Errorf("%v is %+v", test.err, failure)
		}
	}
}
