package main

import "strings"

// Letters that are taken for an ASCII letter: with accents, Cyrillic, Greek, others that occur in domains. A selection, from what
// has been seen in mail; Unicode's own list (UTS #39) has thousands.
var lookalikes = map[rune]string{
	'a': "àáâãäåāăąǎạảấầẩậắằặаɑα", 'b': "ьƅɓḃ", 'c': "çćĉċčсϲƈ", 'd': "ďđԁɗḍ", 'e': "èéêëēĕėęěẹẻẽếềểệеєҽ", 'f': "ƒḟ", 'g': "ĝğġģɡǵ",
	'h': "ĥħһḥ", 'j': "ĵјϳ", 'k': "ķкκƙḳ", 'l': "ìíîïĩīĭįıіɩιӏĺļľŀłḷḻ|", 'm': "мṁṃɱ", 'n': "ñńņňŉпոηṅṇ",
	'o': "òóôõöøōŏőơọỏốồổộớờởợоοσօ", 'p': "рρƿṗ", 'q': "ԛգ", 'r': "ŕŗřгṙṛ", 's': "śŝşšșѕṡṣ", 't': "ţťŧțтτṫṭ",
	'u': "ùúûüũūŭůűųưụủứừửựυս", 'v': "νѵṽ", 'w': "ŵωшԝẁẃẅ", 'x': "хχҳẋ", 'y': "ýÿŷуүγỳỵ", 'z': "źżžʐẓ",
}

// Digits and pairs of letters that are taken for a letter. `i` and `1` both become `l`.
var pairs = strings.NewReplacer("rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "i", "l", "3", "e", "5", "s", "8", "b")

var confusable = func() map[rune]rune {
	letters := map[rune]rune{}
	for letter, others := range lookalikes {
		for _, other := range others {
			letters[other] = letter
		}
	}
	return letters
}()

// skeleton is what stays of a domain for the eye: domains with the same skeleton can not be told apart at a glance.
func skeleton(domain string) string {
	return pairs.Replace(strings.Map(func(letter rune) rune {
		if ascii, known := confusable[letter]; known {
			return ascii
		}
		switch {
		case 'ａ' <= letter && letter <= 'ｚ':
			return letter - 'ａ' + 'a'
		case letter == '‐' || letter == '–' || letter == '_':
			return '-'
		case letter == '。' || letter == '․':
			return '.'
		}
		return letter
	}, domain))
}
