/* SPDX-License-Identifier: Apache-2.0 */
/* The limits table. Rows: X(key, unit, default, smallest, largest, reason, sentence).
 * Units: MS (written as a duration), BYTES (written as a size), COUNT (written as a number). 0 as default: no limit. */
/* clang-format off */
X(wait_timeout,        MS,    60000,      1000,  3600000,  NONE,         "from accept to the first byte of a head, and between requests; closed and counted")
X(head_timeout,        MS,    10000,      100,   600000,   HEAD_TIME,    "from the first byte of a head to its end")
X(head_bytes,          BYTES, 65536,      1024,  1048576,  HEAD,         "whole request head")
X(header_lines,        COUNT, 100,        1,     100,      HEAD,         "field lines of a head")
X(target_bytes,        BYTES, 8192,       64,    65536,    URI,          "request target")
X(hello_timeout,       MS,    10000,      100,   600000,   HELLO_TIME,   "from our 200 to a complete TLS hello")
X(hello_raw_bytes,     BYTES, 65536,      1024,  65536,    HELLO_BIG,    "TLS records that carry the hello, as received")
X(hello_message_bytes, BYTES, 16384,      512,   65536,    HELLO_BIG,    "the reassembled TLS hello")
X(resolve_timeout,     MS,    5000,       50,    120000,   DNS_TIME,     "both address families of a name")
X(dial_timeout,        MS,    10000,      50,    300000,   CONNECT_TIME, "all addresses of a host together")
X(idle,                MS,    3600000,    1000,  604800000, IDLE,        "from the last byte in either direction")
X(lifetime,            MS,    86400000,   1000,  2678400000, LIFETIME,   "of a tunnel")
X(attempts_per_second, COUNT, 50,         1,     1000000,  RATE,         "attempts of the environment a second, on average")
X(attempts_burst,      COUNT, 2000,       1,     10000000, RATE,         "attempts of the environment above the average")
X(distinct_names_per_minute, COUNT, 1000, 1,     8192,     LIMIT,        "different names asked of the resolver")
X(bytes_up,            BYTES, 0,          1,     1152921504606846976, BYTES, "bytes from the client, for each session")
X(bytes_down,          BYTES, 0,          1,     1152921504606846976, BYTES, "bytes to the client, for each session")
X(tunnels,             COUNT, 0,          1,     1000000,  LIMIT,        "tunnels open at one time")
/* clang-format on */
