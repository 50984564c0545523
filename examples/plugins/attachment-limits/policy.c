/* Refuses messages that are too big or have too many or too big attachments. README.md tells how to build and configure it. */

#include "contract.h"

static const char SCHEMA[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
    "\"max_message\": {\"type\": \"integer\", \"minimum\": 0, \"description\": \"bytes of the whole message\"},"
    "\"max_attachment\": {\"type\": \"integer\", \"minimum\": 0, \"description\": \"bytes of one attachment, encoded\"},"
    "\"max_attachments\": {\"type\": \"integer\", \"minimum\": 0, \"description\": \"number of attachments\"}}}";

/* Set by configure; part of the snapshot that every message starts from. */
static struct { text name; uint32_t most; } limits[] = {
    {{"max_message", 11}, UINT32_MAX},
    {{"max_attachment", 14}, UINT32_MAX},
    {{"max_attachments", 15}, UINT32_MAX},
};
enum { MESSAGE, ONE_ATTACHMENT, ATTACHMENTS, LIMITS };

/* ---- judging */

static text refusal(const char *what, uint32_t is, uint32_t most);

EXPORT("message-policy", "decide") decided *decide(void) {
    static decided result;
    static fact facts[1];
    forget();

    list found;
    parts_all(&found);
    const part *parts = found.at;
    uint32_t count = 0, biggest = 0, size = raw_size();
    for (size_t i = 0; i < found.length; i++) {
        if (parts[i].role != ATTACHMENT) continue;
        count++;
        if (parts[i].encoded_size > biggest) biggest = parts[i].encoded_size;
    }

    reply answer = {.code = 552, .enhanced = TEXT("5.3.4")};
    if (size > limits[MESSAGE].most) {
        answer.reason = refusal("bytes in this message: ", size, limits[MESSAGE].most);
    } else if (biggest > limits[ONE_ATTACHMENT].most) {
        answer.reason = refusal("bytes in one attachment: ", biggest, limits[ONE_ATTACHMENT].most);
    } else if (count > limits[ATTACHMENTS].most) {
        answer.reason = refusal("attachments: ", count, limits[ATTACHMENTS].most);
    }
    facts[0] = (fact){.name = TEXT("attachments"), .kind = NUMBER, .number = count};
    result = (decided){.facts = {facts, 1}};
    if (answer.reason.length > 0) result.verdict = (verdict){.kind = REJECT, .reply = answer};
    return &result;
}

static size_t put(char *into, size_t at, const char *words) {
    while (*words) into[at++] = *words++;
    return at;
}

static size_t put_number(char *into, size_t at, uint32_t number) {
    char digits[10];
    int left = 10;
    do digits[--left] = (char)('0' + number % 10); while (number /= 10);
    while (left < 10) into[at++] = digits[left++];
    return at;
}

/* "attachments: 7, at most 5 are accepted" */
static text refusal(const char *what, uint32_t is, uint32_t most) {
    static char words[96];
    size_t at = put_number(words, put(words, 0, what), is);
    at = put_number(words, put(words, at, ", at most "), most);
    at = put(words, at, " are accepted");
    return (text){words, at};
}

/* ---- configuration: a flat JSON object of whole numbers is all that is read */

static char next(text *json) {
    while (json->length && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t')) {
        json->at++, json->length--;
    }
    return json->length ? *json->at : 0;
}

static int take(text *json, char wanted) {
    if (next(json) != wanted) return 0;
    json->at++, json->length--;
    return 1;
}

static int same(text a, text b) {
    if (a.length != b.length) return 0;
    for (size_t i = 0; i < a.length; i++) if (a.at[i] != b.at[i]) return 0;
    return 1;
}

/* One `"name": number`. What is wrong with it, or nothing. */
static const char *read_limit(text *json) {
    if (!take(json, '"')) return "must be a table of whole numbers";
    text name = {json->at, 0};
    while (json->length && *json->at != '"') json->at++, json->length--, name.length++;
    if (!take(json, '"') || !take(json, ':')) return "must be a table of whole numbers";
    uint64_t number = 0;
    char digit = next(json);
    if (digit < '0' || digit > '9') return "every value must be a whole number of at least 0";
    for (; json->length && *json->at >= '0' && *json->at <= '9'; json->at++, json->length--) {
        number = number * 10 + (uint64_t)(*json->at - '0');
        if (number >= UINT32_MAX) return "every value must be below 4294967295";
    }
    for (int i = 0; i < LIMITS; i++) {
        if (!same(name, limits[i].name)) continue;
        limits[i].most = (uint32_t)number;
        return 0;
    }
    return "has a key that is not known; there are max_message, max_attachment, max_attachments";
}

static const char *read_limits(text json) {
    if (!take(&json, '{')) return "must be a table";
    if (take(&json, '}')) return 0;
    do {
        const char *wrong = read_limit(&json);
        if (wrong) return wrong;
    } while (take(&json, ','));
    return take(&json, '}') ? 0 : "every value must be a whole number of at least 0";
}

EXPORT("lifecycle", "configure") configured *configure(const char *config, size_t length) {
    static configured result;
    static problem problems[1];
    const char *wrong = read_limits((text){config, length});
    if (wrong) {
        size_t words = 0;
        while (wrong[words]) words++;
        problems[0] = (problem){.path = TEXT(""), .message = {wrong, words}};
        result = (configured){1, {problems, 1}};
    }
    return &result;
}

EXPORT("lifecycle", "describe") plugin_info *describe(void) {
    static const text grants[] = {{"body", 4}};
    static plugin_info info;
    info = (plugin_info){
        .name = TEXT("attachment-limits"),
        .version = TEXT("0.1.0"),
        .summary = TEXT("Refuses messages that are too big or have too many or too big attachments."),
        .grants = {grants, 1},
        .config_schema = {SCHEMA, sizeof(SCHEMA) - 1},
    };
    return &info;
}
