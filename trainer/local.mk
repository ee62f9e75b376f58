# trainer: jointflow-train; all but main is a library, for the tests
noinst_LIBRARIES += libtrainer.a
libtrainer_a_SOURCES = \
	trainer/augment.c trainer/augment.h \
	trainer/evaluate.c trainer/evaluate.h \
	trainer/loader.c trainer/loader.h \
	trainer/log.c trainer/log.h \
	trainer/mpi.c trainer/mpi.h \
	trainer/objective.c trainer/objective.h \
	trainer/options.c trainer/options.h \
	trainer/run.c trainer/run.h \
	trainer/run_data.c \
	trainer/run_internal.h \
	trainer/run_model.c \
	trainer/run_setup.c \
	trainer/schedule.c trainer/schedule.h \
	trainer/settle.c \
	trainer/state.c trainer/state.h \
	trainer/step.c trainer/step.h
libtrainer_a_CPPFLAGS = $(AM_CPPFLAGS) $(MPI_CFLAGS)

bin_PROGRAMS += jointflow-train
jointflow_train_SOURCES = trainer/main.c
jointflow_train_LDADD = libtrainer.a $(GRADIENT_LIBS) $(MPI_LIBS)
