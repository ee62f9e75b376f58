# daemon: jointflowd. main.c links HTTP_LIBS, then SERVICE_LIBS.

# What speaks HTTP, floors 3 and 4; jointflowd links HTTP_LIBS before what holds the scheduler and the rest.
noinst_LIBRARIES += libhttp.a
libhttp_a_CPPFLAGS = $(AM_CPPFLAGS) $(MICROHTTPD_CFLAGS) $(ZLIB_CFLAGS)
libhttp_a_SOURCES =
libhttp_a_SOURCES += daemon/api_info.c
libhttp_a_SOURCES += daemon/api_page.c
libhttp_a_SOURCES += daemon/api_v2.c
libhttp_a_SOURCES += daemon/ask.c
libhttp_a_SOURCES += daemon/ask_image.c
libhttp_a_SOURCES += daemon/assets.c daemon/assets.h daemon/assets_data.h
libhttp_a_SOURCES += daemon/call.c daemon/call.h
libhttp_a_SOURCES += daemon/deflate.c daemon/deflate.h
libhttp_a_SOURCES += daemon/gate.c daemon/gate.h
libhttp_a_SOURCES += daemon/http.c
libhttp_a_SOURCES += daemon/reply.c
libhttp_a_SOURCES += daemon/routes.c
libhttp_a_SOURCES += daemon/tasks.c
libhttp_a_SOURCES += daemon/guard.c daemon/guard.h
libhttp_a_SOURCES += daemon/http_exchange.c
libhttp_a_SOURCES += daemon/http_request.c
libhttp_a_SOURCES += daemon/http_server.c daemon/http_server.h daemon/http_internal.h
libhttp_a_SOURCES += daemon/limit.c daemon/limit.h
libhttp_a_SOURCES += daemon/multipart.c daemon/multipart.h
libhttp_a_SOURCES += daemon/params.c daemon/params.h
libhttp_a_SOURCES += daemon/problem.c daemon/problem.h
libhttp_a_SOURCES += daemon/response.c daemon/response.h
libhttp_a_SOURCES += daemon/text.c daemon/text.h
libhttp_a_SOURCES += daemon/watch.c daemon/watch.h
nodist_libhttp_a_SOURCES = assets_data.c
EMBEDDED = $(top_srcdir)/doc/openapi.json $(WEB_FILES:%=$(top_srcdir)/%)
assets_data.c: $(top_srcdir)/daemon/embed.sh $(EMBEDDED)
	$(AM_V_GEN)$(SHELL) $(top_srcdir)/daemon/embed.sh $(top_srcdir) doc/openapi.json $(WEB_FILES) > $@.tmp && mv $@.tmp $@
CLEANFILES += assets_data.c
EXTRA_DIST += daemon/embed.sh
HTTP_LIBS = libhttp.a $(MICROHTTPD_LIBS) $(ZLIB_LIBS)

# Floor 3: configuration, log, queue, workers, metrics, model, service manager.
noinst_LIBRARIES += libservice.a
libservice_a_SOURCES =
libservice_a_SOURCES += daemon/conf.c daemon/conf.h daemon/conf_table.h
libservice_a_SOURCES += daemon/conf_check.c
libservice_a_SOURCES += daemon/conf_print.c
libservice_a_SOURCES += daemon/conf_table.c
libservice_a_SOURCES += daemon/dispatch.c
libservice_a_SOURCES += daemon/http.h
libservice_a_SOURCES += daemon/job.c daemon/job.h
libservice_a_SOURCES += daemon/listen.c daemon/listen.h
libservice_a_SOURCES += daemon/log.c daemon/log.h
libservice_a_SOURCES += daemon/metrics.c daemon/metrics.h
libservice_a_SOURCES += daemon/model_holder.c daemon/model_holder.h
libservice_a_SOURCES += daemon/process.c daemon/process.h
libservice_a_SOURCES += daemon/queue.c daemon/queue.h
libservice_a_SOURCES += daemon/scheduler.c daemon/scheduler.h daemon/scheduler_private.h
libservice_a_SOURCES += daemon/service.c daemon/service.h
libservice_a_SOURCES += daemon/worker.c
SERVICE_LIBS = libservice.a $(CORE_LIBS)

sbin_PROGRAMS += jointflowd
jointflowd_SOURCES = daemon/main.c
jointflowd_LDADD = $(HTTP_LIBS) $(SERVICE_LIBS)
