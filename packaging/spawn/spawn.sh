#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# One piece of work, one session, one sandbox without a network:
#
#   ant beta:worker poll --on-work packaging/spawn/spawn.sh
#
# Opens a session of the running proxy for ANTHROPIC_SESSION_ID in the environment that has ANTHROPIC_ENVIRONMENT_ID among
# its egress.environment_ids, starts the worker in a sandbox whose only way out is the session's socket, and closes the
# session when the worker has ended, however it ended. Exit status: the worker's; 64 wrong usage; 1 no session.
#
# The poller's standard input (the work item) is the worker's. Secrets are in the environment of the sandbox alone: no
# command line has them, nothing here prints them, and the proxy's own programs do not get them.
#
# What the host says, by the environment of the poller:
#   SALLYPORT_SANDBOX   docker (default) or bwrap
#   SALLYPORT_IMAGE     docker: the image, with the worker in it; needed
#   SALLYPORT_USER      docker: numeric uid of the worker (10002)
#   SALLYPORT_GROUP     group of the session's socket, numeric for docker; one of the proxy's own groups
#   SALLYPORT_WORKER    the command in the sandbox, split at blanks (ant beta:worker run --workdir /workspace)
#   SALLYPORT_BIND      bwrap: further paths to show, for reading, separated by blanks
#   SALLYPORT_PASS      names of further variables for the worker, separated by blanks
#   SALLYPORT_TTL       the session ends by itself after this time, should this script be killed (8h)
#   SALLYPORT_ADMIN     admin socket, unix:PATH (that of the running account)
#   SALLYPORT, SALLYPORT_RELAY, DOCKER, BWRAP   programs (sallyport, /usr/bin/sallyport-relay, docker, bwrap)
# shellcheck disable=SC2317 # functions that traps call, or that are called by a name that was put together
set -eu
umask 077
# Were they exported by somebody, they would go on to programs.
unset sandbox sallyport relay worker session passed child signalled opened answer directory binds bwrap group keep name \
    path verb status again

say() { printf 'spawn: %s\n' "$*" >&2; }
fail() { status=$1; shift; say "$*"; exit "$status"; }

for name in ANTHROPIC_SESSION_ID ANTHROPIC_WORK_ID ANTHROPIC_ENVIRONMENT_ID; do
    eval "value=\${$name:-}"
    # shellcheck disable=SC2154
    [ -n "$value" ] || fail 64 "$name is not set: this is a script for 'ant beta:worker poll --on-work'"
done
unset value

sandbox=${SALLYPORT_SANDBOX:-docker}
sallyport=${SALLYPORT:-sallyport}
relay=${SALLYPORT_RELAY:-/usr/bin/sallyport-relay}
worker=${SALLYPORT_WORKER:-ant beta:worker run --workdir /workspace}
session=$ANTHROPIC_SESSION_ID
# The ones that a worker reads, and no others: an API key or a signing key of the host stays here.
passed="ANTHROPIC_SESSION_ID ANTHROPIC_WORK_ID ANTHROPIC_ENVIRONMENT_ID ANTHROPIC_ENVIRONMENT_KEY ANTHROPIC_WORK_SECRET
ANTHROPIC_BASE_URL ${SALLYPORT_PASS:-}"
case $sandbox in
docker) [ -n "${SALLYPORT_IMAGE:-}" ] || fail 64 "SALLYPORT_IMAGE is not set" ;;
bwrap) [ "$(id -u)" != 0 ] || fail 64 "with bwrap, start the poller as an ordinary account" ;;
*) fail 64 "SALLYPORT_SANDBOX is docker or bwrap, not '$sandbox'" ;;
esac
case "$relay" in /*) ;; *) fail 64 "SALLYPORT_RELAY is an absolute path" ;; esac
[ -x "$relay" ] || fail 64 "there is no program $relay (SALLYPORT_RELAY)"

# The proxy's own program, without the secrets that stand in this environment.
control() {
    verb=$1
    shift
    env -i PATH="$PATH" HOME="${HOME:-/}" ${XDG_RUNTIME_DIR:+XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR"} \
        ${XDG_STATE_HOME:+XDG_STATE_HOME="$XDG_STATE_HOME"} "$sallyport" session "$verb" --session "$session" \
        ${SALLYPORT_ADMIN:+--admin "$SALLYPORT_ADMIN"} "$@"
}

child=
signalled=
opened=
finish() {
    trap '' TERM INT HUP
    if [ -n "$opened" ]; then
        opened=
        control close --now >/dev/null || say "session $session was not closed; it ends after its time"
    fi
}
# Docker and the relay in the container pass it on to the worker, whose status is waited for; bwrap ends its sandbox at
# once.
on_signal() {
    signalled=$1
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null || :
}
trap finish EXIT
trap 'on_signal TERM' TERM
trap 'on_signal INT' INT
trap 'on_signal HUP' HUP

answer=$(control open --environment "$ANTHROPIC_ENVIRONMENT_ID" --work "$ANTHROPIC_WORK_ID" \
    --ttl "${SALLYPORT_TTL:-8h}" ${SALLYPORT_GROUP:+--group "$SALLYPORT_GROUP"} --json </dev/null) ||
    fail 1 "no session for $session: the worker is not started"
opened=yes
directory=$(printf '%s' "$answer" | sed -n 's/.*"directory":"\([^"\\]*\)".*/\1/p')
case "$directory" in /*) ;; *) fail 1 "the answer of the proxy names no directory" ;; esac
case "$directory" in *,*) fail 1 "the session's directory has a comma in its name" ;; esac
[ -z "$signalled" ] || exit 143 # while it was opened: there is nothing to run any more

set_of() { eval "[ \"\${$1+set}\" = set ]"; }

in_docker() {
    # A name without a value: docker takes the value from its own environment, and no command line has it.
    for name in $passed; do
        if set_of "$name"; then set -- "$@" --env "$name"; fi
    done
    group=${SALLYPORT_GROUP:-$(stat -c %g "$directory")}
    # shellcheck disable=SC2086
    exec "${DOCKER:-docker}" run --rm --interactive --name "sallyport-$session" \
        --network none --cap-drop ALL --security-opt no-new-privileges --read-only \
        --user "${SALLYPORT_USER:-10002}:$group" --pids-limit 1024 --ipc private \
        --tmpfs /tmp:rw,nosuid,nodev,mode=1777 --tmpfs /workspace:rw,exec,nosuid,nodev,mode=1777 --workdir /workspace \
        --mount "type=bind,source=$directory,target=/run/sallyport,readonly" \
        --mount "type=bind,source=$relay,target=/usr/local/bin/sallyport-relay,readonly" \
        --env HOME=/tmp "$@" --entrypoint /usr/local/bin/sallyport-relay "$SALLYPORT_IMAGE" \
        --to unix:/run/sallyport/proxy.sock --env -- $worker
}

in_bwrap() {
    keep=" PATH LANG LC_ALL TZ $(printf %s "$passed" | tr '\n' ' ') "
    # shellcheck disable=SC2013 # names without blanks; by awk, since a value may have lines that look like variables.
    for name in $(awk 'BEGIN { for (name in ENVIRON) if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print name }'); do
        case "$keep" in *" $name "*) ;; *) unset "$name" 2>/dev/null || : ;; esac
    done
    for path in /etc/ssl /etc/alternatives /etc/passwd /etc/group /etc/nsswitch.conf $binds; do
        set -- "$@" --ro-bind-try "$path" "$path"
    done
    # shellcheck disable=SC2086
    exec "$bwrap" --unshare-all --unshare-user --disable-userns --die-with-parent --new-session --cap-drop ALL \
        --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib \
        --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --dir /workspace "$@" \
        --ro-bind "$directory" /run/sallyport --ro-bind "$relay" /run/sallyport-relay \
        --tmpfs /workspace --remount-ro / --chdir /workspace --setenv HOME /tmp --setenv PATH /usr/local/bin:/usr/bin:/bin \
        -- /run/sallyport-relay --to unix:/run/sallyport/proxy.sock --env -- $worker
}
binds=${SALLYPORT_BIND:-}
bwrap=${BWRAP:-bwrap}

# In the background a shell would give it /dev/null to read.
exec 3<&0
(
    trap - EXIT TERM INT HUP
    "in_$sandbox"
) <&3 3<&- &
child=$!
exec 3<&-
# A signal that came before there was a child to send it to.
[ -z "$signalled" ] || kill -s "$signalled" "$child" 2>/dev/null || :
signalled=
status=0
wait "$child" || status=$?
# A trapped signal ends the waiting, not the child; 127: it had ended just then.
while [ -n "$signalled" ]; do
    signalled=
    again=0
    wait "$child" || again=$?
    [ "$again" = 127 ] || status=$again
done
exit "$status"
