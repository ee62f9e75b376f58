/* Several processes, one training run: the wrapper of MPI.
 *
 * Without MPI (not built in, or not started by mpirun) there is one process and every call is a trivial one. All calls
 * but abort are collective: every process makes them in the same order. A process that dies takes the others with it:
 * mpirun ends them, and the state file is as it was last saved. */
#ifndef JF_TRAINER_MPI_H
#define JF_TRAINER_MPI_H

#include <stdbool.h>
#include <stddef.h>

struct jf_mpi {
	int rank, size;
};

/* Call first in main. */
struct jf_mpi jf_mpi_init(int *argc, char ***argv);
void jf_mpi_finish(void);
/* Ends all processes with this exit status; with one process, exit(status). */
void jf_mpi_abort(int status) __attribute__((noreturn));

/* values[i] becomes the sum over the processes; the shape of jf_trainer_set_allreduce's hook (context unused). */
void jf_mpi_sum(void *context, float *values, size_t n);
/* Whether any process says so. */
bool jf_mpi_any(bool mine);
/* Process 0's bytes, to all. */
void jf_mpi_broadcast(void *data, size_t size);
/* Whether all processes have the same bytes (at most 256) as process 0. */
bool jf_mpi_same(const void *data, size_t size);

#endif
