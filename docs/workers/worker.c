/* A worker in C: temp file, fsync(2) and rename(2); records are appended under flock(2).
 * It has no update: what a side can't do it does not say, and no role asks it for that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DONE = 0, MISSING = 66, UNKNOWN = 70, UNCHANGED = 75 };

static int failed(const char *what, int status) {
    FILE *file = fopen(getenv("STRESS_ERR"), "w");
    if (file) {
        fprintf(file, "%s: %s (errno %d)\n", what, strerror(errno), errno);
        fclose(file);
    }
    return status;
}

/* Copies all of one file to another that is open; 0, or -1 with errno. */
static int copy(const char *from, int to) {
    char buffer[65536];
    ssize_t got = -1;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return -1;
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, more; done < got; done += more)
            if ((more = write(to, buffer + done, (size_t)(got - done))) < 0) {
                close(in);
                return -1;
            }
    close(in);
    return got < 0 ? -1 : 0;
}

static int do_write(const char *path) {
    char temp[PATH_MAX];
    struct stat old;
    if (snprintf(temp, sizeof temp, "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof temp) return UNCHANGED;
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return failed(temp, UNCHANGED);
    int bad = copy(getenv("STRESS_IN"), fd) || (stat(path, &old) == 0 && fchmod(fd, old.st_mode & 0777)) || fsync(fd);
    if (close(fd) || bad) {
        failed(temp, UNCHANGED);
        unlink(temp);
        return UNCHANGED; /* certainly: nobody has seen the temp file */
    }
    return rename(temp, path) ? failed(path, UNKNOWN) : DONE;
}

static int do_read(const char *path) {
    int out = open(getenv("STRESS_OUT"), O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    if (out < 0) return failed("STRESS_OUT", UNKNOWN);
    int bad = copy(path, out), why = errno;
    close(out);
    errno = why;
    return !bad ? DONE : failed(path, why == ENOENT ? MISSING : UNKNOWN);
}

static int do_append(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return failed(path, UNCHANGED);
    int bad = flock(fd, LOCK_EX) || copy(getenv("STRESS_IN"), fd);
    return close(fd) || bad ? failed(path, UNKNOWN) : DONE;
}

int main(void) {
    static const struct {
        const char *name;
        int (*call)(const char *);
    } operations[] = {{"write", do_write}, {"read", do_read}, {"append", do_append}};
    char *line = NULL, real[PATH_MAX];
    size_t size = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("hello 1 write read append definite=%d\n", UNCHANGED);
    while (getline(&line, &size, stdin) > 0) {
        long sequence;
        char operation[16];
        int at = 0, status = UNKNOWN;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%ld %15s %n", &sequence, operation, &at) < 2) return 1;
        for (size_t each = 0; each < sizeof operations / sizeof *operations; each++)
            if (strcmp(operation, operations[each].name) == 0)
                status = operations[each].call(realpath(line + at, real) ? real : line + at);
        printf("%ld %d\n", sequence, status);
    }
    free(line);
    return 0;
}
