#include "config.h"

#include "daemon/service/process.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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
	size_t n = fread(text, 1, sizeof(text) - 1, file);
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
	memset(figures, 0, sizeof(*figures));
	read_stat(figures);
	figures->open_fds = count_fds();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		figures->max_fds = (double)limit.rlim_cur;
}

/* --- CPUs --- */

/* First line of a file in a group's folder; false when it cannot be read. */
static bool read_line(char *line, size_t size, const char *folder, const char *name) {
	char path[4096];
	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return false;
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool got = fgets(line, (int)size, file) != NULL;
	fclose(file);
	return got;
}

/* CPUs that the group whose folder this is allows; INFINITY when it sets no limit. */
static double group_quota(const char *folder) {
	char line[128], period_line[128];
	double quota = -1, period = 0;
	/* Source: the kernel's admin-guide/cgroup-v2, "cpu.max": "$MAX $PERIOD", $MAX may be "max"; scheduler/sched-bwc
	 * for version 1, where -1 is no limit. */
	if (read_line(line, sizeof(line), folder, "cpu.max"))
		return sscanf(line, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0 ? quota / period
												: INFINITY;
	if (read_line(line, sizeof(line), folder, "cpu.cfs_quota_us") &&
	    read_line(period_line, sizeof(period_line), folder, "cpu.cfs_period_us")) {
		quota = atof(line);
		period = atof(period_line);
	}
	return quota > 0 && period > 0 ? quota / period : INFINITY;
}

/* The smallest quota from this group up to the root of the hierarchy that is mounted at `mount`. */
static double tree_quota(const char *mount, char *group) {
	double smallest = INFINITY;
	for (;;) {
		char folder[4096];
		if (snprintf(folder, sizeof(folder), "%s%s", mount, group) < (int)sizeof(folder))
			smallest = fmin(smallest, group_quota(folder));
		char *slash = strrchr(group, '/');
		if (!slash)
			return smallest;
		*slash = '\0';
	}
}

static double cpu_quota(const char *root) {
	char path[4096], line[4096], mount[4096];
	double smallest = INFINITY;
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	FILE *file = fopen(path, "re");
	if (!file)
		return smallest;
	/* Source: cgroups(7): hierarchy-ID:controller-list:cgroup-path; version 2 has an empty list. */
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		controllers++;
		bool is_cpu = false;
		for (const char *c = controllers; *c; c += strcspn(c, ","), c += *c == ',')
			is_cpu = is_cpu || (strcspn(c, ",") == 3 && strncmp(c, "cpu", 3) == 0);
		if (*controllers && !is_cpu)
			continue;
		snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s%s", root, *controllers ? "/" : "", controllers);
		smallest = fmin(smallest, tree_quota(mount, group));
	}
	fclose(file);
	return smallest;
}

int jf_process_cpus(const char *root) {
	cpu_set_t set;
	CPU_ZERO(&set);
	double n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	n = fmin(n, ceil(cpu_quota(root)));
	return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}
