/* Memory of one call, and what of a C library compilers and the generated bindings want.
 *
 * Memory is handed out upwards from the end of the program's own and never given back one by one. What `configure` took is
 * below `floor` and stays; what a call took is above and taken back as a whole when the next call begins. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { PAGE = 65536 };

extern unsigned char __heap_base; /* by the linker: the first byte that nothing of the program uses */

static uintptr_t bottom, top;
static bool over;

void wm_keep(void) { bottom = top; }

void wm_call_is_over(void) { over = true; }

void wm_call_begins(void) {
    if (top == 0) bottom = top = (uintptr_t)&__heap_base;
    if (over) top = bottom;
    over = false;
}

void *wm_take(size_t size, size_t align) {
    wm_call_begins();
    uintptr_t at = (top + align - 1) & ~(uintptr_t)(align - 1);
    if (size > UINT32_MAX - PAGE - at) abort();
    uintptr_t end = at + size;
    size_t pages = __builtin_wasm_memory_size(0), needed = (end + PAGE - 1) / PAGE;
    if (needed > pages && __builtin_wasm_memory_grow(0, needed - pages) == (size_t)-1) abort();
    top = end;
    return (void *)at;
}

void *wm_alloc(size_t size) { return memset(wm_take(size, 16), 0, size); }

/* By which the host hands over arguments and results of imports. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    void *new = wm_take(size, align);
    if (old_size > 0) memcpy(new, old, old_size < size ? old_size : size);
    return new;
}

void free(void *memory) { (void)memory; }

void abort(void) { __builtin_trap(); }

/* The builtins become single instructions: -mbulk-memory. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *string) {
    size_t length = 0;
    while (string[length]) length++;
    return length;
}
