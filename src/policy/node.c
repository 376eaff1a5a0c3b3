/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

struct node *node_get(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP || map->bad)
        return NULL;
    for (struct node *child = map->first; child != NULL; child = child->next)
        if (span_is(child->key, key))
            return child->bad ? NULL : child;
    return NULL;
}

static bool one_of(struct span text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (span_equal_fold(text, span_text(*words)))
            return true;
    return false;
}

static bool digits_or(struct span text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if ((c < '0' || c > '9') && (c == 0 || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

/* At most one dot: with two it is a dotted quad or a name, which no YAML schema takes for a number. */
static bool is_number(struct span text)
{
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = span_from(text, 1);
    if (text.len == 0)
        return false;
    if (text.len > 2 && text.data[0] == '0' && strchr("xXoObB", text.data[1]) != NULL)
        return digits_or(span_from(text, 2), "abcdefABCDEF_");
    size_t dots = 0, digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        dots += text.data[i] == '.';
        digits += text.data[i] >= '0' && text.data[i] <= '9';
    }
    bool starts = (text.data[0] >= '0' && text.data[0] <= '9') || text.data[0] == '.';
    return starts && digits > 0 && dots <= 1 && digits_or(text, "._eE+-");
}

/* YAML 1.1 reads 22:30 and 190:20:30 as numbers of base sixty. */
static bool is_sexagesimal(struct span text)
{
    size_t colons = 0;
    for (size_t i = 0; i < text.len; i++)
        colons += text.data[i] == ':';
    return colons > 0 && text.data[0] >= '0' && text.data[0] <= '9' && text.data[text.len - 1] != ':' &&
           digits_or(text, ":._") && span_find(text, ':') < 4;
}

static bool is_date(struct span text)
{
    return text.len >= 8 && digits_or(span_first(text, 4), "") && text.data[4] == '-' && digits_or(text, "-:.TtZz +");
}

bool node_is_implicit(struct span text)
{
    static const char *const words[] = {"~", "null", "true", "false", "yes",   "no", "on", "off", "y",
                                        "n", ".nan", ".inf", "+.inf", "-.inf", "<<", "=",  NULL};
    /* Most are host names: longer than each word, and they begin as no number and no date does. */
    if (text.len > 5 && ((text.data[0] | 0x20) >= 'a' && (text.data[0] | 0x20) <= 'z'))
        return false;
    return text.len == 0 || one_of(text, words) || is_number(text) || is_sexagesimal(text) || is_date(text);
}

bool node_is_null(const struct node *node)
{
    static const char *const words[] = {"~", "null", NULL};
    return node->kind == NODE_SCALAR && node->plain && (node->text.len == 0 || one_of(node->text, words));
}
