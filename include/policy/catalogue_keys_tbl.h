/* SPDX-License-Identifier: Apache-2.0 */
/* A catalogue of package managers' hosts. Rows: X(path, type, scope, words of a choice, default in words ("" if
 * required), sentence). `group` is each value under `groups`, `group.hosts[]` each map in its `hosts`. */
/* clang-format off */
X("version", STRING, CATALOGUE, "", "", "what records and explain call this edition; in quotes if it reads as a number")
X("date", STRING, CATALOGUE, "", "none", "when it was made, in quotes")
X("extends", CHOICE, CATALOGUE, "builtin", "none", "builtin: the built-in groups that have no namesake here count as well")
X("groups", FREE, CATALOGUE, "", "", "the groups by their names")
X("group.ecosystem", STRING, CATALOGUE, "", "none", "what it belongs to")
X("group.tier", CHOICE, CATALOGUE, "1 2", "", "1: the hosts serve downloads alone; 2: the same host takes reads and writes")
X("group.modes", STRINGS, CATALOGUE, "", "[]", "modes of egress.package_managers that open it: compat, read_only")
X("group.managers", STRINGS, CATALOGUE, "", "[]", "keys of config.packages that mode declared reads")
X("group.source", STRING, CATALOGUE, "", "none", "where it was read")
X("group.date", STRING, CATALOGUE, "", "none", "when it was last looked at, in quotes")
X("group.why", STRING, CATALOGUE, "", "", "what should be known before it is opened")
X("group.hosts", FREE, CATALOGUE, "", "", "names and *. patterns, or maps with a host and what differs from the group")
X("group.hosts[].host", STRING, CATALOGUE, "", "", "name or *. pattern")
X("group.hosts[].modes", STRINGS, CATALOGUE, "", "those of the group", "as for the group")
X("group.hosts[].source", STRING, CATALOGUE, "", "that of the group", "as for the group")
X("group.hosts[].except", STRINGS, CATALOGUE, "", "[]", "what the pattern does not cover: a name, a *. pattern, or one label right below its domain and everything below that")
/* clang-format on */
