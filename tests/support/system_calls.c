#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* system_calls fail|block|no-threads PROGRAM ARGUMENT...: runs the program where flock fails or
 * blocks for ever and there are no hard links, or where no thread can be started. By seccomp, so that
 * static programs meet it too. */
int main(int argc, char **argv) {
    (void)argc;
    int blocks = strcmp(argv[1], "block") == 0;
    int threads = strcmp(argv[1], "no-threads") != 0;
    struct sock_filter no_threads[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter locks[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_flock, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, blocks ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ERRNO | ENOLCK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_linkat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof locks / sizeof *locks, locks};
    if (!threads)
        program = (struct sock_fprog){sizeof no_threads / sizeof *no_threads, no_threads};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 125;
    long listener = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                            blocks ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
    if (listener < 0)
        return 125;
    if (!blocks)
        execv(argv[2], argv + 2);
    /* The listener is never read, so the calls that it reports never return. */
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    close(0);
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}
