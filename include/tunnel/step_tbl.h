/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an attempt. Rows: X(id, function, wakes, deadline, reason if the deadline passes, sentence).
 * deadline: L(key) a row of the limits table, F(ms) a fixed time, N none of its own.
 */
/* clang-format off */
X(WAIT,     step_wait,     "client readable, credit", L(wait_timeout),  NONE,       "credit for a pair of records before the first byte is read")
X(HEAD,     step_head,     "client readable",         L(head_timeout),  HEAD_TIME,  "strict parse of one request head")
X(IDENTIFY, step_identify, "",                        N,                NONE,       "environment and session of this client")
X(LIMIT,    step_limit,    "",                        N,                NONE,       "rate and connections of this environment, its share of credit")
X(HOLD,     step_hold,     "",                        F(1000),          RATE,       "held for being above the rate")
X(ASK,      step_ask,      "",                        N,                NONE,       "ask target: method, port, name or literal")
X(BUDGET,   step_budget,   "",                        N,                NONE,       "tunnels, descriptors and names of this environment")
X(ATTEMPT,  step_attempt,  "record durable, gate",    F(5000),          AUDIT,      "the attempt record is durable before anything leaves")
X(RESOLVE,  step_resolve,  "answer, credit",          N,                NONE,       "A and AAAA of the absolute name, with room for a record of each")
X(ADMIT,    step_admit,    "",                        N,                NONE,       "every answer checked, one forbidden refuses all")
X(DIAL,     step_dial,     "connection",              N,                NONE,       "connect to an admitted address and nothing else")
X(REPLY,    step_reply,    "client writable",         L(hello_timeout), CLIENT_RESET, "200 to the client")
X(HELLO,    step_hello,    "client readable",         L(hello_timeout), HELLO_TIME, "whole ClientHello, bounded, judged")
X(RELAY,    step_relay,    "either side",             L(idle),          IDLE,       "kept bytes first, then both lanes")
X(EXCHANGE, step_exchange, "either side",            L(idle),          IDLE,       "one plain HTTP request and its answer, streamed")
X(REFUSE,   step_refuse,   "record durable, gate",    F(5000),          NONE,       "a refusal waits until the attempt record is durable")
X(ANSWER,   step_answer,   "client writable",         F(5000),          NONE,       "the refusal is sent")
X(LINGER,   step_linger,   "client readable",         F(2000),          NONE,       "writing side shut, what still arrives is drained unparsed")
/* clang-format on */
