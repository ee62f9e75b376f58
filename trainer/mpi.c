#include "config.h"

#include "trainer/mpi.h"

#include <stdlib.h>
#include <string.h>

#ifdef JF_HAVE_MPI
#include <mpi.h>

#define PIECE ((size_t)1 << 28) /* counts are ints */

static bool active;

struct jf_mpi jf_mpi_init(int *argc, char ***argv) {
	struct jf_mpi mpi = {0, 1};

	/* started alone, MPI_Init would take half a second and open sockets for nothing */
	if (!getenv("OMPI_COMM_WORLD_SIZE") && !getenv("PMI_SIZE") && !getenv("PMIX_RANK"))
		return mpi;
	MPI_Init(argc, argv);
	active = true;
	MPI_Comm_rank(MPI_COMM_WORLD, &mpi.rank);
	MPI_Comm_size(MPI_COMM_WORLD, &mpi.size);
	return mpi;
}

void jf_mpi_finish(void) {
	if (active)
		MPI_Finalize();
	active = false;
}

void jf_mpi_abort(int status) {
	if (active)
		MPI_Abort(MPI_COMM_WORLD, status);
	exit(status);
}

void jf_mpi_sum(void *context, float *values, size_t n) {
	(void)context;
	if (!active)
		return;
	for (size_t at = 0; at < n; at += PIECE)
		MPI_Allreduce(MPI_IN_PLACE, values + at, (int)(n - at < PIECE ? n - at : PIECE), MPI_FLOAT, MPI_SUM,
		    MPI_COMM_WORLD);
}

bool jf_mpi_any(bool mine) {
	int flag = mine;

	if (active)
		MPI_Allreduce(MPI_IN_PLACE, &flag, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
	return flag != 0;
}

void jf_mpi_broadcast(void *data, size_t size) {
	if (!active)
		return;
	for (size_t at = 0; at < size; at += PIECE)
		MPI_Bcast((char *)data + at, (int)(size - at < PIECE ? size - at : PIECE), MPI_BYTE, 0, MPI_COMM_WORLD);
}
#else
struct jf_mpi jf_mpi_init(int *argc, char ***argv) {
	(void)argc;
	(void)argv;
	return (struct jf_mpi){0, 1};
}

void jf_mpi_finish(void) {
}

void jf_mpi_abort(int status) {
	exit(status);
}

void jf_mpi_sum(void *context, float *values, size_t n) {
	(void)context;
	(void)values;
	(void)n;
}

bool jf_mpi_any(bool mine) {
	return mine;
}

void jf_mpi_broadcast(void *data, size_t size) {
	(void)data;
	(void)size;
}
#endif

bool jf_mpi_same(const void *data, size_t size) {
	char theirs[256];

	if (size > sizeof(theirs))
		return false;
	memcpy(theirs, data, size);
	jf_mpi_broadcast(theirs, size);
	return !jf_mpi_any(memcmp(theirs, data, size) != 0);
}
