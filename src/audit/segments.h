/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segments: the files segments/<first index, 20 digits>.seg, and reading one batch by batch. A segment ends where the
 * next one begins: what a failed disk left behind that index in the older file is no part of the log.
 */
#ifndef AUDIT_SEGMENTS_H
#define AUDIT_SEGMENTS_H

#include "frame.h"

#define SEGMENT_NAME_LEN 24 /* 20 digits and ".seg" */

void segment_name(uint64_t first, char out[static SEGMENT_NAME_LEN + 1]);

struct segment_list {
    uint64_t *firsts; /* ascending */
    size_t count;
};

/* ERR_CORRUPT: something else lies there; its name goes to `odd`. */
MUST_CHECK enum err segment_list(int dir, struct segment_list *out, char *odd, size_t odd_cap);
void segment_list_free(struct segment_list *list);

struct segment_reader {
    int fd;
    uint64_t offset; /* of the next batch in the file */
    uint8_t *buffer;
    size_t at, have;
};

struct batch {
    struct span entries; /* valid until the next call */
    struct commit commit;
    uint64_t offset;
    size_t len;
};

enum segment_result {
    SEGMENT_BATCH,
    SEGMENT_END,    /* exactly behind a batch */
    SEGMENT_SHORT,  /* the file ends inside a batch */
    SEGMENT_BROKEN, /* no batch begins here, though there are bytes */
    SEGMENT_FAILED, /* errno */
};

MUST_CHECK enum err segment_open(int dir, uint64_t first, struct segment_reader *out);
void segment_close(struct segment_reader *r);
enum segment_result segment_next(struct segment_reader *r, struct batch *out);

/* True if a whole commit record lies anywhere behind the reader's place in the file. */
bool segment_has_commit_behind(struct segment_reader *r);
uint64_t segment_bytes_left(const struct segment_reader *r);

#endif
