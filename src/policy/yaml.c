/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include "base/assert.h"
#include "policy/policy.h"

#include <yaml.h>

struct level {
    struct node *node;
    struct span key; /* waiting for its value, in a map */
    uint32_t key_line, key_column;
    bool has_key;
};

struct reader {
    struct arena *arena;
    const char *file;
    struct diag *diag;
    uint32_t line_base;
    struct node *root;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth;
    uint32_t nodes;
    bool invalid; /* a finding that lets reading go on */
    bool fatal;   /* one that does not */
    bool memory;
};

static uint32_t line_of(const struct reader *r, yaml_mark_t mark)
{
    return (uint32_t)mark.line + r->line_base;
}

static uint32_t column_of(yaml_mark_t mark)
{
    return (uint32_t)mark.column + 1;
}

static void refuse(struct reader *r, const char *code, yaml_mark_t mark, const char *message, const char *fix)
{
    struct finding *f =
        diag_add(r->diag, SEVERITY_ERROR, code, r->file, line_of(r, mark), column_of(mark), "%s", message);
    diag_fix(f, "%s", fix);
    r->fatal = true;
}

/* ---- before libyaml sees a byte ---- */

/* Length of the UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates), or 0; its code point. */
static size_t utf8_at(struct span text, size_t at, uint32_t *out_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t c = text.data[at];
    size_t len = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
    if (len == 0 || text.len - at < len)
        return 0;
    uint32_t code = len == 1 ? c : c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((text.data[at + i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text.data[at + i] & 0x3fu);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *out_code = code;
    return len;
}

static const char *bad_code(uint32_t code, bool first)
{
    if (code == 0xfeff)
        return first ? "the file begins with a byte order mark" : "a byte order mark inside the text";
    if (code < 0x20 && code != '\n' && code != '\r' && code != '\t')
        return "a control character";
    if (code == 0x7f || (code >= 0x80 && code < 0xa0))
        return "a control character";
    if (code == 0x2028 || code == 0x2029)
        return "a Unicode line separator";
    return NULL;
}

/* How many bytes from `at` on are printable ASCII: nearly all of a policy, so eight are looked at together. */
static size_t plain_run(struct span text, size_t at)
{
    const uint64_t ones = UINT64_MAX / 255, highs = ones * 0x80;
    size_t end = at;
    for (uint64_t word; text.len - end >= sizeof word; end += sizeof word) {
        memcpy(&word, text.data + end, sizeof word);
        uint64_t low = (word - ones * 0x20) & ~word;   /* below 0x20, as long as no byte is above 0x7f */
        uint64_t delete = (word ^ ones * 0x7f) - ones; /* 0x7f itself */
        if (((word | low | delete) & highs) != 0)
            break;
    }
    while (end < text.len && text.data[end] >= 0x20 && text.data[end] < 0x7f)
        end++;
    return end - at;
}

/* NULL if every byte may stand in a policy; else what is wrong and where. */
static const char *bad_text(struct span text, uint32_t *line, uint32_t *column)
{
    for (size_t at = 0; at < text.len;) {
        size_t run = plain_run(text, at);
        at += run;
        *column += (uint32_t)run;
        if (at == text.len)
            break;
        uint32_t code = 0;
        size_t len = utf8_at(text, at, &code);
        if (len == 0)
            return "the text is not valid UTF-8";
        const char *problem = bad_code(code, at == 0);
        if (problem == NULL && code == '\r' && (at + 1 >= text.len || text.data[at + 1] != '\n'))
            problem = "a carriage return that does not belong to a line end";
        if (problem != NULL)
            return problem;
        *line += code == '\n';
        *column = code == '\n' ? 1 : *column + 1;
        at += len;
    }
    return NULL;
}

static bool text_is_good(struct reader *r, struct span text)
{
    if (text.len > YAML_BYTES_MAX) {
        struct finding *f = diag_add(r->diag, SEVERITY_ERROR, "too_big", r->file, 0, 0,
                                     "the file has %zu bytes, more than the %u allowed", text.len, YAML_BYTES_MAX);
        diag_fix(f, "put long lists of hosts into files named by egress.allowed_host_files or egress.blocklist");
        return false;
    }
    uint32_t line = r->line_base, column = 1;
    const char *problem = bad_text(text, &line, &column);
    if (problem == NULL)
        return true;
    struct finding *f = diag_add(r->diag, SEVERITY_ERROR, "encoding", r->file, line, column, "%s", problem);
    diag_fix(f, "save the file as UTF-8 without a byte order mark and without control characters");
    return false;
}

/* ---- events into nodes ---- */

static struct node *new_node(struct reader *r, enum node_kind kind, yaml_mark_t mark)
{
    if (++r->nodes > YAML_NODES_MAX) {
        refuse(r, "too_many_nodes", mark, "the file has too many entries",
               "put long lists of hosts into files named by egress.allowed_host_files or egress.blocklist");
        return NULL;
    }
    struct node *node = arena_take(r->arena, sizeof *node);
    if (node == NULL) {
        r->memory = true;
        return NULL;
    }
    node->kind = kind;
    node->line = node->end_line = line_of(r, mark);
    node->column = node->end_column = column_of(mark);
    return node;
}

static bool is_duplicate(struct reader *r, const struct level *top)
{
    for (const struct node *other = top->node->first; other != NULL; other = other->next) {
        if (!span_equal(other->key, top->key))
            continue;
        struct finding *f = diag_add(r->diag, SEVERITY_ERROR, "duplicate_key", r->file, top->key_line, top->key_column,
                                     "the key '%.*s' stands here a second time, first in line %u", (int)top->key.len,
                                     (const char *)top->key.data, other->key_line);
        diag_fix(f, "keep one of the two");
        r->invalid = true;
        return true;
    }
    return false;
}

/* Hangs a new node under the innermost open container. */
static void attach(struct reader *r, struct node *node)
{
    if (r->depth == 0) {
        r->root = node;
        return;
    }
    struct level *top = &r->levels[r->depth - 1];
    if (top->node->kind == NODE_MAP) {
        node->key = top->key;
        node->key_line = top->key_line;
        node->key_column = top->key_column;
        top->has_key = false;
        if (is_duplicate(r, top))
            return; /* read to its end, but not part of the tree */
    }
    if (top->node->last == NULL)
        top->node->first = node;
    else
        top->node->last->next = node;
    top->node->last = node;
    top->node->count++;
}

static bool wants_key(const struct reader *r)
{
    if (r->depth == 0)
        return false;
    const struct level *top = &r->levels[r->depth - 1];
    ASSERT(top->node != NULL);
    return top->node->kind == NODE_MAP && !top->has_key;
}

static bool has_decoration(struct reader *r, const yaml_event_t *event, const yaml_char_t *anchor,
                           const yaml_char_t *tag)
{
    if (anchor != NULL)
        refuse(r, "anchor", event->start_mark, "anchors (&name) are not part of a policy",
               "write the value out where it is needed");
    else if (tag != NULL)
        refuse(r, "tag", event->start_mark, "tags (!name) are not part of a policy", "remove the tag");
    return anchor != NULL || tag != NULL;
}

static void on_open(struct reader *r, const yaml_event_t *event, enum node_kind kind)
{
    if (wants_key(r)) {
        refuse(r, "key", event->start_mark, "a key is one word, not a list or a map", "check the indentation");
        return;
    }
    if (r->depth == YAML_DEPTH_MAX) {
        refuse(r, "depth", event->start_mark, "lists and maps are nested more than 16 deep", "flatten them");
        return;
    }
    struct node *node = new_node(r, kind, event->start_mark);
    if (node == NULL)
        return;
    attach(r, node);
    r->levels[r->depth++] = (struct level){.node = node};
}

static void on_key(struct reader *r, const yaml_event_t *event, struct span text)
{
    struct level *top = &r->levels[r->depth - 1];
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && span_is(text, "<<")) {
        refuse(r, "merge_key", event->start_mark, "merge keys (<<) are not part of a policy", "write the keys out");
        return;
    }
    if (top->node->count >= YAML_MAP_KEYS_MAX) {
        refuse(r, "too_many_keys", event->start_mark, "the map has more than 256 keys", "remove keys");
        return;
    }
    top->key = arena_copy(r->arena, text);
    r->memory |= top->key.data == NULL;
    top->key_line = line_of(r, event->start_mark);
    top->key_column = column_of(event->start_mark);
    top->has_key = true;
}

static void on_scalar(struct reader *r, const yaml_event_t *event)
{
    struct span text = span_make(event->data.scalar.value, event->data.scalar.length);
    uint32_t line = 0, column = 0;
    /* Escapes in double quotes, and they alone, can make what the file itself may not hold. */
    if (event->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE && bad_text(text, &line, &column) != NULL) {
        refuse(r, "control_character", event->start_mark, "an escape makes a control character", "remove the escape");
        return;
    }
    if (wants_key(r)) {
        on_key(r, event, text);
        return;
    }
    struct node *node = new_node(r, NODE_SCALAR, event->start_mark);
    if (node == NULL)
        return;
    node->text = arena_copy(r->arena, text);
    r->memory |= node->text.data == NULL;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    attach(r, node);
}

static void on_close(struct reader *r, const yaml_event_t *event)
{
    struct node *node = r->levels[--r->depth].node;
    ASSERT(node != NULL);
    node->end_line = line_of(r, event->end_mark);
    node->end_column = column_of(event->end_mark);
}

static void on_document(struct reader *r, const yaml_event_t *event)
{
    if (r->root != NULL)
        refuse(r, "second_document", event->start_mark, "a second document begins here", "one file holds one document");
    else if (event->data.document_start.version_directive != NULL ||
             event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
        refuse(r, "directive", event->start_mark, "directives (%) are not part of a policy", "remove the line");
}

static void on_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        on_document(r, event);
        break;
    case YAML_ALIAS_EVENT:
        refuse(r, "alias", event->start_mark, "aliases (*name) are not part of a policy",
               "write the value out; a host pattern that begins with '*' must stand in quotes");
        break;
    case YAML_SCALAR_EVENT:
        if (!has_decoration(r, event, event->data.scalar.anchor, event->data.scalar.tag))
            on_scalar(r, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (!has_decoration(r, event, event->data.sequence_start.anchor, event->data.sequence_start.tag))
            on_open(r, event, NODE_LIST);
        break;
    case YAML_MAPPING_START_EVENT:
        if (!has_decoration(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag))
            on_open(r, event, NODE_MAP);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(r, event);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

static void say_syntax(struct reader *r, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        r->memory = true;
        return;
    }
    const char *problem = parser->problem != NULL ? parser->problem : "the text is not YAML";
    yaml_mark_t mark = parser->problem_mark;
    struct finding *f =
        diag_add(r->diag, SEVERITY_ERROR, "syntax", r->file, line_of(r, mark), column_of(mark), "%s%s%s",
                 parser->context != NULL ? parser->context : "", parser->context != NULL ? ": " : "", problem);
    diag_fix(f, "%s",
             strstr(problem, "alphabetic or numeric") != NULL || strstr(problem, "alphabetical or numerical") != NULL
                 ? "a host pattern that begins with '*' must stand in quotes"
                 : "check quotes, brackets and indentation; tabs do not indent");
    r->fatal = true;
}

static void read_events(struct reader *r, yaml_parser_t *parser)
{
    for (bool done = false; !done && !r->fatal && !r->memory;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            say_syntax(r, parser);
            return;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        on_event(r, &event);
        yaml_event_delete(&event);
    }
}

enum err yaml_read(struct arena *arena, const char *file, struct span text, uint32_t first_line, struct diag *diag,
                   struct node **out)
{
    struct reader r = {.arena = arena, .file = file, .diag = diag, .line_base = first_line};
    *out = NULL;
    if (!text_is_good(&r, text))
        return ERR_INVALID;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return ERR_NO_MEMORY;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data, text.len);
    read_events(&r, &parser);
    yaml_parser_delete(&parser);
    if (r.memory)
        return ERR_NO_MEMORY;
    if (r.fatal)
        return ERR_INVALID;
    if (r.root == NULL) {
        struct finding *f = diag_add(diag, SEVERITY_ERROR, "empty", file, 0, 0, "the file says nothing");
        diag_fix(f, "a policy needs at least a name and config.networking.type");
        return ERR_INVALID;
    }
    *out = r.root;
    return r.invalid ? ERR_INVALID : ERR_NONE;
}

const char *policy_yaml_version(void)
{
    return yaml_get_version_string();
}
