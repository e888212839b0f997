/* Has reads, writes and syncs of chosen files fail. Loaded into a server by LD_PRELOAD.
 *
 * The file that FAULTS names has lines "CALL ERRNO PATH": what of read, write and sync fails, with which number, on files
 * whose path contains PATH. It is read at each call, and may come and go at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int fault(int fd, const char *call)
{
	int saved = errno, found = 0;
	const char *faults = getenv("FAULTS");
	int control = faults ? syscall(SYS_openat, AT_FDCWD, faults, O_RDONLY | O_CLOEXEC) : -1;
	if (control >= 0) {
		char text[4096], link[64], path[4096];
		ssize_t size = syscall(SYS_read, control, text, sizeof(text) - 1);
		syscall(SYS_close, control);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t length = readlink(link, path, sizeof(path) - 1);
		if (size > 0 && length > 0) {
			text[size] = 0;
			path[length] = 0;
			char *rest = text, *line;
			while (!found && (line = strsep(&rest, "\n"))) {
				char what[16], part[1024];
				int number;
				if (sscanf(line, "%15s %d %1023s", what, &number, part) == 3 &&
				    !strcmp(what, call) && strstr(path, part))
					found = number;
			}
		}
	}
	errno = found ? found : saved;
	return found;
}

#define FAILS(call, result, name, parameters, arguments)                  \
	result name parameters                                            \
	{                                                                 \
		static result(*real) parameters;                          \
		if (!real)                                                \
			real = (result(*) parameters)dlsym(RTLD_NEXT, #name); \
		return fault(fd, call) ? -1 : real arguments;             \
	}

FAILS("write", ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
FAILS("write", ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
FAILS("write", ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
FAILS("write", ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count))
FAILS("write", int, ftruncate, (int fd, off_t size), (fd, size))
FAILS("write", int, ftruncate64, (int fd, off64_t size), (fd, size))
FAILS("write", int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
FAILS("read", ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
FAILS("read", ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
FAILS("read", ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
FAILS("sync", int, fsync, (int fd), (fd))
FAILS("sync", int, fdatasync, (int fd), (fd))
