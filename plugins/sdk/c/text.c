/* Text: pointer and length. */

#include <stdarg.h>
#include <string.h>

#include "internal.h"

wm_text wm_from(const char *string) { return (wm_text){(uint8_t *)string, string ? strlen(string) : 0}; }
wm_text wm_from_text(wm_text text) { return text; }
wm_text wm_from_bytes(contract_list_u8_t bytes) { return (wm_text){bytes.ptr, bytes.len}; }
contract_list_u8_t wm_bytes(wm_text text) { return (contract_list_u8_t){text.ptr, text.len}; }

/* ---- comparing */

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte; }

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (a[i] != b[i]) return false;
    }
    return true;
}

static bool same_letters(const uint8_t *a, const uint8_t *b, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

bool wm_same(wm_text a, wm_text b) { return a.len == b.len && same_bytes(a.ptr, b.ptr, a.len); }
bool wm_same_nocase(wm_text a, wm_text b) { return a.len == b.len && same_letters(a.ptr, b.ptr, a.len); }

bool wm_starts(wm_text text, wm_text with) { return text.len >= with.len && same_bytes(text.ptr, with.ptr, with.len); }
bool wm_starts_nocase(wm_text text, wm_text with) {
    return text.len >= with.len && same_letters(text.ptr, with.ptr, with.len);
}

bool wm_ends(wm_text text, wm_text with) { return wm_same(wm_slice(text, text.len - with.len, text.len), with); }
bool wm_ends_nocase(wm_text text, wm_text with) {
    return wm_same_nocase(wm_slice(text, text.len - with.len, text.len), with);
}

size_t wm_find(wm_text text, wm_text wanted) {
    for (size_t at = 0; at + wanted.len <= text.len; at++) {
        if (same_bytes(text.ptr + at, wanted.ptr, wanted.len)) return at;
    }
    return WM_NONE;
}

size_t wm_find_nocase(wm_text text, wm_text wanted) {
    for (size_t at = 0; at + wanted.len <= text.len; at++) {
        if (same_letters(text.ptr + at, wanted.ptr, wanted.len)) return at;
    }
    return WM_NONE;
}

/* ---- taking and making */

wm_text wm_slice(wm_text text, size_t from, size_t to) {
    if (to > text.len) to = text.len;
    if (from >= to) return (wm_text){0};
    return (wm_text){text.ptr + from, to - from};
}

static bool blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

wm_text wm_trim(wm_text text) {
    while (text.len > 0 && blank(text.ptr[text.len - 1])) text.len--;
    while (text.len > 0 && blank(text.ptr[0])) text.ptr++, text.len--;
    return text;
}

wm_text wm_copy(wm_text text) {
    wm_text copy = {wm_take(text.len, 1), text.len};
    if (text.len > 0) memcpy(copy.ptr, text.ptr, text.len);
    return copy;
}

wm_text wm_lower(wm_text text) {
    wm_text copy = wm_copy(text);
    for (size_t i = 0; i < copy.len; i++) copy.ptr[i] = lower(copy.ptr[i]);
    return copy;
}

/* Length of the well-formed UTF-8 sequence at the start of a text (RFC 3629 §4); 0 when there is none. */
static size_t sequence(wm_text text) {
    uint8_t first = text.ptr[0], least = 0x80, most = 0xBF;
    size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length > text.len) return 0;
    if (first == 0xE0) least = 0xA0;
    if (first == 0xED) most = 0x9F;
    if (first == 0xF0) least = 0x90;
    if (first == 0xF4) most = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (text.ptr[i] < least || text.ptr[i] > most) return 0;
        least = 0x80, most = 0xBF;
    }
    return length;
}

wm_text wm_utf8(wm_text bytes) {
    static const uint8_t REPLACEMENT[] = {0xEF, 0xBF, 0xBD}; /* U+FFFD */
    wm_text text = {wm_take(bytes.len * sizeof REPLACEMENT, 1), 0};
    for (size_t at = 0; at < bytes.len;) {
        size_t length = sequence(wm_slice(bytes, at, bytes.len));
        const uint8_t *from = length ? bytes.ptr + at : REPLACEMENT;
        size_t count = length ? length : sizeof REPLACEMENT;
        memcpy(text.ptr + text.len, from, count);
        text.len += count;
        at += length ? length : 1;
    }
    return text;
}

/* ---- printing */

typedef struct { wm_text text; size_t room; } growing;

static void put(growing *to, const void *bytes, size_t count) {
    if (count > to->room - to->text.len) {
        size_t room = (to->text.len + count) * 2;
        uint8_t *larger = wm_take(room, 1);
        if (to->text.len > 0) memcpy(larger, to->text.ptr, to->text.len);
        to->text.ptr = larger;
        to->room = room;
    }
    if (count > 0) memcpy(to->text.ptr + to->text.len, bytes, count);
    to->text.len += count;
}

static void put_number(growing *to, uint32_t number, uint32_t base, bool negative) {
    char digits[11];
    size_t at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    if (negative) digits[--at] = '-';
    put(to, digits + at, sizeof digits - at);
}

wm_text wm_print(const char *format, ...) {
    growing out = {0};
    va_list arguments;
    va_start(arguments, format);
    for (const char *at = format; *at; at++) {
        if (*at != '%') {
            put(&out, at, 1);
            continue;
        }
        at++;
        if (*at == 'z' && at[1] == 'u') at++; /* size_t has 32 bits */
        if (*at == '.' && at[1] == '*' && at[2] == 's') {
            at += 2;
            int length = va_arg(arguments, int);
            const char *bytes = va_arg(arguments, const char *);
            put(&out, bytes, length > 0 ? (size_t)length : 0);
        } else if (*at == 's') {
            const char *string = va_arg(arguments, const char *);
            put(&out, string, strlen(string));
        } else if (*at == 'c') {
            char byte = (char)va_arg(arguments, int);
            put(&out, &byte, 1);
        } else if (*at == 'd' || *at == 'i') {
            int number = va_arg(arguments, int);
            put_number(&out, number < 0 ? 0 - (uint32_t)number : (uint32_t)number, 10, number < 0);
        } else if (*at == 'u' || *at == 'x') {
            put_number(&out, va_arg(arguments, unsigned), *at == 'u' ? 10 : 16, false);
        } else if (*at == '%') {
            put(&out, at, 1);
        } else {
            wm_panic(wm_from("wm_print: a conversion that it does not know"));
        }
    }
    va_end(arguments);
    return out.text;
}
