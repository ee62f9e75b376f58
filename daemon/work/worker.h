/* One worker thread: its samplers, and how a batch runs. */
#ifndef JF_DAEMON_WORK_WORKER_H
#define JF_DAEMON_WORK_WORKER_H

/* The thread of a struct jf_worker, which the scheduler starts and joins. */
void *jf_worker_main(void *worker);

#endif
