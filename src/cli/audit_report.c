/* SPDX-License-Identifier: Apache-2.0 */
/* The report of `audit verify`: the same sections as text and as HTML. */
#include "audit_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

struct control {
    const char *id, *gives, *yours;
};

/* What the log contributes to each control while it is proven, and what no log can do for its owner. */
/* clang-format off */
static const struct control controls[] = {
    {"NIST 800-53 AU-2",
     "every attempt to leave a sandbox, allowed or denied, and every policy load is an entry",
     "decide which other events your systems log"},
    {"NIST 800-53 AU-3",
     "time, environment, session, target, rule, verdict, reason, bytes and end of each, as OCSF 1.8.0",
     "map sessions to people"},
    {"NIST 800-53 AU-4",
     "room is reserved ahead and a ballast pays for the entries that say that the disk is full",
     "size the disk"},
    {"NIST 800-53 AU-5",
     "when no evidence can be written nothing leaves; what was refused is counted and recorded",
     "watch gate_closed entries"},
    {"NIST 800-53 AU-6, AU-7",
     "query, export and proofs of single entries",
     "review them"},
    {"NIST 800-53 AU-8",
     "wall clock and monotonic clock of each entry; steps are recorded, order comes from the index",
     "synchronise the clock"},
    {"NIST 800-53 AU-9",
     "a change, removal or insertion breaks a hash tree whose root is signed",
     "keep checkpoints elsewhere, and the key's directory closed"},
    {"NIST 800-53 AU-10",
     "the tree heads carry an Ed25519 signature of the log's key",
     "give out the verifier key by another way"},
    {"NIST 800-53 AU-11",
     "nothing was removed between the first and the last entry named above",
     "state and keep a retention time"},
    {"NIST 800-53 AU-12",
     "the numbers of each environment have no gap, each attempt has its outcome or is named as open",
     "make this gate the only way out"},
    {"PCI DSS 10.2, 10.3",
     "individual attempts, and protection of the log against change",
     "the components that are not behind this gate"},
    {"PCI DSS 10.4, 10.5, 10.6",
     "queries for review; complete history; clock steps on record",
     "daily review, twelve months, time sources"},
    {"SOC 2 CC7.2, CC7.3",
     "denied attempts and their reasons as they happen (tail --follow)",
     "alerting and response"},
    {"HIPAA 164.312(b)",
     "a mechanism that records and lets examine what leaves",
     "systems that hold health data themselves"},
    {"EU AI Act Art. 12",
     "automatic recording of what an agent tried to reach over its lifetime",
     "events inside the model and its tools"},
    {"EU AI Act Art. 19, 26",
     "logs under the control of provider or deployer, with proof that they are whole",
     "six months at least, and other law"},
};

static const char *const never_here[] = {
    "what the vendor of a model does on its own side: its web search and fetch tools, and whatever they return",
    "inputs and outputs of tools that flow to the vendor's control plane inside an allowed connection",
    "tunnels of tool servers that do not come out of the sandbox's network",
    "the content of encrypted connections: destination, bytes and times are recorded, the bytes themselves are not",
    "packets that never reach this gate: a sandbox must have no other way out",
};
/* clang-format on */

struct page {
    FILE *out;
    bool html;
};

static void put_text(const struct page *p, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (p->html && (byte == '<' || byte == '>' || byte == '&' || byte == '"' || byte == '\''))
            fprintf(p->out, "&#%u;", (unsigned)byte);
        else
            fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, p->out);
    }
}

static void heading(const struct page *p, const char *text)
{
    fputs(p->html ? "<h2>" : "\n", p->out);
    put_text(p, text);
    fputs(p->html ? "</h2>\n" : "\n", p->out);
}

static void item(const struct page *p, const char *text)
{
    fputs(p->html ? "<li>" : "  * ", p->out);
    put_text(p, text);
    fputs(p->html ? "</li>\n" : "\n", p->out);
}

static void items(const struct page *p, const char *title, const char (*lines)[256], size_t count)
{
    heading(p, title);
    fputs(p->html ? "<ul>\n" : "", p->out);
    for (size_t i = 0; i < count; i++)
        item(p, lines[i]);
    if (count == 0)
        item(p, "nothing");
    fputs(p->html ? "</ul>\n" : "", p->out);
}

static const char *judgement(enum verify_result result)
{
    switch (result) {
    case VERIFY_PROVEN:
        return "Proven: the log is whole and is what was signed.";
    case VERIFY_TAMPERED:
        return "NOT PROVEN: the log was changed or is corrupt.";
    case VERIFY_ROLLBACK:
        return "NOT PROVEN: the log was rolled back or forked.";
    case VERIFY_INCOMPLETE:
        return "NOT PROVEN: the log is incomplete.";
    case VERIFY_UNAVAILABLE:
        return "NOT PROVEN: the log cannot be read.";
    case VERIFY_FAILED:
        break;
    }
    return "NOT PROVEN: verification could not work.";
}

static void time_text(int64_t wall_ns, char out[static 32])
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm utc;
    if (wall_ns == 0 || gmtime_r(&seconds, &utc) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
        snprintf(out, 32, "unknown");
}

static void fact(const struct page *p, const char *name, const char *value)
{
    fprintf(p->out, p->html ? "<tr><th scope=\"row\">%s</th><td>" : "  %-16s ", name);
    put_text(p, value);
    fputs(p->html ? "</td></tr>\n" : "\n", p->out);
}

static void facts(const struct page *p, const struct verify_report *r)
{
    char text[320], from[32], to[32];
    heading(p, "What was looked at, until when, by whom");
    fputs(p->html ? "<table class=\"facts\">\n<tbody>\n" : "", p->out);
    fact(p, "log", r->origin[0] != '\0' ? r->origin : "unknown");
    time_text(r->first_wall_ns, from);
    time_text(r->last_wall_ns, to);
    snprintf(text, sizeof text, "%" PRIu64 " entries, from %s to %s by the machine's clock", r->entries, from, to);
    fact(p, "entries", text);
    time_text(r->signed_wall_ns, to);
    snprintf(text, sizeof text, "the first %" PRIu64 " entries, until %s", r->signed_size, to);
    fact(p, "signed", text);
    snprintf(text, sizeof text, "%" PRIu64 ", with %" PRIu64 " outcomes; %" PRIu64 " open", r->attempts, r->outcomes,
             r->open_flows);
    fact(p, "attempts", text);
    fact(p, "verifier key",
         r->key_given ? "given by whoever asked for this report"
                      : "taken from the log's own directory: it says nothing about who signed");
    bool own = r->signer_account[0] == 'o';
    snprintf(text, sizeof text, "a process of its own%s, %s",
             r->signer_network[0] == 'n' && r->signer_network[2] == 'n' ? " without network" : "",
             r->signer_account[0] == '\0' ? "older entries do not say more"
             : own                        ? "with a uid of its own"
                                          : "with the program's uid: whoever takes that over reaches the key");
    fact(p, "signer", text);
    time_text((int64_t)r->witnessed_time_s * 1000000000, to);
    snprintf(text, sizeof text, "%.200s, for the first %" PRIu64 " entries, at %s", r->witnessed_by, r->witnessed_size,
             to);
    fact(p, "witnesses", r->witnessed_size > 0 ? text : "none");
    fact(p, "earlier head", r->pinned_given ? "a pinned checkpoint was given" : "none was given");
    fputs(p->html ? "</tbody></table>\n" : "", p->out);
}

static void control_rows(const struct page *p, const struct verify_report *r)
{
    bool holds = r->result == VERIFY_PROVEN;
    heading(p, "Controls that this log contributes to");
    fputs(p->html
              ? "<table class=\"controls\">\n<thead><tr><th scope=\"col\">control</th><th scope=\"col\">this log</th>"
                "<th scope=\"col\">remains yours</th></tr></thead>\n<tbody>\n"
              : "",
          p->out);
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        const struct control *c = &controls[i];
        const char *gives = holds ? c->gives : "not supported while the findings stand";
        fprintf(p->out,
                p->html ? "<tr><th scope=\"row\">%s</th><td data-of=\"this log: \">%s</td>"
                          "<td data-of=\"remains yours: \">%s</td></tr>\n"
                        : "  %s\n      this log:      %s\n      remains yours: %s\n",
                c->id, gives, c->yours);
    }
    fputs(p->html ? "</tbody></table>\n" : "", p->out);
}

/* Nothing is loaded from anywhere and nothing runs: the page may be opened where the log may be read. Below 40em the
 * cells of the wide table stand one under the other, each with the name of its column. */
static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>%s</title>\n<style>\n"
    ":root{color-scheme:light "
    "dark;--ink:#1b1f24;--page:#fff;--line:#8a929b;--soft:#f0f2f4;--good:#0a5c2b;--bad:#a3120a}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e7eaee;--page:#15181c;--line:#737c86;--soft:#23282e;--good:#7ee2a0;"
    "--bad:#ff9d94}}\n"
    "body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:58em;margin:2em auto;"
    "padding:0 1em;overflow-wrap:anywhere}\n"
    "h1{font-size:1.7em;margin:0 0 .4em}h2{font-size:1.2em;margin:1.8em 0 .5em}\n"
    ".verdict{font-size:1.15em;font-weight:700;border-left:.3em solid;padding:.5em .8em;background:var(--soft)}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}\n"
    "table{border-collapse:collapse;width:100%%}td,th{border:1px solid var(--line);padding:.35em .6em;text-align:left;"
    "vertical-align:top}th{background:var(--soft)}.facts th{width:10em}.controls tbody th{width:12em}\n"
    "li{margin:.25em 0}\n"
    "@media(max-width:40em){.controls thead{position:absolute;left:-999em}.controls tr{display:block;margin-bottom:1em}"
    ".controls tbody th,.controls td{display:block;width:auto}.controls td{border-top:0}"
    ".controls td::before{content:attr(data-of);font-weight:700}.facts th{width:7em}}\n"
    "@media print{:root{color-scheme:light;--ink:#000;--page:#fff;--line:#666;--soft:#fff;--good:#000;--bad:#000}"
    "body{font-size:10.5pt;max-width:none;margin:0}tr,li{break-inside:avoid}h2{break-after:avoid}thead{display:"
    "table-header-group}}\n"
    "</style></head><body><main>\n<h1>Audit log report</h1>\n<p class=\"verdict %s\">";

static void write_page(const struct page *p, const struct verify_report *r)
{
    bool good = r->result == VERIFY_PROVEN;
    if (p->html)
        fprintf(p->out, page_head, good ? "Proven: audit log report" : "Not proven: audit log report",
                good ? "good" : "bad");
    else
        fputs("AUDIT LOG REPORT\n\n", p->out);
    put_text(p, judgement(r->result));
    fputs(p->html ? "</p>\n" : "\n", p->out);
    heading(p, "What never passes this gate");
    fputs(p->html ? "<ul>\n" : "", p->out);
    for (size_t i = 0; i < sizeof never_here / sizeof never_here[0]; i++)
        item(p, never_here[i]);
    fputs(p->html ? "</ul>\n" : "", p->out);
    facts(p, r);
    items(p, "Findings", r->findings, r->finding_count);
    items(p, "What is proven", r->proven, r->proven_count);
    items(p, "What is not proven", r->unproven, r->unproven_count);
    control_rows(p, r);
    heading(p, "Limits");
    fputs(p->html ? "<ul>\n" : "", p->out);
    item(p, "The log is tamper-evident, not tamper-proof: root on the machine can stop the program, lie to it before a "
            "record is made, and rewrite what nobody else has seen.");
    fputs(p->html ? "</ul>\n</main></body></html>\n" : "", p->out);
}

bool audit_report(const struct verify_report *report, const char *file)
{
    struct page page = {.out = stdout, .html = file != NULL};
    if (file != NULL)
        page.out = fopen(file, "we");
    if (page.out == NULL) {
        fprintf(stderr, "sallyport audit verify: %s cannot be written\n", file);
        return false;
    }
    write_page(&page, report);
    bool good = fflush(page.out) == 0 && ferror(page.out) == 0;
    if (file != NULL)
        good = fclose(page.out) == 0 && good;
    if (!good)
        fprintf(stderr, "sallyport audit verify: the report could not be written\n");
    return good;
}
