package policy

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// schemaOf derives a JSON Schema from a type, and its defaults from a value of it.
func schemaOf(defaults any) string {
	if defaults == nil {
		return "{}"
	}
	text, err := json.Marshal(schema(reflect.TypeOf(defaults), reflect.ValueOf(defaults)))
	if err != nil {
		panic("the defaults can not be written as JSON: " + err.Error())
	}
	return string(text)
}

func schema(kind reflect.Type, value reflect.Value) map[string]any {
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
		if value.IsValid() {
			value = value.Elem()
		}
	}
	switch kind {
	case reflect.TypeFor[File](), reflect.TypeFor[Directory]():
		return map[string]any{"type": "object"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	}
	switch kind.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(kind.Elem(), reflect.Value{})}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(kind.Elem(), reflect.Value{})}
	case reflect.Struct:
		return object(kind, value)
	default:
		return map[string]any{}
	}
}

func object(kind reflect.Type, value reflect.Value) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for at := range kind.NumField() {
		field := kind.Field(at)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		var inner reflect.Value
		if value.IsValid() {
			inner = value.Field(at)
		}
		properties[name] = property(field, inner)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

func property(field reflect.StructField, value reflect.Value) map[string]any {
	property := schema(field.Type, value)
	if doc := field.Tag.Get("doc"); doc != "" {
		property["description"] = doc
	}
	if choices := field.Tag.Get("enum"); choices != "" {
		property["enum"] = strings.Split(choices, ",")
	}
	bound(property, "min", field.Tag.Get("min"))
	bound(property, "max", field.Tag.Get("max"))
	if value.IsValid() && !value.IsZero() && property["type"] != "object" {
		property["default"] = value.Interface()
	}
	return property
}

// bound adds what "min" or "max" is called for that type.
func bound(property map[string]any, which, limit string) {
	if limit == "" {
		return
	}
	number, err := strconv.ParseFloat(limit, 64)
	if err != nil {
		panic("the tag " + which + " must be a number, is " + limit)
	}
	switch property["type"] {
	case "string":
		property[which+"Length"] = number
	case "array":
		property[which+"Items"] = number
	default:
		property[which+"imum"] = number
	}
}
