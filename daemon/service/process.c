#include "daemon/service/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void read_stat(struct jf_process_figures *figures) {
	unsigned long user = 0, system = 0, virtual_bytes = 0;
	unsigned long long start = 0;
	long resident_pages = 0, threads = 0;
	char text[1024];
	FILE *file = fopen("/proc/self/stat", "re");
	if (!file)
		return;
	size_t n = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[n] = '\0';
	const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
	/* Source: proc(5), fields 3 (state) to 24 (rss). */
	if (!rest || sscanf(rest + 1,
			 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %ld %*d %llu %lu %ld",
			 &user, &system, &threads, &start, &virtual_bytes, &resident_pages) != 6)
		return;
	double ticks = (double)sysconf(_SC_CLK_TCK);
	struct timespec now, up;
	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	figures->cpu_seconds = (double)(user + system) / ticks;
	figures->virtual_bytes = (double)virtual_bytes;
	figures->resident_bytes = (double)resident_pages * (double)sysconf(_SC_PAGESIZE);
	figures->threads = (double)threads;
	figures->start_seconds =
	    (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) * 1e-9 + (double)start / ticks;
}

static double count_fds(void) {
	DIR *folder = opendir("/proc/self/fd");
	double n = 0;
	if (!folder)
		return 0;
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
		n += entry->d_name[0] != '.';
	closedir(folder);
	return n - 1; /* the folder itself was open */
}

void jf_process_figures(struct jf_process_figures *figures) {
	struct rlimit limit;
	memset(figures, 0, sizeof *figures);
	read_stat(figures);
	figures->open_fds = count_fds();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		figures->max_fds = (double)limit.rlim_cur;
}
