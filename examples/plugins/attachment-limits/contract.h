/* The part of the contract (wit/) that this plugin uses, as the canonical ABI lays it out. Pointers have 4 bytes, so that C's
 * own structures fit. Another plugin can take this file as it is and add what it needs. */

#include <stddef.h>
#include <stdint.h>

#define POLICY "wasmilter:policy/"
#define VERSION "@0.1.0"
#define EXPORT(interface, function) __attribute__((export_name(POLICY interface VERSION "#" function)))
#define IMPORT(interface, function) __attribute__((import_module(POLICY interface VERSION), import_name(function)))

typedef struct { const char *at; size_t length; } text;
typedef struct { const void *at; size_t length; } list;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

/* lifecycle */
typedef struct { text name, version, summary; list grants; text config_schema; } plugin_info;
typedef struct { text path, message; } problem;
typedef struct { uint32_t failed; list problems; } configured;

/* types */
typedef struct { uint32_t code; text enhanced, reason; } reply;
enum { NEXT, ACCEPT, REJECT, TEMPFAIL, DISCARD, QUARANTINE };
typedef struct { uint32_t kind; union { reply reply; text reason; }; } verdict;
enum { FLAG, NUMBER, SOME_TEXT, TEXTS };
typedef struct { text name; uint32_t kind; union { uint8_t flag; double number; text text; list texts; }; } fact;

/* message-policy: an error would be a failure in the place of the verdict. */
typedef struct { uint32_t failed; verdict verdict; list edits, facts; } decided;

/* parts */
enum { BODY, ATTACHMENT, SIGNED, ENCRYPTED, CONTAINER };
typedef struct {
    uint32_t id, parent;
    uint8_t kind, role;
    text media_type, charset, encoding, disposition, file_name, content_id;
    uint32_t encoded_size;
    list defects;
} part;

IMPORT("parts", "all") void parts_all(list *result);
IMPORT("raw", "size") uint32_t raw_size(void);

_Static_assert(sizeof(plugin_info) == 40 && sizeof(configured) == 12 && sizeof(decided) == 44 && sizeof(fact) == 24
                   && sizeof(part) == 72, "the canonical ABI's sizes");

/* Memory for what the host hands over, from the end of the program's own; `forget` gives all of it back. */
extern unsigned char __heap_base;
static uintptr_t top;

static void forget(void) { top = 0; }

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    if (top == 0) top = (uintptr_t)&__heap_base;
    uintptr_t at = (top + align - 1) & ~(uintptr_t)(align - 1);
    if (size > UINT32_MAX - at) __builtin_trap();
    top = at + size;
    size_t pages = __builtin_wasm_memory_size(0), needed = (size_t)(((uint64_t)top + 65535) >> 16);
    if (needed > pages && __builtin_wasm_memory_grow(0, needed - pages) == (size_t)-1) __builtin_trap();
    for (size_t i = 0; i < old_size && i < size; i++) ((char *)at)[i] = ((char *)old)[i];
    return (void *)at;
}
