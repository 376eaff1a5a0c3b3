/* SPDX-License-Identifier: Apache-2.0 */
/* explain: what is asked, and what was answered; explain_args.c reads the one, explain_say.c prints the other. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "explain_open.h"
#include "explain_session.h"

#define EXPLAIN_OWN_MAX 16

struct explain {
    const char *policy_path, *egress_path, *catalogue_path, *config_path, *environment, *host, *audit_dir;
    const struct catalogue *catalogue;
    const struct policy_sources *sources; /* of the policy that is asked */
    const char *request;                  /* the id of one that the log holds */
    const struct session_then *session;   /* of that request; NULL: none, and nothing was denied as a whole */
    int64_t at_ms;                        /* when it was asked; whether the policy observes depends on it */
    struct narrowing *narrowing;          /* what it left; NULL: everything */
    enum door door;
    enum method method;
    struct ipaddr addresses[ADMITTED_MAX];
    size_t address_count;
    struct own_socket own[EXPLAIN_OWN_MAX];
    size_t own_count;
    bool asks_hello, asks_method, has_sni, no_sni, json;
    enum first_bytes first;
    struct hello hello;
};

/* What was decided, stage by stage; the first refusal ends it. */
struct answer {
    struct decision decision;
    const struct ipaddr *address; /* that decided a refusal */
    bool address_asked, hello_asked;
};

/* Fills *out from the command line; ends the program with EXIT_USAGE where that is wrong. */
void explain_args(int argc, char **argv, struct explain *out);
const char *explain_door(enum door door);
void explain_set_method(struct explain *e, const char *word);
bool explain_is_http(enum door door);

void explain_print(const struct explain *e, const struct target *target, const struct policy *policy,
                   const struct answer *a);
void explain_json(const struct explain *e, const struct target *target, const struct policy *policy,
                  const struct answer *a, const struct opening_case *c, const struct opening *opening);

#endif
