/* From what a policy defines to what its component exports, and from what it asks to what its component imports. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* By the tool chain, of the project's schema.json; `{}` when it has none. */
extern const char wm_schema[];

/* ---- what the policy says on its way */

/* Lists that grow; each begins anew with every call. */
typedef struct { void *at; size_t length, room; } list;

static list problems, facts;
#ifdef WM_EXPORTS_MESSAGE_POLICY
static list edits;
#endif

/* Room for one more element. */
static void *more(list *of, size_t size) {
    if (of->length == of->room) {
        size_t room = of->room ? of->room * 2 : 8;
        void *larger = wm_take(room * size, 8);
        if (of->length > 0) memcpy(larger, of->at, of->length * size);
        of->at = larger;
        of->room = room;
    }
    return memset((char *)of->at + size * of->length++, 0, size);
}

static void begin(void) {
    wm_call_begins();
    problems = facts = (list){0};
#ifdef WM_EXPORTS_MESSAGE_POLICY
    edits = (list){0};
#endif
}

/* ---- lifecycle */

void exports_lifecycle_describe(exports_lifecycle_plugin_info_t *into) {
    begin();
    wm_texts grants = {0};
    while (plugin.grants && plugin.grants[grants.len]) grants.len++;
    grants.ptr = wm_take(grants.len * sizeof *grants.ptr, _Alignof(wm_text));
    for (size_t i = 0; i < grants.len; i++) grants.ptr[i] = wm_from(plugin.grants[i]);
    *into = (exports_lifecycle_plugin_info_t){
        .name = wm_from(plugin.name),
        .version = wm_from(plugin.version),
        .summary = wm_from(plugin.summary),
        .licence = wm_from(plugin.licence),
        .home_page = wm_from(plugin.home_page),
        .grants = grants,
        .config_schema = wm_from(wm_schema),
    };
    wm_call_is_over();
}

bool exports_lifecycle_configure(contract_string_t *config, exports_lifecycle_list_problem_t *wrong) {
    begin();
    const wm_json *parsed = wm_json_parse(*config);
    if (!parsed) {
        wm_problem_at((wm_text){0}, wm_from("is no JSON, or nested deeper than 64"));
    } else if (parsed->kind != WM_OBJECT) {
        wm_problem_at((wm_text){0}, wm_from("must be a table"));
    } else {
        configure(parsed);
    }
    *wrong = (exports_lifecycle_list_problem_t){problems.at, problems.length};
    wm_keep();
    wm_call_is_over();
    return wrong->len == 0;
}

void wm_problem(const wm_json *value, wm_text message) { wm_problem_at(wm_pointer(value), message); }

void wm_problem_at(wm_text pointer, wm_text message) {
    exports_lifecycle_problem_t *problem = more(&problems, sizeof *problem);
    *problem = (exports_lifecycle_problem_t){.path = pointer, .message = message};
}

/* ---- verdicts and facts */

wm_verdict wm_next(void) { return (wm_verdict){.kind = WM_NEXT}; }

wm_verdict wm_reject(uint32_t code, wm_text enhanced, wm_text text) {
    return (wm_verdict){.kind = WM_REJECT, .code = code, .enhanced = enhanced, .text = text};
}

wm_verdict wm_tempfail(uint32_t code, wm_text enhanced, wm_text text) {
    return (wm_verdict){.kind = WM_TEMPFAIL, .code = code, .enhanced = enhanced, .text = text};
}

wm_verdict wm_fail(wm_failure kind, wm_text detail) {
    return (wm_verdict){.kind = WM_FAILURE, .code = (uint32_t)kind, .text = detail};
}

static types_fact_value_t *fact(wm_text name, uint8_t kind) {
    types_fact_t *fact = more(&facts, sizeof *fact);
    fact->name = name;
    fact->value.tag = kind;
    return &fact->value;
}

void wm_fact_flag(wm_text name, bool value) { fact(name, TYPES_FACT_VALUE_FLAG)->val.flag = value; }
void wm_fact_number(wm_text name, double value) { fact(name, TYPES_FACT_VALUE_NUMBER)->val.number = value; }
void wm_fact_text(wm_text name, wm_text value) { fact(name, TYPES_FACT_VALUE_TEXT)->val.text = value; }
void wm_fact_texts(wm_text name, wm_texts values) { fact(name, TYPES_FACT_VALUE_TEXTS)->val.texts = values; }

static types_failure_t failure(wm_verdict verdict) {
    return (types_failure_t){.kind = (types_failure_kind_t)verdict.code, .detail = verdict.text};
}

static types_reply_t reply(wm_verdict verdict) {
    return (types_reply_t){.code = verdict.code, .enhanced = verdict.enhanced, .text = verdict.text};
}

/* ---- messages */

#ifdef WM_EXPORTS_MESSAGE_POLICY
bool exports_message_policy_decide(exports_message_policy_decision_t *decision, types_failure_t *failed) {
    begin();
    wm_verdict verdict = decide();
    *decision = (exports_message_policy_decision_t){
        .edits = {edits.at, edits.length},
        .facts = {facts.at, facts.length},
    };
    wm_call_is_over();
    switch (verdict.kind) {
    case WM_NEXT:
        decision->verdict.tag = TYPES_VERDICT_NEXT;
        return true;
    case WM_ACCEPT:
        decision->verdict.tag = TYPES_VERDICT_ACCEPT;
        return true;
    case WM_REJECT:
        decision->verdict.tag = TYPES_VERDICT_REJECT;
        decision->verdict.val.reject = reply(verdict);
        return true;
    case WM_TEMPFAIL:
        decision->verdict.tag = TYPES_VERDICT_TEMPFAIL;
        decision->verdict.val.tempfail = reply(verdict);
        return true;
    case WM_DISCARD:
        decision->verdict.tag = TYPES_VERDICT_DISCARD;
        return true;
    case WM_QUARANTINE:
        decision->verdict.tag = TYPES_VERDICT_QUARANTINE;
        decision->verdict.val.quarantine = verdict.text;
        return true;
    case WM_FAILURE:
        break;
    }
    *failed = failure(verdict);
    return false;
}

wm_verdict wm_accept(void) { return (wm_verdict){.kind = WM_ACCEPT}; }
wm_verdict wm_discard(void) { return (wm_verdict){.kind = WM_DISCARD}; }
wm_verdict wm_quarantine(wm_text reason) { return (wm_verdict){.kind = WM_QUARANTINE, .text = reason}; }

/* ---- edits */

static exports_message_policy_edit_t *edit(uint8_t kind) {
    exports_message_policy_edit_t *edit = more(&edits, sizeof *edit);
    edit->tag = kind;
    return edit;
}

void wm_edit(exports_message_policy_edit_t whole) { *edit(whole.tag) = whole; }

void wm_add_header(wm_text name, wm_text value) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_ADD_HEADER)->val.add_header = (exports_message_policy_new_header_t){name, value};
}

void wm_insert_header(wm_text name, wm_text value) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_INSERT_HEADER)->val.insert_header =
        (exports_message_policy_new_header_t){name, value};
}

void wm_replace_header(wm_text name, uint32_t occurrence, wm_text value) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_REPLACE_HEADER)->val.replace_header =
        (exports_message_policy_header_replacement_t){.name = name, .occurrence = occurrence, .value = value};
}

void wm_remove_header(wm_text name, uint32_t occurrence) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_REMOVE_HEADER)->val.remove_header =
        (exports_message_policy_header_occurrence_t){.name = name, .occurrence = occurrence};
}

void wm_set_subject(wm_text text) { edit(EXPORTS_MESSAGE_POLICY_EDIT_SET_SUBJECT)->val.set_subject = text; }

static exports_message_policy_new_part_t new_part(wm_text media_type, wm_text file_name, wm_text content) {
    return (exports_message_policy_new_part_t){
        .media_type = media_type,
        .file_name = file_name,
        .content = {.tag = EXPORTS_MESSAGE_POLICY_CONTENT_INLINE, .val.inline_ = wm_bytes(content)},
    };
}

void wm_replace_part(uint32_t part, wm_text media_type, wm_text file_name, wm_text content) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_REPLACE_PART)->val.replace_part = (exports_message_policy_part_replacement_t){
        .part = part, .replacement = new_part(media_type, file_name, content)};
}

void wm_remove_part(uint32_t part) { edit(EXPORTS_MESSAGE_POLICY_EDIT_REMOVE_PART)->val.remove_part = part; }

void wm_add_part(wm_text media_type, wm_text file_name, wm_text content) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_ADD_PART)->val.add_part = new_part(media_type, file_name, content);
}

void wm_append_text(wm_text plain, wm_text html) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_APPEND_TEXT)->val.append_text = (exports_message_policy_annotation_t){plain, html};
}

void wm_prepend_text(wm_text plain, wm_text html) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_PREPEND_TEXT)->val.prepend_text = (exports_message_policy_annotation_t){plain, html};
}

void wm_set_sender(wm_text address) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_SET_SENDER)->val.set_sender =
        (exports_message_policy_new_address_t){.address = address};
}

void wm_add_recipient(wm_text address) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_ADD_RECIPIENT)->val.add_recipient =
        (exports_message_policy_new_address_t){.address = address};
}

void wm_remove_recipient(wm_text address) {
    edit(EXPORTS_MESSAGE_POLICY_EDIT_REMOVE_RECIPIENT)->val.remove_recipient = address;
}
#endif

/* ---- hooks */

#if defined(WM_EXPORTS_ON_CONNECT) || defined(WM_EXPORTS_ON_HELO) || defined(WM_EXPORTS_ON_MAIL) || \
    defined(WM_EXPORTS_ON_RCPT)
/* The answer of a hook. True: a decision, false: a failure. */
static bool answer(wm_verdict verdict, hook_types_hook_decision_t *decision, types_failure_t *failed) {
#ifdef WM_EXPORTS_MESSAGE_POLICY
    if (edits.length > 0) verdict = wm_fail(WM_INTERNAL, wm_from("a bug of the plugin: a hook asks for edits"));
#endif
    *decision = (hook_types_hook_decision_t){.facts = {facts.at, facts.length}};
    wm_call_is_over();
    switch (verdict.kind) {
    case WM_NEXT:
        decision->verdict.tag = HOOK_TYPES_HOOK_VERDICT_NEXT;
        return true;
    case WM_REJECT:
        decision->verdict.tag = HOOK_TYPES_HOOK_VERDICT_REJECT;
        decision->verdict.val.reject = reply(verdict);
        return true;
    case WM_TEMPFAIL:
        decision->verdict.tag = HOOK_TYPES_HOOK_VERDICT_TEMPFAIL;
        decision->verdict.val.tempfail = reply(verdict);
        return true;
    case WM_FAILURE:
        break;
    default:
        verdict = wm_fail(WM_INTERNAL, wm_from("a bug of the plugin: a hook can go on, reject or tempfail"));
    }
    *failed = failure(verdict);
    return false;
}
#endif

#ifdef WM_EXPORTS_ON_CONNECT
bool exports_on_connect_connect(hook_types_hook_decision_t *decision, types_failure_t *failed) {
    begin();
    return answer(on_connect(), decision, failed);
}
#endif

#ifdef WM_EXPORTS_ON_HELO
bool exports_on_helo_helo(hook_types_hook_decision_t *decision, types_failure_t *failed) {
    begin();
    return answer(on_helo(), decision, failed);
}
#endif

#ifdef WM_EXPORTS_ON_MAIL
bool exports_on_mail_mail(hook_types_hook_decision_t *decision, types_failure_t *failed) {
    begin();
    return answer(on_mail(), decision, failed);
}
#endif

#ifdef WM_EXPORTS_ON_RCPT
bool exports_on_rcpt_rcpt(types_mailbox_t *recipient, hook_types_hook_decision_t *decision, types_failure_t *failed) {
    begin();
    return answer(on_rcpt(recipient), decision, failed);
}
#endif

/* ---- the message at hand */

#ifdef WM_IMPORTS_CLIENT
client_client_info_t wm_client(void) {
    client_client_info_t client;
    client_get(&client);
    return client;
}
#endif

#ifdef WM_IMPORTS_ENVELOPE
envelope_mailbox_t wm_sender(void) {
    envelope_mailbox_t sender;
    envelope_sender(&sender);
    return sender;
}

envelope_list_mailbox_t wm_recipients(void) {
    envelope_list_mailbox_t recipients;
    envelope_recipients(&recipients);
    return recipients;
}
#endif

#ifdef WM_IMPORTS_HEADERS
wm_text wm_header(wm_text name) {
    wm_texts fields = wm_headers(name);
    return fields.len > 0 ? fields.ptr[0] : (wm_text){0};
}

wm_texts wm_headers(wm_text name) {
    wm_texts fields;
    headers_text(&name, &fields);
    return fields;
}

headers_list_address_t wm_addresses(wm_text name) {
    headers_list_address_t addresses;
    headers_addresses(&name, &addresses);
    return addresses;
}
#endif

#ifdef WM_IMPORTS_PARTS
parts_list_part_t wm_parts(void) {
    parts_list_part_t parts;
    parts_all(&parts);
    return parts;
}

wm_text wm_part_text(uint32_t part, uint32_t limit) {
    wm_text text;
    parts_text(part, limit, &text);
    return text;
}
#endif

#ifdef WM_IMPORTS_FACTS
bool wm_get_number(wm_text name, double *value) {
    facts_fact_value_t found;
    if (!facts_get(&name, &found) || found.tag != TYPES_FACT_VALUE_NUMBER) return false;
    *value = found.val.number;
    return true;
}

bool wm_get_text(wm_text name, wm_text *value) {
    facts_fact_value_t found;
    if (!facts_get(&name, &found) || found.tag != TYPES_FACT_VALUE_TEXT) return false;
    *value = found.val.text;
    return true;
}
#endif

/* ---- the outside */

#ifdef WM_IMPORTS_STORE
static store_store_error_t store_error;

bool wm_store_get(wm_text key, bool *found, wm_text *value) {
    contract_option_list_u8_t stored;
    if (!store_get(&key, &stored, &store_error)) return false;
    *found = stored.is_some;
    *value = stored.is_some ? wm_from_bytes(stored.val) : (wm_text){0};
    return true;
}

bool wm_store_set(wm_text key, wm_text value, uint32_t seconds) {
    contract_list_u8_t bytes = wm_bytes(value);
    return store_set(&key, &bytes, seconds, &store_error);
}

bool wm_store_add(wm_text key, uint32_t amount, uint32_t seconds, uint32_t *value) {
    return store_add(&key, amount, seconds, value, &store_error);
}

wm_verdict wm_store_failure(void) {
    bool limit = store_error.tag == STORE_STORE_ERROR_LIMIT;
    wm_text why = limit ? store_error.val.limit : store_error.val.unavailable;
    const char *what = limit ? "a limit of the store was passed" : "the store is not available";
    return wm_fail(WM_SERVICE, wm_print("%s: %.*s", what, WM_ARG(why)));
}
#endif

#ifdef WM_IMPORTS_DNS
wm_text wm_dns_error(dns_dns_error_t error) {
    switch (error.tag) {
    case DNS_DNS_ERROR_TIMED_OUT:
        return wm_from("no answer from the domain name system in time");
    case DNS_DNS_ERROR_FAILED:
        return wm_print("the domain name system failed: %.*s", WM_ARG(error.val.failed));
    default:
        return wm_print("a limit on queries was passed: %.*s", WM_ARG(error.val.limit));
    }
}
#endif

#ifdef WM_IMPORTS_SERVICES
wm_text wm_service_error(services_service_error_t error) {
    switch (error.tag) {
    case SERVICES_SERVICE_ERROR_DENIED:
        return wm_from("no such service, or not granted to this stage");
    case SERVICES_SERVICE_ERROR_UNREACHABLE:
        return wm_print("could not connect: %.*s", WM_ARG(error.val.unreachable));
    case SERVICES_SERVICE_ERROR_TIMED_OUT:
        return wm_from("no answer in time");
    case SERVICES_SERVICE_ERROR_CLOSED:
        return wm_from("the connection was closed");
    default:
        return wm_print("a limit was passed: %.*s", WM_ARG(error.val.limit));
    }
}
#endif

#ifdef WM_IMPORTS_LOG
void wm_log_error(wm_text line) { log_write(LOG_LEVEL_ERROR, &line); }
void wm_log_warn(wm_text line) { log_write(LOG_LEVEL_WARN, &line); }
void wm_log_info(wm_text line) { log_write(LOG_LEVEL_INFO, &line); }
void wm_log_debug(wm_text line) { log_write(LOG_LEVEL_DEBUG, &line); }
#endif

_Noreturn void wm_panic(wm_text words) {
#ifdef WM_IMPORTS_LOG
    wm_log_error(words);
#else
    (void)words;
#endif
    abort();
}
