/* A preload that makes a race visible: when the main thread takes a descriptor out of an epoll set it is held up a
 * moment, in which other threads may do the same. */
#include "config.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
	if (operation == EPOLL_CTL_DEL && getpid() == (pid_t)syscall(SYS_gettid))
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	return (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}
