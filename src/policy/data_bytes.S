/* SPDX-License-Identifier: Apache-2.0 */
/* The data files as they stand in policies/, between two labels each. No instruction: the same for every processor. */
    .section .rodata
    .balign 16

    .globl policy_builtin_begin
    .globl policy_builtin_end
policy_builtin_begin:
    .incbin BUILTIN_FILE
policy_builtin_end:
    .byte 0

    .globl policy_catalogue_begin
    .globl policy_catalogue_end
policy_catalogue_begin:
    .incbin CATALOGUE_FILE
policy_catalogue_end:
    .byte 0

    .section .note.GNU-stack,"",%progbits
