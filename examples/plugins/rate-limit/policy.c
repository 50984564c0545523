/* Limits messages and recipients per sender and time, and the size of messages. A sender is an authenticated user, otherwise
 * an IPv4 address or the first half of an IPv6 address: the network that one customer usually has. */

#include "wasmilter.h"

const wm_plugin plugin = {
    .name = "rate-limit",
    .version = "1.0.0",
    .summary = "Limits messages and recipients per sender and time, and the size of messages",
    .licence = "Apache-2.0",
    .grants = (const char *const[]){"envelope", "attachments", "store", 0},
};

/* ---- configuration: set by configure, there for every message */

enum { UNLIMITED = 0, MOST = 1000000000, LONGEST_WINDOW = 31622400 };

typedef struct { uint32_t messages, recipients; } limits;

static limits for_clients, for_users;
static uint32_t window, max_size;
static wm_texts exempt;

static limits read_limits(const wm_json *from, limits otherwise) {
    return (limits){
        .messages = wm_config_whole(from, "messages", 1, MOST, otherwise.messages),
        .recipients = wm_config_whole(from, "recipients", 1, MOST, otherwise.recipients),
    };
}

void configure(const wm_json *config) {
    wm_config_only(config, "messages", "recipients", "window", "max_size", "exempt", "users");
    for_clients = read_limits(config, (limits){UNLIMITED, UNLIMITED});
    const wm_json *users = wm_json_get(config, "users");
    if (users && users->kind != WM_OBJECT) wm_problem(users, "must be a table");
    wm_config_only(users, "messages", "recipients");
    for_users = read_limits(users, for_clients);
    window = wm_config_whole(config, "window", 1, LONGEST_WINDOW, 3600);
    max_size = wm_config_whole(config, "max_size", 1, INT32_MAX, UNLIMITED);
    exempt = wm_config_texts(config, "exempt");
}

/* ---- who is counted */

typedef struct { bool counted; wm_text key; limits limits; } sender;

static wm_text network(wm_text address);

static sender find_sender(void) {
    client_client_info_t client = wm_client();
    bool user = client.auth_user.len > 0;
    wm_text name = user ? client.auth_user : client.address;
    sender found = {.counted = name.len > 0, .limits = user ? for_users : for_clients};
    for (size_t i = 0; i < exempt.len; i++) {
        if (wm_same_nocase(name, exempt.ptr[i])) found.counted = false;
    }
    found.key = user ? wm_print("user %.*s", WM_ARG(name)) : network(name);
    return found;
}

/* `192.0.2.1` as it is; of `2001:db8::7` the first four of eight groups, `2001:db8:0:0`. */
static wm_text network(wm_text address) {
    enum { GROUPS = 8 };
    if (wm_find(address, ":") == WM_NONE || wm_find(address, ".") != WM_NONE) return address;
    wm_text groups[GROUPS];
    size_t count = 0, gap = WM_NONE;
    for (size_t at = 0; at <= address.len && count < GROUPS;) {
        wm_text rest = wm_slice(address, at, address.len);
        wm_text group = wm_slice(rest, 0, wm_find(rest, ":"));
        if (group.len > 0) {
            groups[count++] = group;
        } else if (gap == WM_NONE) {
            gap = count;
        }
        at += group.len + 1;
    }
    wm_text half[GROUPS / 2];
    size_t zeros = GROUPS - count; /* what `::` stands for */
    for (size_t i = 0; i < GROUPS / 2; i++) {
        if (i < gap) {
            half[i] = i < count ? groups[i] : wm("0");
        } else {
            half[i] = i < gap + zeros ? wm("0") : groups[i - zeros];
        }
    }
    return wm_print("%.*s:%.*s:%.*s:%.*s", WM_ARG(half[0]), WM_ARG(half[1]), WM_ARG(half[2]), WM_ARG(half[3]));
}

/* ---- judging */

static bool too_big(uint32_t size) { return max_size != UNLIMITED && size > max_size; }

static wm_verdict refuse_size(uint32_t size) {
    return wm_reject(552, "5.3.4", wm_print("message too big: %u bytes, at most %u are accepted", (unsigned)size,
                                            (unsigned)max_size));
}

static wm_verdict refuse_rate(uint32_t code, const char *enhanced, const char *what, uint32_t most) {
    return wm_tempfail(code, enhanced, wm_print("too many %s: at most %u in %u seconds; try again later", what,
                                                (unsigned)most, (unsigned)window));
}

static wm_text counter(const char *what, wm_text sender) { return wm_print("%s %.*s", what, WM_ARG(sender)); }

/* Size in bytes as the client announces it (RFC 1870); 0 when it does not. */
static uint32_t announced_size(void) {
    contract_list_string_t arguments = wm_sender().arguments;
    for (size_t i = 0; i < arguments.len; i++) {
        if (!wm_starts_nocase(arguments.ptr[i], "SIZE=")) continue;
        uint64_t size = 0;
        for (size_t at = 5; at < arguments.ptr[i].len && size < UINT32_MAX; at++) {
            uint8_t digit = arguments.ptr[i].ptr[at];
            if (digit < '0' || digit > '9') return 0;
            size = size * 10 + (uint64_t)(digit - '0');
        }
        return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    }
    return 0;
}

/* At MAIL FROM: spares client and server the transfer. Counts nothing: a message counts when it has arrived. */
wm_verdict on_mail(void) {
    uint32_t announced = announced_size();
    if (too_big(announced)) return refuse_size(announced);
    sender from = find_sender();
    if (!from.counted || from.limits.messages == UNLIMITED) return wm_next();
    uint32_t messages;
    if (!wm_store_add(counter("messages", from.key), 0, window, &messages)) return wm_store_failure();
    if (messages >= from.limits.messages) return refuse_rate(451, "4.7.1", "messages", from.limits.messages);
    return wm_next();
}

/* At RCPT TO: every recipient that is named counts, also one that the server then refuses. */
wm_verdict on_rcpt(const types_mailbox_t *recipient) {
    (void)recipient;
    sender from = find_sender();
    if (!from.counted || from.limits.recipients == UNLIMITED) return wm_next();
    uint32_t recipients;
    if (!wm_store_add(counter("recipients", from.key), 1, window, &recipients)) return wm_store_failure();
    if (recipients > from.limits.recipients) return refuse_rate(452, "4.5.3", "recipients", from.limits.recipients);
    return wm_next();
}

/* When the message is there. */
wm_verdict decide(void) {
    parts_list_part_t parts = wm_parts();
    uint32_t size = parts.len > 0 ? parts.ptr[0].encoded_size : 0;
    if (too_big(size)) return refuse_size(size);
    sender from = find_sender();
    if (!from.counted || from.limits.messages == UNLIMITED) return wm_next();
    uint32_t messages;
    if (!wm_store_add(counter("messages", from.key), 1, window, &messages)) return wm_store_failure();
    wm_fact_number("messages", messages);
    /* Also when several messages came at once, which all were let through at MAIL FROM. */
    if (messages > from.limits.messages) return refuse_rate(451, "4.7.1", "messages", from.limits.messages);
    return wm_next();
}
