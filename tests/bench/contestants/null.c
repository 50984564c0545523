/* A milter that does nothing, on libmilter: what the protocol itself costs.
 * usage: null SOCKET replies|no-replies
 * With `no-replies` it negotiates away every reply but the one at the end of a message; both still take every step. */
#include <libmilter/mfapi.h>
#include <string.h>

static int replies;
#define ANSWER (replies ? SMFIS_CONTINUE : SMFIS_NOREPLY)

static sfsistat negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
                          unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3) {
    const unsigned long no_replies = SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_DATA |
                                     SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY | SMFIP_NR_UNKN;
    (void)ctx; (void)f2; (void)f3;
    *pf0 = f0;
    *pf1 = replies ? 0 : f1 & no_replies;
    *pf2 = *pf3 = 0;
    return SMFIS_CONTINUE;
}
static sfsistat connected(SMFICTX *c, char *n, _SOCK_ADDR *a) { (void)c; (void)n; (void)a; return ANSWER; }
static sfsistat helo(SMFICTX *c, char *n) { (void)c; (void)n; return ANSWER; }
static sfsistat envelope(SMFICTX *c, char **a) { (void)c; (void)a; return ANSWER; }
static sfsistat header(SMFICTX *c, char *n, char *v) { (void)c; (void)n; (void)v; return ANSWER; }
static sfsistat step(SMFICTX *c) { (void)c; return ANSWER; }
static sfsistat body(SMFICTX *c, unsigned char *b, size_t l) { (void)c; (void)b; (void)l; return ANSWER; }
static sfsistat end(SMFICTX *c) { (void)c; return SMFIS_CONTINUE; }

static struct smfiDesc filter = {
    .xxfi_name = "null", .xxfi_version = SMFI_VERSION, .xxfi_flags = SMFIF_ADDHDRS,
    .xxfi_connect = connected, .xxfi_helo = helo, .xxfi_envfrom = envelope, .xxfi_envrcpt = envelope,
    .xxfi_header = header, .xxfi_eoh = step, .xxfi_body = body, .xxfi_eom = end, .xxfi_data = step,
    .xxfi_negotiate = negotiate,
};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    replies = strcmp(argv[2], "replies") == 0;
    smfi_setconn(argv[1]);
    if (smfi_register(filter) == MI_FAILURE || smfi_opensocket(1) == MI_FAILURE) return 1;
    return smfi_main();
}
