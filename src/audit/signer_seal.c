/* SPDX-License-Identifier: Apache-2.0 */
#include "signer_wire.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "the signer's filter does not know this processor"
#endif

#define X32_CALLS 0x40000000u /* a second numbering of the calls, on x86-64 */

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
/* The number of the call is in the accumulator. */
#define REFUSE_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, REFUSED)

/* No socket but the one it has, no other program, no look into other processes. What is allowed is not listed: which
 * calls a C library or a sanitizer makes changes with each release, and what must not happen does not. */
bool signer_seal(void)
{
    static struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, REFUSED),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, REFUSED),
        REFUSE_CALL(socket),
        REFUSE_CALL(socketpair),
        REFUSE_CALL(connect),
        REFUSE_CALL(bind),
        REFUSE_CALL(listen),
        REFUSE_CALL(accept),
        REFUSE_CALL(accept4),
        REFUSE_CALL(io_uring_setup),
        REFUSE_CALL(execve),
        REFUSE_CALL(execveat),
        REFUSE_CALL(ptrace),
        REFUSE_CALL(process_vm_readv),
        REFUSE_CALL(process_vm_writev),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof rules[0], .filter = rules};
    /* Nobody of the same uid may look into its memory, and a crash leaves no copy of the key. */
    bool closed = prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    return closed && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
