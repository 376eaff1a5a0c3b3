/* SPDX-License-Identifier: Apache-2.0 */
/* The limits table. Rows: X(key, unit, scope, default, smallest, largest, reason, sentence).
 * Units: MS (written as a duration), BYTES (written as a size), COUNT (written as a number),
 * PERCENT (written as a number and %). 0 as default: no limit, or what the sentence says.
 * Scope: SESSION rows may be given to one session too, smaller than its environment has them; ENVIRONMENT rows count
 * all of an environment together. Each row has a counter of its name: how often it was reached. */
/* clang-format off */
X(wait_timeout,        MS,    SESSION,     60000,      1000,  3600000,  NONE,         "from accept to the first byte of a head, and between requests; closed and counted")
X(head_timeout,        MS,    SESSION,     10000,      100,   600000,   HEAD_TIME,    "from the first byte of a head to its end")
X(head_bytes,          BYTES, SESSION,     65536,      1024,  1048576,  HEAD,         "whole request head")
X(header_lines,        COUNT, SESSION,     100,        1,     100,      HEAD,         "field lines of a head")
X(target_bytes,        BYTES, SESSION,     8192,       64,    65536,    URI,          "request target")
X(hello_timeout,       MS,    SESSION,     10000,      100,   600000,   HELLO_TIME,   "from our 200 to a complete TLS hello")
X(hello_raw_bytes,     BYTES, SESSION,     65536,      1024,  65536,    HELLO_BIG,    "TLS records that carry the hello, as received")
X(hello_message_bytes, BYTES, SESSION,     16384,      512,   65536,    HELLO_BIG,    "the reassembled TLS hello")
X(resolve_timeout,     MS,    SESSION,     5000,       50,    120000,   DNS_TIME,     "both address families of a name")
X(dial_timeout,        MS,    SESSION,     10000,      50,    300000,   CONNECT_TIME, "all addresses of a host together")
X(idle,                MS,    SESSION,     3600000,    1000,  604800000, IDLE,        "from the last byte in either direction")
X(lifetime,            MS,    SESSION,     86400000,   1000,  2678400000, LIFETIME,   "of a tunnel")
X(share,               PERCENT, ENVIRONMENT, 0,        1,     100,      LIMIT,        "most of the process's descriptors, memory, lookups and audit credit; unset: half, or all where only one environment is configured")
X(attempts_per_second, COUNT, SESSION,     50,         1,     1000000,  RATE,         "attempts of the environment a second, on average; a session may have a rate of its own beside it")
X(attempts_burst,      COUNT, SESSION,     2000,       1,     10000000, RATE,         "attempts of the environment above the average")
X(unfinished_per_second, COUNT, SESSION,   500,        1,     1000000,  NONE,         "connections a second, on average, that end without a whole head, only ask for a page, are turned away, or are above the rate of attempts; above it fewer are accepted at a time")
X(unfinished_burst,    COUNT, SESSION,     1000,       1,     10000000, NONE,         "such connections above the average")
X(memory,              BYTES, ENVIRONMENT, 0,          65536, 1152921504606846976, LIMIT, "memory that connections of the environment make the process hold; unset: its share of the process's")
X(distinct_names_per_minute, COUNT, ENVIRONMENT, 1000, 1,     8192,     LIMIT,        "different names asked of the resolver")
X(denials_per_minute,  COUNT, SESSION,     0,          1,     1000000,  RATE,         "refusals of a session a minute; one more is an alert, and begins the quarantine if there is one")
X(quarantine,          MS,    ENVIRONMENT, 0,          1000,  86400000, RATE,         "how long a session above denials_per_minute is refused everything")
X(bytes_up,            BYTES, SESSION,     0,          1,     1152921504606846976, BYTES, "bytes from the client, for each session")
X(bytes_down,          BYTES, SESSION,     0,          1,     1152921504606846976, BYTES, "bytes to the client, for each session")
X(tunnels,             COUNT, SESSION,     0,          1,     1000000,  LIMIT,        "tunnels open at one time")
/* clang-format on */
