package main

import (
	"math"
	"strings"
	"unicode"
)

// toUnicode turns the labels of a domain that begin with xn-- into what people see (RFC 3492). A label that can not be decoded
// stays as it is.
func toUnicode(domain string) string {
	labels := strings.Split(domain, ".")
	for at, label := range labels {
		if encoded, found := strings.CutPrefix(label, "xn--"); found {
			if decoded, valid := decodePunycode(encoded); valid {
				labels[at] = strings.ToLower(decoded)
			}
		}
	}
	return strings.Join(labels, ".")
}

// Longest label of DNS; what is longer is no label.
const longestLabel = 63

// decodePunycode is the procedure of RFC 3492 §6.2 with the parameters of §5.
func decodePunycode(encoded string) (string, bool) {
	if len(encoded) > longestLabel {
		return "", false
	}
	var decoded []rune
	if basic := strings.LastIndexByte(encoded, '-'); basic >= 0 {
		decoded = []rune(encoded[:basic])
		encoded = encoded[basic+1:]
	}
	letter, index, bias := int32(128), int32(0), int32(72)
	for len(encoded) > 0 {
		before, weight := index, int32(1)
		for step := int32(36); ; step += 36 {
			if encoded == "" {
				return "", false
			}
			digit, valid := punycodeDigit(encoded[0])
			encoded = encoded[1:]
			if !valid || digit > (math.MaxInt32-index)/weight {
				return "", false
			}
			index += digit * weight
			threshold := min(max(step-bias, 1), 26)
			if digit < threshold {
				break
			}
			if weight > math.MaxInt32/(36-threshold) {
				return "", false
			}
			weight *= 36 - threshold
		}
		length := int32(len(decoded)) + 1
		bias = adapted(index-before, length, before == 0)
		if index/length > unicode.MaxRune-letter {
			return "", false
		}
		letter += index / length
		index %= length
		decoded = append(decoded[:index], append([]rune{letter}, decoded[index:]...)...)
		index++
	}
	return string(decoded), true
}

func punycodeDigit(letter byte) (int32, bool) {
	switch {
	case 'a' <= letter && letter <= 'z':
		return int32(letter - 'a'), true
	case 'A' <= letter && letter <= 'Z':
		return int32(letter - 'A'), true
	case '0' <= letter && letter <= '9':
		return int32(letter-'0') + 26, true
	}
	return 0, false
}

// adapted is the bias of RFC 3492 §6.1.
func adapted(delta, length int32, first bool) int32 {
	if first {
		delta /= 700
	} else {
		delta /= 2
	}
	delta += delta / length
	bias := int32(0)
	for delta > 35*26/2 {
		delta /= 35
		bias += 36
	}
	return bias + 36*delta/(delta+38)
}
