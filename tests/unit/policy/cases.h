/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cases: one question to one policy and its answer, as words. Columns that are NULL or empty are not asked:
 *
 *   policy     a text of policies.h
 *   door       connect, http, socks5, tls, plain; "http:PUT" with a method
 *   target     host:port
 *   addresses  what the resolver gave, separated by spaces; "own=ADDR:PORT" is a socket of this program
 *   hello      "sni=NAME", "no-sni", with "+ech"; "no-tls"; "silence"
 *   reason     name of the reason that must come; "allowed" for a yes
 *   rule       id of the rule that must have decided
 */
#ifndef TESTS_POLICY_CASES_H
#define TESTS_POLICY_CASES_H

#include "policy/policy.h"

struct policy_case {
    const char *policy, *door, *target, *addresses, *hello, *reason, *rule;
};

/* Loads a text that must load; fails the test with its findings otherwise. */
struct policy *case_load(const char *text);

void cases_run(const struct policy_case *rows, size_t count);

#define CASES_RUN(rows) cases_run((rows), sizeof(rows) / sizeof(rows)[0])

/* Loads a text that must not load; gives its findings (to be cleared). */
void case_refuse(const char *text, struct diag *out);

/* One fault: the text must not load, and among its errors is this code, in this line (0: any). */
struct policy_fault {
    const char *text, *code;
    uint32_t line;
};

void case_fault(const char *text, const char *code, uint32_t line);
void case_faults(const struct policy_fault *rows, size_t count);
bool case_found(const struct diag *diag, const char *code, uint32_t line);

/* A target from "host:port". */
struct target case_target(const char *text);

#endif
