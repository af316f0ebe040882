/*
 * Lets User Mode Linux work on processors with AMX.
 *
 * User Mode Linux sets the floating-point registers of its programs by PTRACE_SETREGSET. The kernel takes them only as a
 * whole, but the buffer of User Mode Linux ends before the registers of AMX. So this function, which is loaded before that
 * of the C library, adds the rest from the registers as they are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* Where the registers say which parts of them are in use, and the parts of AMX (Intel's manual, volume 1, chapter 13). */
#define IN_USE 512
#define AMX (3UL << 17)

static _Alignas(64) char whole[1 << 14];

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    long process = va_arg(arguments, int);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    long (*next)(enum __ptrace_request, ...) = dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
        return next(request, process, address, data);
    struct iovec *given = data, all = {whole, sizeof whole};
    if (next(PTRACE_GETREGSET, process, address, &all) != 0 || given->iov_len >= all.iov_len)
        return next(request, process, address, data);
    memcpy(whole, given->iov_base, given->iov_len);
    unsigned long in_use;
    memcpy(&in_use, whole + IN_USE, sizeof in_use);
    in_use &= ~AMX;
    memcpy(whole + IN_USE, &in_use, sizeof in_use);
    return next(request, process, address, &all);
}
