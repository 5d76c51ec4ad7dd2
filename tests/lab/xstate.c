/* User-Mode Linux 6.1 sets a process's floating-point registers from a buffer of 2,696 bytes. Where the processor has
 * more of them (AMX), Linux takes the whole set or none (EFAULT), and no process ever starts. Preloaded, this fills up
 * what User-Mode Linux does not know of with what the process has. ptrace(2), PTRACE_SETREGSET. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long set_registers(pid_t process, const struct iovec *given)
{
    static char registers[1 << 16];
    struct iovec all = {registers, sizeof registers};

    if (syscall(SYS_ptrace, PTRACE_GETREGSET, process, NT_X86_XSTATE, &all))
        return -1;
    memcpy(registers, given->iov_base, given->iov_len < all.iov_len ? given->iov_len : all.iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, process, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    pid_t process = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
        return set_registers(process, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return syscall(SYS_ptrace, request, process, address, data);
    /* The C library's function returns what it read; the system call stores it. */
    long value;
    if (syscall(SYS_ptrace, request, process, address, &value))
        return -1;
    errno = 0;
    return value;
}
