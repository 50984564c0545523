/* A reader for JSON (RFC 8259), and for configurations made of it. */

#include <string.h>

#include "internal.h"

enum { DEEPEST = 64 };

typedef struct { wm_text left; } reader;

static bool value(reader *from, wm_json *into, int depth);

wm_json *wm_json_parse(wm_text json) {
    reader from = {json};
    wm_json *whole = wm_alloc(sizeof *whole);
    if (!value(&from, whole, 0)) return 0;
    return wm_trim(from.left).len == 0 ? whole : 0;
}

/* ---- reading */

/* The next byte that is no white space; 0 at the end. */
static uint8_t peek(reader *from) {
    while (from->left.len > 0) {
        uint8_t byte = from->left.ptr[0];
        if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r') return byte;
        from->left.ptr++, from->left.len--;
    }
    return 0;
}

static bool take(reader *from, uint8_t wanted) {
    if (peek(from) != wanted) return false;
    from->left.ptr++, from->left.len--;
    return true;
}

static bool take_word(reader *from, const char *word) {
    size_t length = strlen(word);
    if (!wm_starts(from->left, wm_from(word))) return false;
    from->left.ptr += length, from->left.len -= length;
    return true;
}

/* The next byte of a string or number, whatever it is; 0 at the end. */
static uint8_t byte(reader *from) {
    if (from->left.len == 0) return 0;
    from->left.len--;
    return *from->left.ptr++;
}

static bool digit(const reader *from) {
    return from->left.len > 0 && from->left.ptr[0] >= '0' && from->left.ptr[0] <= '9';
}

/* Four hexadecimal digits, or -1. */
static int32_t four(reader *from) {
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t letter = byte(from);
        int32_t number = letter >= '0' && letter <= '9'   ? letter - '0'
                         : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
                         : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                                          : -1;
        if (number < 0) return -1;
        code = code * 16 + number;
    }
    return code;
}

/* What follows `\u`: a character, of two surrogates where it takes two. */
static bool escaped(reader *from, wm_text *into) {
    int32_t code = four(from);
    if (code < 0 || (code >= 0xDC00 && code < 0xE000)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
        if (byte(from) != '\\' || byte(from) != 'u') return false;
        int32_t low = four(from);
        if (low < 0xDC00 || low >= 0xE000) return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    uint8_t *to = into->ptr + into->len;
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        into->len += 1;
    } else if (code < 0x800) {
        to[0] = (uint8_t)(0xC0 | code >> 6), to[1] = (uint8_t)(0x80 | (code & 63));
        into->len += 2;
    } else if (code < 0x10000) {
        to[0] = (uint8_t)(0xE0 | code >> 12), to[1] = (uint8_t)(0x80 | (code >> 6 & 63));
        to[2] = (uint8_t)(0x80 | (code & 63));
        into->len += 3;
    } else {
        to[0] = (uint8_t)(0xF0 | code >> 18), to[1] = (uint8_t)(0x80 | (code >> 12 & 63));
        to[2] = (uint8_t)(0x80 | (code >> 6 & 63)), to[3] = (uint8_t)(0x80 | (code & 63));
        into->len += 4;
    }
    return true;
}

static bool string(reader *from, wm_text *into) {
    if (!take(from, '"')) return false;
    /* A string is never longer than what stands for it. */
    size_t room = 0;
    while (room < from->left.len && from->left.ptr[room] != '"') room += from->left.ptr[room] == '\\' ? 2 : 1;
    *into = (wm_text){wm_take(room, 1), 0};
    for (;;) {
        if (from->left.len == 0) return false;
        uint8_t letter = byte(from);
        if (letter == '"') return true;
        if (letter < 0x20) return false;
        if (letter != '\\') {
            into->ptr[into->len++] = letter;
            continue;
        }
        letter = byte(from);
        if (letter == 'u') {
            if (!escaped(from, into)) return false;
            continue;
        }
        static const char NAMES[] = "\"\\/bfnrt", BYTES[] = "\"\\/\b\f\n\r\t";
        size_t at = 0;
        while (NAMES[at] && (uint8_t)NAMES[at] != letter) at++;
        if (!NAMES[at]) return false;
        into->ptr[into->len++] = (uint8_t)BYTES[at];
    }
}

/* Exact for whole numbers up to 2^53 and for what people write; the last bit may differ in numbers of more than 15 digits. */
static bool number(reader *from, double *into) {
    bool negative = take(from, '-');
    if (!digit(from)) return false;
    double digits = 0;
    int32_t scale = 0;
    if (from->left.ptr[0] == '0') {
        byte(from);
    } else {
        while (digit(from)) digits = digits * 10 + (byte(from) - '0');
    }
    if (from->left.len > 0 && from->left.ptr[0] == '.') {
        byte(from);
        if (!digit(from)) return false;
        for (; digit(from); scale--) digits = digits * 10 + (byte(from) - '0');
    }
    if (from->left.len > 0 && (from->left.ptr[0] == 'e' || from->left.ptr[0] == 'E')) {
        byte(from);
        bool down = take_word(from, "-");
        if (!down) take_word(from, "+");
        if (!digit(from)) return false;
        int32_t exponent = 0;
        while (digit(from)) {
            uint8_t next = byte(from);
            if (exponent < 100000) exponent = exponent * 10 + (next - '0');
        }
        scale += down ? -exponent : exponent;
    }
    if (scale > 400) scale = 400;
    if (scale < -400) scale = -400;
    double power = 1;
    for (int32_t i = 0; i < (scale < 0 ? -scale : scale); i++) power *= 10;
    digits = scale < 0 ? digits / power : digits * power;
    *into = negative ? -digits : digits;
    return true;
}

static bool elements(reader *from, wm_json *into, int depth) {
    bool object = into->kind == WM_OBJECT;
    uint8_t end = object ? '}' : ']';
    if (take(from, end)) return true;
    wm_json **place = &into->first;
    do {
        wm_json *element = wm_alloc(sizeof *element);
        element->parent = into;
        element->position = into->length++;
        if (object && (!string(from, &element->key) || !take(from, ':'))) return false;
        if (!value(from, element, depth + 1)) return false;
        *place = element;
        place = &element->next;
    } while (take(from, ','));
    return take(from, end);
}

static bool value(reader *from, wm_json *into, int depth) {
    if (depth > DEEPEST) return false;
    switch (peek(from)) {
    case '{':
    case '[':
        into->kind = byte(from) == '{' ? WM_OBJECT : WM_ARRAY;
        return elements(from, into, depth);
    case '"':
        into->kind = WM_STRING;
        return string(from, &into->text);
    case 't':
        into->kind = WM_BOOL;
        into->flag = true;
        return take_word(from, "true");
    case 'f':
        into->kind = WM_BOOL;
        return take_word(from, "false");
    case 'n':
        into->kind = WM_NULL;
        return take_word(from, "null");
    default:
        into->kind = WM_NUMBER;
        return number(from, &into->number);
    }
}

/* ---- finding */

const wm_json *wm_json_get(const wm_json *object, wm_text key) {
    const wm_json *found = 0;
    if (!object || object->kind != WM_OBJECT) return 0;
    for (const wm_json *member = object->first; member; member = member->next) {
        if (wm_same(member->key, key)) found = member;
    }
    return found;
}

/* A step of a JSON pointer: `~` is `~0`, `/` is `~1`. */
static wm_text step(wm_text key) {
    wm_text into = {wm_take(key.len * 2, 1), 0};
    for (size_t i = 0; i < key.len; i++) {
        bool special = key.ptr[i] == '~' || key.ptr[i] == '/';
        into.ptr[into.len++] = special ? '~' : key.ptr[i];
        if (special) into.ptr[into.len++] = key.ptr[i] == '~' ? '0' : '1';
    }
    return into;
}

wm_text wm_pointer(const wm_json *value) {
    if (!value || !value->parent) return (wm_text){0};
    wm_text before = wm_pointer(value->parent);
    if (value->parent->kind == WM_ARRAY) return wm_print("%.*s/%u", WM_ARG(before), (unsigned)value->position);
    return wm_print("%.*s/%.*s", WM_ARG(before), WM_ARG(step(value->key)));
}

/* ---- configurations */

/* The member of that kind, or null; one of another kind is reported. */
static const wm_json *member(const wm_json *object, wm_text key, int kind, const char *must) {
    const wm_json *found = wm_json_get(object, key);
    if (!found || (int)found->kind == kind) return found;
    wm_problem(found, wm_from(must));
    return 0;
}

bool wm_config_bool(const wm_json *object, wm_text key, bool otherwise) {
    const wm_json *found = member(object, key, WM_BOOL, "must be true or false");
    return found ? found->flag : otherwise;
}

double wm_config_number(const wm_json *object, wm_text key, double otherwise) {
    const wm_json *found = member(object, key, WM_NUMBER, "must be a number");
    return found ? found->number : otherwise;
}

uint32_t wm_config_whole(const wm_json *object, wm_text key, uint32_t least, uint32_t most, uint32_t otherwise) {
    const wm_json *found = member(object, key, WM_NUMBER, "must be a whole number");
    if (!found) return otherwise;
    if (found->number >= least && found->number <= most) {
        uint32_t whole = (uint32_t)found->number;
        if (whole == found->number) return whole;
    }
    wm_problem(found, wm_print("must be a whole number from %u to %u", (unsigned)least, (unsigned)most));
    return otherwise;
}

wm_text wm_config_text(const wm_json *object, wm_text key, wm_text otherwise) {
    const wm_json *found = member(object, key, WM_STRING, "must be a text");
    return found ? found->text : otherwise;
}

wm_texts wm_config_texts(const wm_json *object, wm_text key) {
    const wm_json *found = wm_config_array(object, key);
    if (!found) return (wm_texts){0};
    wm_texts texts = {wm_take(found->length * sizeof *texts.ptr, _Alignof(wm_text)), 0};
    for (const wm_json *element = found->first; element; element = element->next) {
        if (element->kind == WM_STRING) {
            texts.ptr[texts.len++] = element->text;
        } else {
            wm_problem(element, wm_from("must be a text"));
        }
    }
    return texts;
}

const wm_json *wm_config_array(const wm_json *object, wm_text key) {
    return member(object, key, WM_ARRAY, "must be a list");
}

void wm_config_only(const wm_json *object, const char *const *names) {
    for (const wm_json *member = object ? object->first : 0; member; member = member->next) {
        size_t at = 0;
        while (names[at] && !wm_same(member->key, wm_from(names[at]))) at++;
        if (!names[at]) wm_problem(member, wm_from("is no key of this plugin"));
    }
}
