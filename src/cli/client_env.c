/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client_env.h"

static const struct client_env_row rows[] = {
#define X(kind, name, value, who, why) {CLIENT_ENV_##kind, name, value, who, why},
#include "cli/client_env_tbl.h"
#undef X
};

const struct client_env_row *client_env_row(size_t index)
{
    return index < sizeof rows / sizeof rows[0] ? &rows[index] : NULL;
}

struct fill {
    const char *place;
    struct span value;
};

/* Length of the place at the beginning of `text`, or 0. */
static size_t fill_place(struct outbuf *out, const char *text, const struct client_env_facts *facts)
{
    const struct fill fills[] = {
        {"{url}",    facts->url   },
        {"{host}",   facts->host  },
        {"{port}",   facts->port  },
        {"{ca}",     facts->ca    },
        {"{bundle}", facts->bundle},
    };
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        size_t len = strlen(fills[i].place);
        if (strncmp(text, fills[i].place, len) != 0)
            continue;
        outbuf_span(out, fills[i].value);
        return len;
    }
    return 0;
}

void client_env_fill(struct outbuf *out, const char *text, const struct client_env_facts *facts)
{
    while (*text != '\0') {
        size_t len = *text == '{' ? fill_place(out, text, facts) : 0;
        if (len == 0)
            outbuf_char(out, *text++);
        text += len;
    }
}
