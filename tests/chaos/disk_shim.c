/* A disk that fails on demand, and that remembers the order of what it was told.

   Loaded before libc (LD_PRELOAD) into a process with an SQLite database. For the database, its
   write-ahead log and its rollback journal, and for the folder they lie in, it
   - writes down every write, truncation, removal and sync, in order, to the file DISK_JOURNAL;
   - refuses writes and syncs as the shared memory in the file DISK_CONTROL tells.
   A write is written down after it returned, a sync together with the journal's length at its
   start: what stood in the journal by then is on the disk when the sync has returned. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* tests/chaos/disk.py writes it, as eight-byte integers in this order. */
struct control {
    int64_t space_bytes;   /* by how much files may still grow; below 0: no limit */
    int64_t writes_before; /* writes that still succeed before the failing ones */
    int64_t writes_fail;   /* then so many fail with EIO */
    int64_t syncs_before;  /* the same for syncs */
    int64_t syncs_fail;
    int64_t refused;       /* what was refused so far, of any kind */
};

/* tests/chaos/disk_images.py reads it. */
struct record {
    int64_t kind; /* one of the letters below */
    int64_t file; /* 0 database, 1 write-ahead log, 2 rollback journal, 3 the folder */
    int64_t offset; /* of a write; the new size of a truncation; of a sync: the journal's length
                       at its start */
    int64_t length; /* of the data that follows */
};
enum { WRITE = 'W', TRUNCATE = 'T', REMOVE = 'U', SYNC = 'S', FAILED_SYNC = 'F' };
enum { NO_FILE = -1, FOLDER = 3 };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char database[PATH_MAX], folder[PATH_MAX];
static int journal = -1;
static int64_t journal_bytes;
static struct control nothing_fails = {.space_bytes = -1};
static volatile struct control *control = &nothing_fails;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("DISK_DATABASE");
    if (path == NULL || strlen(path) >= sizeof database) return;
    strcpy(database, path);
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    if ((path = getenv("DISK_JOURNAL")) != NULL) {
        journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        journal_bytes = lseek(journal, 0, SEEK_END);
    }
    if ((path = getenv("DISK_CONTROL")) != NULL) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared == MAP_FAILED) abort();
        control = shared;
        close(fd);
    }
}

static int file_of_path(const char *path) {
    size_t length = strlen(database);
    if (length == 0) return NO_FILE;
    if (strcmp(path, folder) == 0) return FOLDER;
    if (strncmp(path, database, length) != 0) return NO_FILE;
    if (path[length] == '\0') return 0;
    if (strcmp(path + length, "-wal") == 0) return 1;
    if (strcmp(path + length, "-journal") == 0) return 2;
    return NO_FILE;
}

static int file_of(int fd) {
    char link[64], path[PATH_MAX];
    if (fd == journal || database[0] == '\0') return NO_FILE;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return NO_FILE;
    path[length] = '\0';
    return file_of_path(path);
}

static void put(const void *data, int64_t length) {
    if (syscall(SYS_write, journal, data, (size_t)length) != length) abort();
    journal_bytes += length;
}

/* Appends a record; the caller has the turn. */
static void note(int kind, int file, int64_t offset, const void *data, int64_t length) {
    if (journal < 0) return;
    char whole[sizeof(struct record) + 65536 + 64];
    struct record head = {kind, file, offset, length};
    if (sizeof head + (size_t)length > sizeof whole) {
        put(&head, sizeof head);
        put(data, length);
        return;
    }
    memcpy(whole, &head, sizeof head);
    if (length > 0) memcpy(whole + sizeof head, data, (size_t)length);
    put(whole, (int64_t)sizeof head + length);
}

/* Whether this one is to fail, by a schedule: so many pass, then so many fail. */
static int is_refused(volatile int64_t *before, volatile int64_t *fail) {
    if (*fail <= 0) return 0;
    if (*before > 0) {
        *before -= 1;
        return 0;
    }
    *fail -= 1;
    control->refused += 1;
    return 1;
}

static ssize_t write_at(int fd, const void *data, size_t length, int64_t offset, int file) {
    ssize_t written = -1;
    pthread_mutex_lock(&turn);
    struct stat found;
    int64_t size = fstat(fd, &found) == 0 ? found.st_size : 0;
    int64_t growth = offset + (int64_t)length - size;
    if (is_refused(&control->writes_before, &control->writes_fail)) {
        errno = EIO;
        goto end;
    }
    if (control->space_bytes >= 0 && growth > control->space_bytes) {
        /* As a real disk: what still fits is written, then comes the error. */
        int64_t fits = (int64_t)length - (growth - control->space_bytes);
        control->refused += 1;
        if (fits <= 0) {
            errno = ENOSPC;
            goto end;
        }
        length = (size_t)fits;
        growth = control->space_bytes;
    }
    written = syscall(SYS_pwrite64, fd, data, length, offset);
    if (written > 0) {
        if (control->space_bytes >= 0 && growth > 0) control->space_bytes -= growth;
        note(WRITE, file, offset, data, written);
    }
end:;
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    int file = file_of(fd);
    if (file == NO_FILE) return syscall(SYS_pwrite64, fd, data, length, offset);
    return write_at(fd, data, length, offset, file);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return pwrite64(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length) {
    int file = file_of(fd);
    if (file == NO_FILE) return syscall(SYS_write, fd, data, length);
    int64_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = write_at(fd, data, length, offset, file);
    if (written > 0) lseek(fd, offset + written, SEEK_SET);
    return written;
}

int ftruncate64(int fd, off64_t size) {
    int file = file_of(fd);
    if (file == NO_FILE) return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&turn);
    struct stat found;
    int64_t before = fstat(fd, &found) == 0 ? found.st_size : size;
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0) {
        if (control->space_bytes >= 0 && before > size) control->space_bytes += before - size;
        note(TRUNCATE, file, size, NULL, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
    int file = file_of_path(path);
    pthread_mutex_lock(&turn);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0 && file != NO_FILE) note(REMOVE, file, 0, NULL, 0);
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

static int sync_with(long call, int fd) {
    int file = file_of(fd);
    if (file == NO_FILE) return (int)syscall(call, fd);
    pthread_mutex_lock(&turn);
    int64_t started = journal_bytes;
    int refused = is_refused(&control->syncs_before, &control->syncs_fail);
    if (refused) note(FAILED_SYNC, file, started, NULL, 0);
    pthread_mutex_unlock(&turn);
    if (refused) {
        errno = EIO;
        return -1;
    }
    int result = (int)syscall(call, fd);
    int error = errno;
    pthread_mutex_lock(&turn);
    note(result == 0 ? SYNC : FAILED_SYNC, file, started, NULL, 0);
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }

int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
