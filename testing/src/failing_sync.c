/* A disk that does not keep what it was given: fsync() and fdatasync() fail with EIO as long as the file exists that
 * FAILING_SYNC names. A process loads it by LD_PRELOAD. */

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sync_with(long number, int file)
{
    const char *path = getenv("FAILING_SYNC");
    if (path && access(path, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, file);
}

int fsync(int file)
{
    return sync_with(SYS_fsync, file);
}

int fdatasync(int file)
{
    return sync_with(SYS_fdatasync, file);
}
