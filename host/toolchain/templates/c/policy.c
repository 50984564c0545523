/* Rejects mail by phrases in its subject, and marks the rest. */

#include "wasmilter.h"

const wm_plugin plugin = {
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Rejects mail by phrases in its subject, and marks the rest",
    .grants = (const char *const[]){"headers", 0},
};

/* Set by configure: there for every message. */
static wm_texts phrases;

/* Called once, when the plugin is loaded. The schema of the configuration is schema.json. */
void configure(const wm_json *config) {
    wm_config_only(config, "phrases");
    phrases = wm_config_texts(config, "phrases");
    if (phrases.len == 0) wm_problem_at("/phrases", "must have at least one phrase");
    for (size_t i = 0; i < phrases.len; i++) {
        if (wm_trim(phrases.ptr[i]).len == 0) wm_problem_at(wm_print("/phrases/%zu", i), "must not be empty");
    }
}

/* Called for every message, each time in a sandbox of its own. */
wm_verdict decide(void) {
    wm_text subject = wm_header("Subject");
    for (size_t i = 0; i < phrases.len; i++) {
        if (wm_find_nocase(subject, phrases.ptr[i]) == WM_NONE) continue;
        wm_fact_text("phrase", phrases.ptr[i]);
        return wm_reject(550, "5.7.1", wm_print("subject not accepted: %.*s", WM_ARG(phrases.ptr[i])));
    }
    wm_add_header("X-Checked-By", "{{name}}");
    return wm_next();
}
