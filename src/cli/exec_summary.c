/* SPDX-License-Identifier: Apache-2.0 */
/* What a run ends with: how much went where, where the evidence lies, and the policy that would have let it through. */
#include "exec.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_BYTES   65536
#define OPENING_MAX  8192
#define HEAD_ALLOWED "config:\n  networking:\n    allowed_hosts:\n"
#define HEAD_HOSTS   "egress:\n  hosts:\n"

/* Lines under one key are one list: each of them as it stands would be the same key again and again. */
struct lines {
    char allowed[TEXT_BYTES], hosts[TEXT_BYTES], others[TEXT_BYTES];
    struct outbuf out_allowed, out_hosts, out_others;
};

static void put_bytes(uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1000;
    fprintf(stderr, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* Who and why, as a comment above the line. */
static void put_why(struct outbuf *out, const struct feed_host *host, const char *indent)
{
    outbuf_text(out, indent);
    outbuf_text(out, "# ");
    for (const char *c = host->target; *c != '\0'; c++)
        outbuf_char(out, *c > 0x20 && *c < 0x7f ? *c : '?');
    outbuf_text(out, " ");
    outbuf_text(out, reason_row(host->reason)->name);
    outbuf_text(out, "\n");
}

static void put_comments(struct outbuf *out, struct span comments, const char *indent)
{
    while (comments.len > 0) {
        size_t len = 0;
        while (len < comments.len && comments.data[len] != '\n')
            len++;
        outbuf_text(out, indent);
        outbuf_span(out, span_first(comments, len));
        outbuf_text(out, "\n");
        comments = span_from(comments, len < comments.len ? len + 1 : len);
    }
}

static bool put_under(struct outbuf *out, const struct feed_host *host, struct span text, const char *head,
                      const char *indent)
{
    size_t len = strlen(head);
    const uint8_t *at = memmem(text.data, text.len, head, len);
    if (at == NULL)
        return false;
    size_t before = (size_t)(at - text.data);
    put_why(out, host, indent);
    put_comments(out, span_first(text, before), indent);
    outbuf_span(out, span_from(text, before + len));
    return true;
}

static void decide(const struct policy *policy, const struct question *question, const struct feed_host *host,
                   struct decision *out, const struct ipaddr **out_address)
{
    policy_ask_target(policy, question, out);
    const struct ipaddr *answers = host->answers;
    size_t count = host->answer_count, index = 0;
    if (question->target->kind == TARGET_ADDRESS) {
        answers = &question->target->addr;
        count = 1;
    }
    if (out->verdict == VERDICT_ALLOW && host->reason == REASON_ADDRESS && count > 0) {
        struct admitted admitted;
        policy_ask_address(policy, question, answers, count, &admitted, out, &index);
        *out_address = out->verdict == VERDICT_DENY ? &answers[index] : NULL;
    }
    /* What the hello said is not kept here, but its reason says what to open. */
    if (out->verdict == VERDICT_ALLOW) {
        out->verdict = VERDICT_DENY;
        out->reason = host->reason;
    }
}

static void open_one(struct lines *l, const struct policy *policy, const struct feed_host *host)
{
    char text[OPENING_MAX];
    struct target target;
    bool has_port;
    const struct ipaddr *address = NULL;
    struct decision decision;
    struct outbuf out = outbuf_make(text, sizeof text);
    bool http = host->door == DOOR_HTTP || host->door == DOOR_PLAIN;
    if (target_parse_host(span_text(host->target), http ? 80 : 443, &target, &has_port) != ERR_NONE)
        return;
    const struct question question = {
        .door = host->door, .method = http ? METHOD_GET : METHOD_CONNECT, .target = &target};
    decide(policy, &question, host, &decision, &address);
    struct policy_change change;
    policy_opening(policy, &question, &decision, address, NULL, &out, &change);
    struct span opening = outbuf_written(&out);
    if (opening.len == 0 || put_under(&l->out_allowed, host, opening, HEAD_ALLOWED, "      ") ||
        put_under(&l->out_hosts, host, opening, HEAD_HOSTS, "    "))
        return;
    put_why(&l->out_others, host, "");
    bool yaml = memmem(opening.data, opening.len, "\negress:", 8) != NULL ||
                span_is(span_first(opening, 7), "egress:") || span_is(span_first(opening, 7), "config:");
    if (yaml)
        outbuf_span(&l->out_others, opening);
    else
        put_comments(&l->out_others, opening, "#   ");
}

static void put_part(const char *head, const struct outbuf *out)
{
    if (out->len > 0)
        fprintf(stderr, "%s%.*s%s", head, (int)out->len, (const char *)out->data, out->overflow ? "# and more\n" : "");
}

static void print_lines(const struct exec_feed *feed, const struct exec *e)
{
    static struct lines l;
    l.out_allowed = outbuf_make(l.allowed, sizeof l.allowed);
    l.out_hosts = outbuf_make(l.hosts, sizeof l.hosts);
    l.out_others = outbuf_make(l.others, sizeof l.others);
    for (size_t i = 0; i < FEED_HOSTS; i++)
        if (feed->hosts[i].target[0] != '\0' && feed_is_denial(feed->hosts[i].reason))
            open_one(&l, e->policy, &feed->hosts[i]);
    bool lines = l.out_allowed.len + l.out_hosts.len > 0;
    if (lines && e->policy_path != NULL)
        fprintf(stderr, "sallyport: these lines in %s would allow what was denied; each is for you to judge:\n",
                e->policy_path);
    else if (lines)
        fputs("sallyport: this policy (--policy FILE) would allow what was denied; each line is for you to judge:\n"
              "name: exec\n",
              stderr);
    if (lines && e->policy_path == NULL)
        fputs("config:\n  type: self_hosted\n  networking:\n    type: limited\n", stderr);
    put_part(e->policy_path != NULL ? HEAD_ALLOWED : "    allowed_hosts:\n", &l.out_allowed);
    put_part(HEAD_HOSTS, &l.out_hosts);
    put_part("", &l.out_others);
}

void summary_print(const struct exec_feed *feed, const struct exec *e)
{
    size_t allowed = 0, denied = 0, failed = 0;
    for (size_t i = 0; i < FEED_HOSTS; i++) {
        const struct feed_host *host = &feed->hosts[i];
        if (host->target[0] == '\0')
            continue;
        if (host->reason == REASON_ALLOWED)
            allowed++;
        else if (feed_is_denial(host->reason))
            denied++;
        else
            failed++;
    }
    fprintf(stderr, "sallyport: %zu allowed, %zu denied, %zu failed; ", allowed, denied, failed);
    put_bytes(feed->bytes_out);
    fputs(" out, ", stderr);
    put_bytes(feed->bytes_in);
    fputs(" in\n", stderr);
    if (feed->beyond > 0)
        fprintf(stderr, "sallyport: %" PRIu64 " records of further hosts are in the log alone\n", feed->beyond);
    print_lines(feed, e);
    fprintf(stderr, "sallyport: %" PRIu64 " entries; sallyport audit verify %s --key '%s'\n", feed->entries, e->audit,
            e->key);
}
