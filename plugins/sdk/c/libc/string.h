/* What of <string.h> compilers and the generated bindings need. There is no C library; see memory.c. */
#ifndef WASMILTER_STRING_H
#define WASMILTER_STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *string);
#endif
