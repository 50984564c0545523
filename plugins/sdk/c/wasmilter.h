/* The C layer over the bindings of the contract (contract.h, generated from wit/): what a policy in C is written with.
 *
 * A policy defines `plugin`, `configure` and the functions that its world exports (wit/world.wit):
 *
 *     const wm_plugin plugin = {.name = "demo", .version = "0.1.0", .summary = "Refuses what says buy now."};
 *     void configure(const wm_json *config) { … }
 *     wm_verdict decide(void) {
 *         if (wm_find_nocase(wm_header("Subject"), "buy now") != WM_NONE) return wm_reject(550, "5.7.1", "not here");
 *         wm_add_header("X-Checked", "yes");
 *         return wm_next();
 *     }
 *
 * Text. All text is a `wm_text`: a pointer and a length, never ended by NUL, since mail may contain NUL. Where a function
 * of this header takes text, a C string does as well. `wm_print` makes text by a printf format: `%.*s` with `WM_ARG(text)`.
 *
 * Memory. Nothing is ever freed: what the host hands over and what the functions here make lives until the call ends;
 * what `configure` makes lives as long as the plugin. Keep no pointer of one call in a static variable. Texts given to edits,
 * facts and verdicts must live until the call returns: static, or from `wm_alloc`, not an array of a function that has ended.
 *
 * Only what the world imports is there; see the `#ifdef`s. What a function here does not cover is in contract.h, whose
 * functions are named as in the contract: `dns_texts`, `services_open`, `raw_read`. */

#ifndef WASMILTER_H
#define WASMILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- text */

typedef contract_string_t wm_text;
typedef contract_list_string_t wm_texts;

/* "not found" */
#define WM_NONE ((size_t)-1)
/* A text as the two arguments of `%.*s`. */
#define WM_ARG(text) (int)(text).len, (const char *)(text).ptr

/* A literal as a text in the initialiser of a static variable: `static const wm_text NAMES[] = {WM_STATIC("a")};` */
#define WM_STATIC(literal) {(uint8_t *)(literal), sizeof(literal) - 1}

/* The text of a C string; the bytes are not copied. */
wm_text wm_from(const char *string);
wm_text wm_from_text(wm_text text);
/* Bytes as text; the bytes are not copied. They may be no valid UTF-8: see `wm_utf8`. */
wm_text wm_from_bytes(contract_list_u8_t bytes);
contract_list_u8_t wm_bytes(wm_text text);
/* Bytes of the message as UTF-8; what was not valid becomes U+FFFD. Text that goes to the host must be valid,
 * or the call ends with the failure `trap`. */
wm_text wm_utf8(wm_text bytes);

bool wm_same(wm_text a, wm_text b);
/* Without regard to the case of A to Z, here and below. */
bool wm_same_nocase(wm_text a, wm_text b);
bool wm_starts(wm_text text, wm_text with);
bool wm_starts_nocase(wm_text text, wm_text with);
bool wm_ends(wm_text text, wm_text with);
bool wm_ends_nocase(wm_text text, wm_text with);
/* Where `wanted` begins, or WM_NONE. The empty text is found at 0. */
size_t wm_find(wm_text text, wm_text wanted);
size_t wm_find_nocase(wm_text text, wm_text wanted);
/* The text from one byte on up to before another; both are cut to the text's length. */
wm_text wm_slice(wm_text text, size_t from, size_t to);
/* Without spaces, tabs and line ends at both ends. */
wm_text wm_trim(wm_text text);
/* A to Z in lower case, in new memory. */
wm_text wm_lower(wm_text text);
wm_text wm_copy(wm_text text);
/* As printf: %s (a C string), %.*s with WM_ARG(text), %c, %d, %i, %u, %zu, %x, %%. Anything else ends the call. */
wm_text wm_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory */

/* Zeroed memory, aligned for anything. When there is none left, the call ends. */
void *wm_alloc(size_t size);
/* Ends the call at once with the failure `trap`; the host logs the words when the world imports `log`. */
_Noreturn void wm_panic(wm_text words);

/* ---- the plugin and its configuration */

/* What the plugin says of itself; only `name` and `version` are needed. The JSON Schema of the configuration is the
 * project's file schema.json; without one, anything is allowed. */
typedef struct wm_plugin {
    const char *name, *version, *summary, *licence, *home_page;
    /* Grants that the plugin can make use of, ended by a null pointer: `(const char *const[]){"headers", 0}`. */
    const char *const *grants;
} wm_plugin;

/* A value of a JSON text (RFC 8259). */
typedef struct wm_json {
    enum { WM_NULL, WM_BOOL, WM_NUMBER, WM_STRING, WM_ARRAY, WM_OBJECT } kind;
    bool flag;
    double number;
    wm_text text;
    /* The first element of an array or object, and the one after this in the same array or object. */
    struct wm_json *first, *next;
    /* The array or object that this stands in; null at the top. */
    const struct wm_json *parent;
    /* Name in the object. */
    wm_text key;
    /* Position in the array or object, from 0. For an array and an object: how many elements there are. */
    uint32_t position, length;
} wm_json;

/* Parses; null when it is no JSON, or nested deeper than 64. Of equal keys the last counts. */
wm_json *wm_json_parse(wm_text json);
/* The member of that name; null when there is none, or `object` is none. */
const wm_json *wm_json_get(const wm_json *object, wm_text key);

/* Members of a configuration's object by key, or the value to take when there is none. One of the wrong type, or out of
 * range, is reported as a problem and taken as missing. */
bool wm_config_bool(const wm_json *object, wm_text key, bool otherwise);
double wm_config_number(const wm_json *object, wm_text key, double otherwise);
uint32_t wm_config_whole(const wm_json *object, wm_text key, uint32_t least, uint32_t most, uint32_t otherwise);
wm_text wm_config_text(const wm_json *object, wm_text key, wm_text otherwise);
/* An array of strings; none when there is none. */
wm_texts wm_config_texts(const wm_json *object, wm_text key);
/* An array; its elements begin at `first`. Null when there is none. */
const wm_json *wm_config_array(const wm_json *object, wm_text key);
/* Reports members that have none of these names (the list ends with a null pointer): `wm_config_only(config, "a", "b")`. */
void wm_config_only(const wm_json *object, const char *const *names);

/* Reports what is wrong with a configuration, from `configure`: at a value, or by JSON pointer (`/limits/0`). Lower case, no
 * full stop: `must be above 0, is -3`. Report all problems at once. */
void wm_problem(const wm_json *value, wm_text message);
void wm_problem_at(wm_text pointer, wm_text message);

/* ---- deciding */

/* What a call answers; made by one of the functions below. */
typedef struct wm_verdict {
    enum { WM_NEXT, WM_ACCEPT, WM_REJECT, WM_TEMPFAIL, WM_DISCARD, WM_QUARANTINE, WM_FAILURE } kind;
    uint32_t code;
    wm_text enhanced;
    wm_text text;
} wm_verdict;

typedef enum wm_failure { WM_SERVICE, WM_UNSUPPORTED, WM_INTERNAL } wm_failure;

/* Go on with the next stage. */
wm_verdict wm_next(void);
/* Refuse for good (500 to 599) or for now (400 to 499). Code 0, an empty enhanced code, an empty text: the host's own. */
wm_verdict wm_reject(uint32_t code, wm_text enhanced, wm_text text);
wm_verdict wm_tempfail(uint32_t code, wm_text enhanced, wm_text text);
/* "I could not decide": the stage's `on_failure` then does. For the log; no message content, no secrets. */
wm_verdict wm_fail(wm_failure kind, wm_text detail);

/* Publishes a fact, in `decide` and in hooks. */
void wm_fact_flag(wm_text name, bool value);
void wm_fact_number(wm_text name, double value);
void wm_fact_text(wm_text name, wm_text value);
void wm_fact_texts(wm_text name, wm_texts values);

#ifdef WM_EXPORTS_MESSAGE_POLICY
/* These three only in `decide`, not in hooks. */
wm_verdict wm_accept(void);
wm_verdict wm_discard(void);
wm_verdict wm_quarantine(wm_text reason);

/* Edits, in `decide` only, in order; see `edit` in the contract. Occurrences count from 1 at the top. */
void wm_add_header(wm_text name, wm_text value);
void wm_insert_header(wm_text name, wm_text value);
void wm_replace_header(wm_text name, uint32_t occurrence, wm_text value);
/* Occurrence 0 removes every one. */
void wm_remove_header(wm_text name, uint32_t occurrence);
void wm_set_subject(wm_text text);
/* An empty file name makes no attachment. */
void wm_replace_part(uint32_t part, wm_text media_type, wm_text file_name, wm_text content);
void wm_remove_part(uint32_t part);
void wm_add_part(wm_text media_type, wm_text file_name, wm_text content);
/* Either may be empty: that kind of part is then left alone. */
void wm_append_text(wm_text plain, wm_text html);
void wm_prepend_text(wm_text plain, wm_text html);
void wm_set_sender(wm_text address);
void wm_add_recipient(wm_text address);
void wm_remove_recipient(wm_text address);
/* Any edit of the contract, such as `replace-content`. */
void wm_edit(exports_message_policy_edit_t edit);
#endif

/* ---- the message at hand */

#ifdef WM_IMPORTS_CLIENT
client_client_info_t wm_client(void);
#endif
#ifdef WM_IMPORTS_ENVELOPE
envelope_mailbox_t wm_sender(void);
envelope_list_mailbox_t wm_recipients(void);
#endif
#ifdef WM_IMPORTS_HEADERS
/* The first field of that name, decoded; empty when there is none. A message may have several: see `wm_headers`. */
wm_text wm_header(wm_text name);
/* All fields of that name, decoded. */
wm_texts wm_headers(wm_text name);
/* The mailboxes in all fields of that name. */
headers_list_address_t wm_addresses(wm_text name);
#endif
#ifdef WM_IMPORTS_PARTS
parts_list_part_t wm_parts(void);
wm_text wm_part_text(uint32_t part, uint32_t limit);
#endif
#ifdef WM_IMPORTS_FACTS
/* A fact of a stage before, by full name. False when nobody published it, or it is no number (no text). */
bool wm_get_number(wm_text name, double *value);
bool wm_get_text(wm_text name, wm_text *value);
#endif

/* ---- the outside */

#ifdef WM_IMPORTS_STORE
/* All three: false when the store failed; `wm_store_failure` then is the verdict to return. */
bool wm_store_get(wm_text key, bool *found, wm_text *value);
bool wm_store_set(wm_text key, wm_text value, uint32_t seconds);
/* Adds to a counter that lives for so many seconds from its first addition on; `value` becomes the new value. */
bool wm_store_add(wm_text key, uint32_t amount, uint32_t seconds, uint32_t *value);
/* What the last function of the store that failed had to say, as a failure of kind `service`. */
wm_verdict wm_store_failure(void);
#endif
#ifdef WM_IMPORTS_DNS
/* Words for the log. */
wm_text wm_dns_error(dns_dns_error_t error);
#endif
#ifdef WM_IMPORTS_SERVICES
wm_text wm_service_error(services_service_error_t error);
#endif
#ifdef WM_IMPORTS_LOG
/* Never log message content. */
void wm_log_error(wm_text line);
void wm_log_warn(wm_text line);
void wm_log_info(wm_text line);
void wm_log_debug(wm_text line);
#endif

/* ---- what the policy defines */

extern const wm_plugin plugin;
/* Called once, before anything else. Must not ask for the message or the outside. Always an object. */
void configure(const wm_json *config);
#ifdef WM_EXPORTS_MESSAGE_POLICY
wm_verdict decide(void);
#endif
#ifdef WM_EXPORTS_ON_CONNECT
wm_verdict on_connect(void);
#endif
#ifdef WM_EXPORTS_ON_HELO
wm_verdict on_helo(void);
#endif
#ifdef WM_EXPORTS_ON_MAIL
wm_verdict on_mail(void);
#endif
#ifdef WM_EXPORTS_ON_RCPT
wm_verdict on_rcpt(const types_mailbox_t *recipient);
#endif

/* ---- C strings where text is wanted */

#if !defined(__cplusplus) && !defined(WM_ONLY_FUNCTIONS)
/* A text or a C string as a text. */
#define wm(text) _Generic((text), char *: wm_from, const char *: wm_from, wm_text: wm_from_text)(text)

/* A macro does not expand its own name: these call the functions above. */
#define wm_same(a, b) wm_same(wm(a), wm(b))
#define wm_same_nocase(a, b) wm_same_nocase(wm(a), wm(b))
#define wm_starts(text, with) wm_starts(wm(text), wm(with))
#define wm_starts_nocase(text, with) wm_starts_nocase(wm(text), wm(with))
#define wm_ends(text, with) wm_ends(wm(text), wm(with))
#define wm_ends_nocase(text, with) wm_ends_nocase(wm(text), wm(with))
#define wm_find(text, wanted) wm_find(wm(text), wm(wanted))
#define wm_find_nocase(text, wanted) wm_find_nocase(wm(text), wm(wanted))
#define wm_slice(text, from, to) wm_slice(wm(text), from, to)
#define wm_trim(text) wm_trim(wm(text))
#define wm_lower(text) wm_lower(wm(text))
#define wm_copy(text) wm_copy(wm(text))
#define wm_utf8(bytes) wm_utf8(wm(bytes))
#define wm_bytes(text) wm_bytes(wm(text))
#define wm_panic(words) wm_panic(wm(words))
#define wm_json_parse(json) wm_json_parse(wm(json))
#define wm_json_get(object, key) wm_json_get(object, wm(key))
#define wm_config_bool(object, key, otherwise) wm_config_bool(object, wm(key), otherwise)
#define wm_config_number(object, key, otherwise) wm_config_number(object, wm(key), otherwise)
#define wm_config_whole(object, key, least, most, otherwise) wm_config_whole(object, wm(key), least, most, otherwise)
#define wm_config_text(object, key, otherwise) wm_config_text(object, wm(key), wm(otherwise))
#define wm_config_texts(object, key) wm_config_texts(object, wm(key))
#define wm_config_array(object, key) wm_config_array(object, wm(key))
#define wm_config_only(object, ...) wm_config_only(object, (const char *const[]){__VA_ARGS__, 0})
#define wm_problem(value, message) wm_problem(value, wm(message))
#define wm_problem_at(pointer, message) wm_problem_at(wm(pointer), wm(message))
#define wm_reject(code, enhanced, text) wm_reject(code, wm(enhanced), wm(text))
#define wm_tempfail(code, enhanced, text) wm_tempfail(code, wm(enhanced), wm(text))
#define wm_quarantine(reason) wm_quarantine(wm(reason))
#define wm_fail(kind, detail) wm_fail(kind, wm(detail))
#define wm_fact_flag(name, value) wm_fact_flag(wm(name), value)
#define wm_fact_number(name, value) wm_fact_number(wm(name), value)
#define wm_fact_text(name, value) wm_fact_text(wm(name), wm(value))
#define wm_fact_texts(name, ...) wm_fact_texts(wm(name), __VA_ARGS__)
#define wm_add_header(name, value) wm_add_header(wm(name), wm(value))
#define wm_insert_header(name, value) wm_insert_header(wm(name), wm(value))
#define wm_replace_header(name, occurrence, value) wm_replace_header(wm(name), occurrence, wm(value))
#define wm_remove_header(name, occurrence) wm_remove_header(wm(name), occurrence)
#define wm_set_subject(text) wm_set_subject(wm(text))
#define wm_replace_part(part, type, file, content) wm_replace_part(part, wm(type), wm(file), wm(content))
#define wm_add_part(type, file, content) wm_add_part(wm(type), wm(file), wm(content))
#define wm_append_text(plain, html) wm_append_text(wm(plain), wm(html))
#define wm_prepend_text(plain, html) wm_prepend_text(wm(plain), wm(html))
#define wm_set_sender(address) wm_set_sender(wm(address))
#define wm_add_recipient(address) wm_add_recipient(wm(address))
#define wm_remove_recipient(address) wm_remove_recipient(wm(address))
#define wm_header(name) wm_header(wm(name))
#define wm_headers(name) wm_headers(wm(name))
#define wm_addresses(name) wm_addresses(wm(name))
#define wm_get_number(name, value) wm_get_number(wm(name), value)
#define wm_get_text(name, value) wm_get_text(wm(name), value)
#define wm_store_get(key, found, value) wm_store_get(wm(key), found, value)
#define wm_store_set(key, value, seconds) wm_store_set(wm(key), wm(value), seconds)
#define wm_store_add(key, amount, seconds, value) wm_store_add(wm(key), amount, seconds, value)
#define wm_log_error(line) wm_log_error(wm(line))
#define wm_log_warn(line) wm_log_warn(wm(line))
#define wm_log_info(line) wm_log_info(wm(line))
#define wm_log_debug(line) wm_log_debug(wm(line))
#endif

#ifdef __cplusplus
}
#endif
#endif
