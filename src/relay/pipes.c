/* SPDX-License-Identifier: Apache-2.0 */
#include "pipes.h"

#include "base/assert.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool pipes_init(struct pipes *pipes, size_t limit)
{
    *pipes = (struct pipes){.limit = limit};
    pipes->spare = limit > 0 ? calloc(limit, sizeof *pipes->spare) : NULL;
    return limit == 0 || pipes->spare != NULL;
}

bool pipes_take(struct pipes *pipes, struct pipe_ends *out)
{
    if (pipes->spare_count > 0) {
        *out = pipes->spare[--pipes->spare_count];
        return true;
    }
    int fds[2];
    if (pipes->made == pipes->limit || pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    pipes->made++;
    *out = (struct pipe_ends){.read = fds[0], .write = fds[1]};
    return true;
}

void pipes_give(struct pipes *pipes, struct pipe_ends ends)
{
    ASSERT(pipes->spare_count < pipes->made);
    pipes->spare[pipes->spare_count++] = ends;
}

void pipes_discard(struct pipes *pipes, struct pipe_ends ends)
{
    ASSERT(pipes->made > 0);
    close(ends.read);
    close(ends.write);
    pipes->made--;
}
