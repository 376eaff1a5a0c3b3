/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways lead around namespaces and are closed here: keys typed into the terminal of whoever started us (TIOCSTI,
 * TIOCLINUX), address families that belong to no network namespace (AF_VSOCK reaches the host of a virtual machine),
 * and io_uring, which makes sockets without the system call that this filter sees.
 */
#include "exec.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OWN_ARCH     AUDIT_ARCH_X86_64
#define OTHER_ABI_NR 0x40000000u /* x32: the same calls with other numbers */
#elif defined(__aarch64__)
#define OWN_ARCH     AUDIT_ARCH_AARCH64
#define OTHER_ABI_NR 0xffffffffu
#else
#error "the architecture's system calls are not known here"
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* The low half of an argument, which is all that these calls look at. */
#define LOAD_ARG(n)             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define IF_EQUAL(value, skip)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define IF_LEAST(value, skip)   BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, (skip))
#define ANSWER(error)           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define PASS                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE_IF(value, error) IF_EQUAL(value, 1), ANSWER(error)
#define PASS_IF(value)          IF_EQUAL(value, 1), PASS

bool exec_filter(void)
{
    struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0),
        ANSWER(ENOSYS),
        LOAD(nr),
        IF_LEAST(OTHER_ABI_NR, 1),
        ANSWER(ENOSYS),
        REFUSE_IF(SYS_io_uring_setup, ENOSYS),
        IF_EQUAL(SYS_ioctl, 6),
        LOAD_ARG(1),
        REFUSE_IF(TIOCSTI, EPERM),
        REFUSE_IF(TIOCLINUX, EPERM),
        PASS,
        IF_EQUAL(SYS_socket, 10),
        LOAD_ARG(0),
        PASS_IF(AF_UNIX),
        PASS_IF(AF_INET),
        PASS_IF(AF_INET6),
        PASS_IF(AF_NETLINK),
        ANSWER(EAFNOSUPPORT),
        PASS,
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return exec_failed("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        return exec_failed("the filter of system calls");
    return true;
}
