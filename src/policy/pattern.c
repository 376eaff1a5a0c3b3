/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include "policy/policy.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#define NEST_MAX    32
#define MATCH_LIMIT 20000
#define DEPTH_LIMIT 500
#define HEAP_KIB    64
/* For one match: the contexts, the match data and its frames, which PCRE2 starts at 20 KiB and doubles. */
#define CAGE_BYTES (96u * 1024u)

struct pattern {
    pcre2_code *code;
};

/* ---- compiling ---- */

static enum err refuse(const char *why, size_t offset, char *out_why, size_t cap, size_t *out_offset)
{
    snprintf(out_why, cap, "%s", why);
    *out_offset = offset;
    return ERR_INVALID;
}

/* "(*" begins a verb, with which a pattern can set its own limits or change what matching means; "(?C" a callout. */
static size_t find_forbidden(struct span text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.data[i] != '(')
            continue;
        if (text.data[i + 1] == '*')
            return i;
        if (text.data[i + 1] == '?' && i + 2 < text.len && text.data[i + 2] == 'C')
            return i;
    }
    return text.len;
}

static pcre2_code *compile(struct span text, int *error, PCRE2_SIZE *offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL)
        return NULL;
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    pcre2_set_max_pattern_length(context, PATTERN_BYTES_MAX);
    const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_CASELESS | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE | PCRE2_DOLLAR_ENDONLY;
    pcre2_code *code = pcre2_compile(text.data, text.len, options, error, offset, context);
    pcre2_compile_context_free(context);
    return code;
}

enum err pattern_compile(struct span text, struct pattern **out, char *out_why, size_t cap, size_t *out_offset)
{
    if (text.len == 0)
        return refuse("the pattern is empty", 0, out_why, cap, out_offset);
    if (text.len > PATTERN_BYTES_MAX)
        return refuse("the pattern is longer than 1024 bytes", 0, out_why, cap, out_offset);
    size_t forbidden = find_forbidden(text);
    if (forbidden < text.len)
        return refuse("verbs (*…) and callouts (?C…) are not allowed", forbidden, out_why, cap, out_offset);
    struct pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return ERR_NO_MEMORY;
    int error = 0;
    PCRE2_SIZE offset = 0;
    pattern->code = compile(text, &error, &offset);
    if (pattern->code == NULL) {
        free(pattern);
        if (error == 0)
            return ERR_NO_MEMORY;
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(error, message, sizeof message);
        return refuse((const char *)message, offset, out_why, cap, out_offset);
    }
    *out = pattern;
    return ERR_NONE;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

/* ---- matching: all that PCRE2 allocates comes out of one block on the stack ---- */

struct cage {
    size_t used;
    alignas(max_align_t) uint8_t bytes[CAGE_BYTES];
};

static void *cage_take(size_t size, void *arg)
{
    struct cage *cage = arg;
    const size_t align = alignof(max_align_t);
    if (size > CAGE_BYTES || CAGE_BYTES - cage->used < (size + align - 1) / align * align)
        return NULL;
    void *taken = cage->bytes + cage->used;
    cage->used += (size + align - 1) / align * align;
    return taken;
}

static void cage_drop(void *block, void *arg)
{
    (void)block;
    (void)arg; /* the whole cage goes when the match returns */
}

static int match_in(struct cage *cage, const struct pattern *pattern, const struct hostname *name)
{
    pcre2_general_context *general = pcre2_general_context_create(cage_take, cage_drop, cage);
    if (general == NULL)
        return PCRE2_ERROR_NOMEMORY;
    pcre2_match_context *context = pcre2_match_context_create(general);
    pcre2_match_data *data = pcre2_match_data_create(1, general);
    if (context == NULL || data == NULL)
        return PCRE2_ERROR_NOMEMORY;
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_depth_limit(context, DEPTH_LIMIT);
    pcre2_set_heap_limit(context, HEAP_KIB);
    return pcre2_match(pattern->code, (PCRE2_SPTR)name->bytes, name->len, 0, PCRE2_NO_JIT, data, context);
}

enum pattern_answer pattern_match(const struct pattern *pattern, const struct hostname *name)
{
    struct cage cage;
    cage.used = 0;
    int rc = match_in(&cage, pattern, name);
    if (rc == PCRE2_ERROR_NOMATCH)
        return PATTERN_NO;
    return rc >= 0 ? PATTERN_YES : PATTERN_ERROR;
}

const char *policy_pcre2_version(void)
{
    /* PCRE2 tells it only into memory of the caller's. */
    static _Thread_local char version[64];
    if (version[0] == '\0' && pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof version)
        pcre2_config(PCRE2_CONFIG_VERSION, version);
    return version;
}
