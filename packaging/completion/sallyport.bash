# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2207
# Completion for bash: verbs and options are those that the program's own --help names, so that none is missing.
_sallyport() {
    local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} verbs=() i one help
    # The verbs before the word: whatever is no option, until the help of one names no further verbs.
    for ((i = 1; i < COMP_CWORD; i++)); do
        one=${COMP_WORDS[i]}
        [[ $one == -- ]] && { compopt -o default; return; } # a command of its own: exec, relay
        [[ $one == -* || ${#verbs[@]} -ge 2 ]] && break
        verbs+=("$one")
    done
    while :; do
        if help=$("$program" "${verbs[@]}" --help 2>/dev/null) || [[ ${#verbs[@]} -eq 0 ]]; then break; fi
        unset 'verbs[-1]'
    done
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(grep -oE -- '--[a-z][a-z-]*' <<<"${help%%Example*}" | sort -u)" -- "$word"))
    elif [[ ${#verbs[@]} -lt 2 && $((${#verbs[@]} + 1)) -eq $COMP_CWORD ]]; then
        COMPREPLY=($(compgen -W "$(sed -nE '/^Example/q; s/^  ([a-z][a-z-]*) .*/\1/p' <<<"$help")" -- "$word"))
    fi
    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default
}
complete -F _sallyport sallyport sallyport-relay
