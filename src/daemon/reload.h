/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload: from files to a book that is in force. A load is made whole before anything of it counts: one file that is
 * wrong refuses it, and what was in force stays.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "internal.h"

/* A file that was read, whatever became of it. */
struct read_file {
    char *path; /* heap */
    const char *kind;
    uint8_t sha256[32];
};

struct load {
    struct load_cause cause;
    struct config *config;  /* its own, or the one of the start */
    struct book *book;      /* NULL: refused */
    struct files files;     /* that were read, and those that could not be */
    size_t failed;          /* environments that do not load */
    struct finding first;   /* the first error; code NULL: none */
    struct read_file *read; /* heap; kept beside the log when the load is refused */
    size_t read_count;
    size_t kept; /* environments whose object did not change */
};

/* The configuration alone, then everything else. Errors were logged; `load` is to be cleared in every case. */
MUST_CHECK enum err load_config(struct daemon *daemon, struct load *load);
MUST_CHECK enum err load_book(struct daemon *daemon, struct load *load);
void load_clear(struct daemon *daemon, struct load *load);

/* Puts it into force and takes over its book, configuration and files. While the program runs, its records are made
 * durable before that, unless the gate is closed. */
void load_apply(struct daemon *daemon, struct load *load);
/* Says that it is refused. */
void load_refuse(struct daemon *daemon, const struct load *load);

/* config_check.c: two environments that share a name or an id. */
void load_say_clash(struct diag *diag, const struct config *config, struct policy *const *policies);

/* ---- reload_refused.c ---- */
#define REFUSED_FILES_MAX 256 /* that are kept of one load; each costs a write that is made durable */
/* A policy_read_fn: `arg` is the load. */
void load_note_read(void *arg, const struct policy_file *file);
void load_forget_read(struct load *load);
/* An entry for each file of a load that is refused and that is not in force, before that of the refusal. */
void load_record_read(struct daemon *daemon, const struct load *load);

/* ---- reload_files.c ---- */
/* Texts that this load has kept already. */
struct kept_texts {
    uint8_t (*hashes)[32]; /* heap */
    size_t count;
};
/* Beside the log, unless this load has done so; false, after a line of the program's log: its text is not what was
 * read. */
bool load_keep_file(struct daemon *daemon, const struct policy_file *file, struct kept_texts *kept);
/* An entry for each file that has a text of its own, before the policy's. */
void load_record_files(struct daemon *daemon, const struct policy *policy, uint64_t generation,
                       struct kept_texts *kept);
/* The same of a ceiling, for the configuration with this hash. */
void load_record_ceiling(struct daemon *daemon, const struct policy *ceiling, const char *config_id,
                         uint64_t generation, struct kept_texts *kept);

/* ---- reload_record.c ---- */
/* What is new in it, compared with `before` (NULL: everything). */
void load_record(struct daemon *daemon, const struct load *load, const struct book *before);
void load_record_refused(struct daemon *daemon, const struct load *load);

#endif
