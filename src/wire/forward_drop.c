/* SPDX-License-Identifier: Apache-2.0 */
#include "forward_drop.h"

/* FNV-1a over the name as servers may read it: look-alikes share a hash. */
static uint64_t hash_name(struct span name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    name = field_core(name);
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ field_folded(name.data[i])) * UINT64_C(0x100000001b3);
    return hash;
}

/* The first place whose hash is not below this one, or `count`. */
static size_t place_of(const struct nominated *n, uint64_t hash)
{
    size_t low = 0;
    size_t high = n->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (n->hash[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_name(struct nominated *n, struct span name)
{
    uint64_t hash = hash_name(name);
    size_t at = place_of(n, hash);
    memmove(n->hash + at + 1, n->hash + at, (n->count - at) * sizeof n->hash[0]);
    n->hash[at] = hash;
    n->marked[n->count++] = false;
}

static void mark_options(struct nominated *n, struct span value)
{
    struct span option;
    while (field_next_element(&value, &option)) {
        if (option.len == 0) /* a list may have empty elements (RFC 9110 5.6.1) */
            continue;
        uint64_t hash = hash_name(option);
        size_t at = place_of(n, hash);
        if (at < n->count && n->hash[at] == hash)
            n->marked[at] = true;
    }
}

void nominated_read(struct nominated *n, struct fields fields)
{
    n->count = 0;
    if (fields_find(fields, "connection") == NULL)
        return;
    for (size_t i = 0; i < fields.count; i++)
        add_name(n, fields.headers[i].name);
    for (size_t i = 0; i < fields.count; i++)
        if (span_equal_fold(fields.headers[i].name, span_text("connection")))
            mark_options(n, fields.headers[i].value);
}

bool nominated_has(const struct nominated *n, struct span name)
{
    if (n->count == 0)
        return false;
    uint64_t hash = hash_name(name);
    size_t at = place_of(n, hash);
    return at < n->count && n->hash[at] == hash && n->marked[at];
}

/* One group a first letter: it tells most fields of a head. */
struct group {
    char first;
    const char *fields[5]; /* up to NULL */
};

static bool reads_as_one_of(struct span name, const struct group *groups, size_t count)
{
    uint8_t first = name.len > 0 ? field_folded(name.data[0]) : '-';
    for (size_t i = 0; i < count; i++) {
        if (first != '-' && first != (uint8_t)groups[i].first) /* separators in front are looked behind */
            continue;
        for (const char *const *field = groups[i].fields; *field != NULL; field++)
            if (field_reads_as_slowly(name, *field))
                return true;
    }
    return false;
}

bool drop_from_both(struct span name)
{
    static const struct group groups[] = {
        {'c', {"connection", "content-length"}                                                              },
        {'h', {"http2-settings"}                                                                            },
        {'k', {"keep-alive"}                                                                                },
        {'p', {"proxy-connection", "proxy-authenticate", "proxy-authorization", "proxy-authentication-info"}},
        {'t', {"te", "trailer", "transfer-encoding"}                                                        },
        {'u', {"upgrade"}                                                                                   },
    };
    return reads_as_one_of(name, groups, sizeof groups / sizeof groups[0]);
}

static bool is_x_forwarded(struct span name)
{
    struct span prefix = span_text("x-forwarded-");
    struct span core = field_core(name);
    return core.len > prefix.len && field_reads_as(span_first(core, prefix.len - 1), "x-forwarded") &&
           field_folded(core.data[prefix.len - 1]) == '-';
}

bool drop_from_request(struct span name)
{
    static const struct group groups[] = {
        {'e', {"expect"}                  },
        {'f', {"forwarded"}               },
        {'h', {"host"}                    },
        {'x', {"x-forwarded", "x-real-ip"}},
    };
    uint8_t first = name.len > 0 ? field_folded(name.data[0]) : '-';
    if ((first == '-' || first == 'x') && is_x_forwarded(name))
        return true;
    return reads_as_one_of(name, groups, sizeof groups / sizeof groups[0]);
}
