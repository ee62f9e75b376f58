# cli: jointflow
bin_PROGRAMS += jointflow
jointflow_SOURCES = \
	cli/classify.c \
	cli/commands.h \
	cli/draw.c \
	cli/eval.c \
	cli/info.c \
	cli/main.c \
	cli/options.c cli/options.h \
	cli/output.c cli/output.h \
	cli/report.c cli/report.h \
	cli/setup.c cli/setup.h
jointflow_LDADD = $(CORE_LIBS)
