/* Figures about this process, from /proc/self. */
#ifndef JF_DAEMON_SERVICE_PROCESS_H
#define JF_DAEMON_SERVICE_PROCESS_H

struct jf_process_figures {
	double cpu_seconds;
	double resident_bytes, virtual_bytes;
	double start_seconds; /* since the epoch */
	double open_fds, max_fds;
	double threads;
};

/* CPUs that this process may use, at least 1 and at most 256: those of its affinity, or fewer where the CPU quota of
 * its control group or of one above is smaller (cpu.max of version 2, cpu.cfs_quota_us of version 1), rounded up. root:
 * "" for this machine's /proc and /sys; a test puts its own in front. */
int jf_process_cpus(const char *root);

/* What cannot be read is 0. Any thread. */
void jf_process_figures(struct jf_process_figures *figures);

#endif
