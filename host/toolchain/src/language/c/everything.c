/* Calls everything that wasmilter.h and the contract have, so that a test can see that all of it builds. No policy. */

#include "wasmilter.h"

const wm_plugin plugin = {"everything", "1.0.0", "Calls everything", "Apache-2.0", "https://example.org/", (const char *const[]){"body", 0}};

static wm_text name, names[] = {WM_STATIC("a"), WM_STATIC("b")};
static double rate;
static bool flag;

void configure(const wm_json *config) {
    wm_config_only(config, "name", "rate", "flag", "whole", "texts", "list");
    name = wm_copy(wm_config_text(config, "name", "nobody"));
    rate = wm_config_number(config, "rate", 0.5);
    flag = wm_config_bool(config, "flag", true);
    if (wm_config_whole(config, "whole", 0, 10, 5) > 9) wm_problem(wm_json_get(config, "whole"), "must be below 10");
    if (wm_config_texts(config, "texts").len > 1) wm_problem_at("/texts", wm_print("%s, is %zu", "must be one", (size_t)2));
    const wm_json *list = wm_config_array(config, "list");
    for (const wm_json *element = list ? list->first : 0; element; element = element->next) {
        if (element->kind == WM_NULL) wm_problem(element, "must not be null");
    }
    wm_json *parsed = wm_json_parse("{\"deep\": [1, {\"key\": \"\\u00fc\\ud83d\\ude00\\n\"}, -2.5e1, true, null]}");
    const wm_json *deep = wm_json_get(parsed, "deep");
    if (!deep || deep->length != 5 || !wm_same(wm_json_get(deep->first->next, "key")->text, "ü😀\n")) wm_panic("JSON text");
    if (deep->first->next->next->number != -25 || !deep->first->next->next->next->flag) wm_panic("JSON values");
    static const char *const BROKEN[] = {"", "{", "[1,]", "{\"a\" 1}", "01", "1.", "\"\\x\"", "\"\\ud800\"", "tru", "1 2", "\"\n\""};
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
        if (wm_json_parse(BROKEN[i])) wm_panic(wm_print("taken as JSON: %s", BROKEN[i]));
    }
}

static void text(void) {
    wm_text hello = wm_trim(" \tHello, World\r\n");
    if (!wm_same_nocase(hello, "hello, world") || wm_same(hello, "hello, world")) wm_panic("same");
    if (!wm_starts(hello, "Hello") || !wm_starts_nocase(hello, "hELLO") || wm_starts("He", hello)) wm_panic("starts");
    if (!wm_ends(hello, "World") || !wm_ends_nocase(hello, "wORLD") || wm_ends("ld", hello)) wm_panic("ends");
    if (wm_find(hello, "World") != 7 || wm_find_nocase(hello, "WORLD") != 7 || wm_find(hello, "x") != WM_NONE) wm_panic("find");
    if (!wm_same(wm_slice(hello, 7, 99), "World") || wm_slice(hello, 9, 3).len != 0) wm_panic("slice");
    if (!wm_same(wm_lower(hello), "hello, world")) wm_panic("lower");
    if (!wm_same(wm_utf8("a\xff\xc3\xbc\xe2\x82"), "a\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd")) wm_panic("utf8");
    if (!wm_same(wm_print("%d %i %u %x %c %% %.*s", -12, 0, 4294967295u, 255, 'c', WM_ARG(hello)), "-12 0 4294967295 ff c % Hello, World")) wm_panic("print");
}

static wm_verdict hook(const char *which) {
    wm_fact_text("hook", which);
    wm_fact_text("client", wm_client().address);
    return flag ? wm_next() : wm_tempfail(451, "4.3.0", which);
}

wm_verdict on_connect(void) { return hook("connect"); }
wm_verdict on_helo(void) { return hook("helo"); }
wm_verdict on_mail(void) { return wm_same(wm_sender().address, "") ? wm_reject(550, "", "no null sender") : hook("mail"); }
wm_verdict on_rcpt(const types_mailbox_t *recipient) {
    wm_fact_text("recipient", recipient->address);
    wm_fact_number("arguments", recipient->arguments.len);
    if (wm_same(recipient->local, "accept")) return wm_accept();
    if (wm_same(recipient->local, "edit")) wm_add_header("X", "y");
    return hook("rcpt");
}

static wm_verdict outside(void) {
    bool found;
    wm_text value;
    uint32_t count;
    if (!wm_store_set("key", "value", 60) || !wm_store_get("key", &found, &value)) return wm_store_failure();
    if (!wm_store_add("counter", 1, 60, &count)) return wm_store_failure();
    wm_fact_flag("found", found && wm_same(value, "value"));
    wm_fact_number("count", count);
    wm_text key = wm("key");
    store_store_error_t store_error;
    if (!store_remove(&key, &store_error)) return wm_fail(WM_SERVICE, "remove");

    wm_text host = wm("example.org");
    contract_list_string_t answers;
    dns_list_mail_exchanger_t exchangers;
    dns_dns_error_t dns_error;
    if (!dns_addresses(&host, &answers, &dns_error)) return wm_fail(WM_SERVICE, wm_dns_error(dns_error));
    wm_fact_texts("addresses", answers);
    if (!dns_texts(&host, &answers, &dns_error)) return wm_fail(WM_SERVICE, wm_dns_error(dns_error));
    if (!dns_mail_exchangers(&host, &exchangers, &dns_error)) return wm_fail(WM_SERVICE, wm_dns_error(dns_error));
    if (exchangers.len > 0) wm_fact_text("exchanger", exchangers.ptr[0].host);
    wm_text address = wm("192.0.2.1");
    if (!dns_names(&address, &answers, &dns_error)) return wm_fail(WM_SERVICE, wm_dns_error(dns_error));

    wm_text service = wm("echo");
    uint32_t stream;
    services_service_error_t error;
    if (!services_open(&service, &stream, &error)) return wm_fail(WM_SERVICE, wm_service_error(error));
    contract_list_u8_t bytes = wm_bytes("hello");
    if (!services_write(stream, &bytes, &error) || !services_finish(stream, &error)) return wm_fail(WM_SERVICE, wm_service_error(error));
    if (!services_read(stream, 100, &bytes, &error)) return wm_fail(WM_SERVICE, wm_service_error(error));
    wm_fact_text("answer", wm_utf8(wm_from_bytes(bytes)));
    services_close(stream);
    wm_fact_flag("late", clock_now() > 1e9);
    random_bytes(16, &bytes);
    wm_fact_number("random", bytes.len);
    return wm_next();
}

wm_verdict decide(void) {
    text();
    double number;
    wm_text fact;
    if (wm_get_number("spam.score", &number)) wm_fact_number("score", number * rate);
    if (wm_get_text("spam.name", &fact)) wm_fact_text("spam", fact);
    client_client_info_t connected;
    client_connected(&connected);
    wm_fact_text("helo", connected.helo);
    wm_text queue_id;
    envelope_queue_id(&queue_id);
    headers_list_header_field_t fields;
    headers_all(&fields);
    wm_fact_number("fields", fields.len);
    wm_text from = wm("From");
    headers_get(&from, &fields);
    if (fields.len > 0) wm_fact_text("from", wm_utf8(wm_from_bytes(fields.ptr[0].value)));
    wm_fact_number("froms", headers_count(&from));
    if (wm_addresses("From").len > 0) wm_fact_text("address", wm_addresses("From").ptr[0].address);
    wm_fact_texts("subjects", wm_headers("Subject"));
    wm_fact_number("recipients", wm_recipients().len);

    parts_list_part_t parts = wm_parts();
    wm_fact_text("type", parts.ptr[0].media_type);
    wm_fact_text("text", wm_part_text(0, 1000));
    wm_fact_number("size", parts_size(0));
    contract_list_u8_t bytes;
    parts_read(0, 0, 10, &bytes);
    parts_read_entity(0, 0, 10, &bytes);
    raw_read(0, raw_size(), &bytes);
    wm_fact_number("raw", bytes.len);
    parts_list_header_field_t part_fields;
    parts_header_fields(0, &part_fields);
    uint32_t blob = output_create();
    output_append(blob, &bytes);
    output_append_entity(blob, 0);

    wm_log_error("error");
    wm_log_warn("warn");
    wm_log_info(wm_print("%.*s", WM_ARG(name)));
    wm_log_debug("debug");

    wm_add_header("X-Add", "add");
    wm_insert_header("X-Insert", "insert");
    wm_replace_header("X-Old", 1, "new");
    wm_remove_header("X-Gone", 0);
    wm_set_subject("Größe");
    wm_replace_part(1, "text/plain", "new.txt", "replaced");
    wm_remove_part(2);
    wm_add_part("text/plain", "added.txt", "added");
    wm_append_text("below", "<p>below</p>");
    wm_prepend_text("above", "");
    wm_set_sender("");
    wm_add_recipient("archive@example.org");
    wm_remove_recipient("bob@example.org");
    wm_edit((exports_message_policy_edit_t){.tag = EXPORTS_MESSAGE_POLICY_EDIT_SET_CLIENT, .val.set_client = {.address = wm("192.0.2.9")}});
    wm_fact_texts("names", (wm_texts){names, 2});

    wm_text wanted = wm_header("X-Verdict");
    if (wm_same(wanted, "accept")) return wm_accept();
    if (wm_same(wanted, "reject")) return wm_reject(550, "5.7.1", "no");
    if (wm_same(wanted, "tempfail")) return wm_tempfail(0, "", "");
    if (wm_same(wanted, "discard")) return wm_discard();
    if (wm_same(wanted, "quarantine")) return wm_quarantine("odd");
    if (wm_same(wanted, "fail")) return wm_fail(WM_UNSUPPORTED, "cannot");
    if (wm_same(wanted, "panic")) wm_panic("a bug");
    return outside();
}
