/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an agent definition: YAML, or Markdown when it begins with '-'. It is read or says why, and a URL of it
 * that opens something is a host and port that the parser of targets takes. */
#include "agent_file.h"
#include "arena.h"

#include "fuzz_check.h"

static void take_url(void *arg, struct node *url)
{
    size_t *count = arg;
    struct target target = {0};
    (*count)++;
    if (mcp_url_parse(url->text, &target) != NULL)
        return;
    char text[TARGET_TEXT_MAX];
    struct target again;
    CHECK(target.kind != TARGET_NONE && target.port != 0);
    target_format(&target, text);
    CHECK(target_parse_authority(span_text(text), &again) == ERR_NONE);
    CHECK(target_same_host(&target, &again) && again.port == target.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena trees = {0};
    struct diag diag;
    bool memory = false;
    size_t urls = 0;
    diag_init(&diag);
    const char *path = size > 0 && data[0] == '-' ? "/nonexistent/agent.md" : "/nonexistent/agent.yaml";
    const struct node *root = agent_tree(&trees, path, span_make(data, size), &diag, &memory);
    CHECK(!memory);
    CHECK(root != NULL || diag.errors > 0);
    if (root != NULL)
        agent_urls(root, take_url, &urls);
    CHECK(urls <= size);
    arena_clear(&trees);
    diag_clear(&diag);
    return 0;
}
