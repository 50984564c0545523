/* The two functions of <stdlib.h> that the generated bindings name. There is no C library; see memory.c. */
#ifndef WASMILTER_STDLIB_H
#define WASMILTER_STDLIB_H
#include <stddef.h>
void *realloc(void *old, size_t size);
void free(void *memory);
_Noreturn void abort(void);
#endif
