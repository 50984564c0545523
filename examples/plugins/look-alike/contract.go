package main

// The part of the contract (wit/) that this plugin uses, in Go's own types, and what lays them out as the canonical ABI
// wants it. The generators for Go need TinyGo or a tool that the module proxy does not have; for the standard compiler these
// lines do. A pointer is 8 bytes to this compiler and 4 to the ABI, so nothing is cast: all is written and read by
// offset. Another plugin can take this file as it is and add what it needs.

import (
	"encoding/binary"
	"math"
	"unsafe"
)

type pluginInfo struct {
	name, version, summary string
	grants                 []string
	configSchema           string
}

type problem struct{ path, message string }

type fact struct {
	name  string
	value any // bool, float64, string or []string
}

// A decision to go on with the next stage, perhaps with another subject.
type decision struct {
	subject *string
	facts   []fact
}

// ---- exports

//go:wasmexport wasmilter:policy/lifecycle@0.1.0#describe
func exportDescribe() unsafe.Pointer {
	begin()
	info := describe()
	result := allocate(40)
	putText(result[0:], info.name)
	putText(result[8:], info.version)
	putText(result[16:], info.summary)
	putTexts(result[24:], info.grants)
	putText(result[32:], info.configSchema)
	return address(result)
}

//go:wasmexport wasmilter:policy/lifecycle@0.1.0#configure
func exportConfigure(config unsafe.Pointer, length uint32) unsafe.Pointer {
	text := string(unsafe.Slice((*byte)(config), length))
	begin()
	problems := configure(text)
	result := allocate(12)
	if len(problems) > 0 {
		result[0] = 1
		list := putList(result[4:], len(problems), 16)
		for at, problem := range problems {
			putText(list[16*at:], problem.path)
			putText(list[16*at+8:], problem.message)
		}
	}
	return address(result)
}

//go:wasmexport wasmilter:policy/message-policy@0.1.0#decide
func exportDecide() unsafe.Pointer {
	begin()
	decided := decide()
	// result: 0 ok, then from byte 4 the decision: verdict (24 bytes, 0 is `next`), edits, facts.
	result := allocate(44)
	if decided.subject != nil {
		const setSubject = 4
		edit := putList(result[28:], 1, 36)
		edit[0] = setSubject
		putText(edit[4:], *decided.subject)
	}
	list := putList(result[36:], len(decided.facts), 24)
	for at, fact := range decided.facts {
		putFact(list[24*at:], fact)
	}
	return address(result)
}

func putFact(into []byte, fact fact) {
	putText(into, fact.name)
	switch value := fact.value.(type) {
	case bool:
		if value {
			into[16] = 1
		}
	case float64:
		into[8] = 1
		binary.LittleEndian.PutUint64(into[16:], math.Float64bits(value))
	case string:
		into[8] = 2
		putText(into[16:], value)
	case []string:
		into[8] = 3
		putTexts(into[16:], value)
	default:
		panic("a fact is a bool, a float64, a string or a []string")
	}
}

// ---- imports

//go:wasmimport wasmilter:policy/headers@0.1.0 text
func importText(name unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport wasmilter:policy/headers@0.1.0 addresses
func importAddresses(name unsafe.Pointer, length uint32, result unsafe.Pointer)

// headerText gives the fields of that name as people read them.
func headerText(name string) []string {
	result := allocate(8)
	importText(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), address(result))
	texts := make([]string, number(result[4:]))
	for at := range texts {
		texts[at] = text(element(result, at, 8))
	}
	return texts
}

// headerAddresses gives the mailboxes in the fields of that name, without their display names.
func headerAddresses(name string) []string {
	result := allocate(8)
	importAddresses(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), address(result))
	addresses := make([]string, number(result[4:]))
	for at := range addresses {
		addresses[at] = text(element(result, at, 16)[8:])
	}
	return addresses
}

// ---- memory

// What the host was given, or gave, during this call: kept so that the collector leaves it alone.
var kept [][]byte

// begin forgets what belonged to the call before.
func begin() { kept = kept[:0] }

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	fresh := allocate(int(size))
	if old != nil {
		copy(fresh, unsafe.Slice((*byte)(old), oldSize))
	}
	return address(fresh)
}

// allocate gives zeroed memory, aligned to 8, until the next call begins.
func allocate(size int) []byte {
	words := make([]uint64, size/8+1)
	fresh := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	kept = append(kept, fresh)
	return fresh
}

func address(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

func putNumber(into []byte, value uint32) { binary.LittleEndian.PutUint32(into, value) }

func putList(into []byte, length, size int) []byte {
	list := allocate(length * size)
	putNumber(into, uint32(uintptr(address(list))))
	putNumber(into[4:], uint32(length))
	return list
}

func putText(into []byte, text string) { copy(putList(into, len(text), 1), text) }

func putTexts(into []byte, texts []string) {
	list := putList(into, len(texts), 8)
	for at, text := range texts {
		putText(list[8*at:], text)
	}
}

func number(from []byte) uint32 { return binary.LittleEndian.Uint32(from) }

// element gives the bytes of one element of the list whose address and length stand at the beginning of list.
func element(list []byte, at, size int) []byte {
	return memory(number(list)+uint32(at*size), size)
}

// text copies a string out of memory that the host wrote.
func text(from []byte) string { return string(memory(number(from), int(number(from[4:])))) }

// memory finds what the host wrote: always in something that reallocate gave it during this call.
func memory(start uint32, size int) []byte {
	if size == 0 {
		return nil
	}
	for at := len(kept) - 1; at >= 0; at-- {
		first := uint32(uintptr(address(kept[at])))
		if start >= first && start-first+uint32(size) <= uint32(len(kept[at])) {
			return kept[at][start-first:][:size]
		}
	}
	panic("the host gave an address that is not ours")
}
