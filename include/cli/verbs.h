/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs: one function a verb of the command line. argv[0] is the verb's full name ("sallyport run"); the result is the
 * exit status: 0 done, 1 failed (check: would not load; explain: denied), 64 wrong usage, 78 wrong configuration, and
 * what the verb's --help says beyond these.
 */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#define EXIT_USAGE  64
#define EXIT_CONFIG 78

/* Main thread, once a process. */
int verb_audit(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_env(int argc, char **argv);
int verb_nft(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_groups(int argc, char **argv);
int verb_health(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_reload(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_session(int argc, char **argv);
int verb_schema(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_version(int argc, char **argv);

#endif
