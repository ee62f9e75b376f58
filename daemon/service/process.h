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

/* What cannot be read is 0. Any thread. */
void jf_process_figures(struct jf_process_figures *figures);

#endif
