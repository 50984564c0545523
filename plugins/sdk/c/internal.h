/* What the files of this layer know of each other, and policies do not. */

#ifndef WASMILTER_INTERNAL_H
#define WASMILTER_INTERNAL_H

/* Functions by their names, without the macros that take C strings. */
#define WM_ONLY_FUNCTIONS
#include "wasmilter.h"

/* Memory that is not zeroed. */
void *wm_take(size_t size, size_t align);
/* What was taken so far stays for as long as the plugin lives. */
void wm_keep(void);
/* A call is over: its memory is taken back when the next one asks for some, since its results are still to be read. */
void wm_call_is_over(void);
/* A call begins. Its arguments, if it has any, were written before. */
void wm_call_begins(void);

/* The JSON pointer (RFC 6901) of a value. */
wm_text wm_pointer(const wm_json *value);

#endif
