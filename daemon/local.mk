# daemon: jointflowd. main.c links HTTP_LIBS, then SERVICE_LIBS.

# What speaks HTTP (http/, api/); jointflowd links HTTP_LIBS before what holds the scheduler and the rest.
noinst_LIBRARIES += libhttp.a
libhttp_a_CPPFLAGS = $(AM_CPPFLAGS) $(MICROHTTPD_CFLAGS) $(GNUTLS_CFLAGS) $(ZLIB_CFLAGS)
libhttp_a_SOURCES =
libhttp_a_SOURCES += daemon/api/api.c
libhttp_a_SOURCES += daemon/api/ask.c daemon/api/ask.h
libhttp_a_SOURCES += daemon/api/ask_edit.c daemon/api/ask_parts.h
libhttp_a_SOURCES += daemon/api/ask_image.c daemon/api/ask_image.h
libhttp_a_SOURCES += daemon/api/ask_list.c
libhttp_a_SOURCES += daemon/api/call.c daemon/api/call.h
libhttp_a_SOURCES += daemon/api/endpoints.c daemon/api/endpoints.h
libhttp_a_SOURCES += daemon/api/gate.c daemon/api/gate.h
libhttp_a_SOURCES += daemon/api/heavy.c daemon/api/heavy.h
libhttp_a_SOURCES += daemon/api/info.c daemon/api/info.h
libhttp_a_SOURCES += daemon/api/page.c daemon/api/page.h
libhttp_a_SOURCES += daemon/api/morph.c daemon/api/morph.h
libhttp_a_SOURCES += daemon/api/reply.c daemon/api/reply.h
libhttp_a_SOURCES += daemon/api/routes.c daemon/api/routes.h
libhttp_a_SOURCES += daemon/api/stream.c daemon/api/stream.h
libhttp_a_SOURCES += daemon/api/submit.c daemon/api/submit.h
libhttp_a_SOURCES += daemon/api/v2.c daemon/api/v2.h daemon/api/v2_infer.c daemon/api/v2_infer.h
libhttp_a_SOURCES += daemon/http/assets.c daemon/http/assets.h daemon/http/assets_data.h
libhttp_a_SOURCES += daemon/http/connection.c
libhttp_a_SOURCES += daemon/http/deflate.c daemon/http/deflate.h
libhttp_a_SOURCES += daemon/http/exchange.c
libhttp_a_SOURCES += daemon/http/acceptor.c daemon/http/acceptor.h
libhttp_a_SOURCES += daemon/http/access.c daemon/http/access.h
libhttp_a_SOURCES += daemon/http/keys.c daemon/http/keys.h
libhttp_a_SOURCES += daemon/http/limit.c daemon/http/limit.h
libhttp_a_SOURCES += daemon/http/multipart.c daemon/http/multipart.h
libhttp_a_SOURCES += daemon/http/params.c daemon/http/params.h
libhttp_a_SOURCES += daemon/http/problem.c daemon/http/problem.h
libhttp_a_SOURCES += daemon/http/pulse.c
libhttp_a_SOURCES += daemon/http/refusal.c
libhttp_a_SOURCES += daemon/http/request.c
libhttp_a_SOURCES += daemon/http/response.c daemon/http/response.h
libhttp_a_SOURCES += daemon/http/resume.c
libhttp_a_SOURCES += daemon/http/secrets.c daemon/http/secrets.h
libhttp_a_SOURCES += daemon/http/server.c daemon/http/server.h daemon/http/internal.h
libhttp_a_SOURCES += daemon/http/text.c daemon/http/text.h
libhttp_a_SOURCES += daemon/http/tls.c daemon/http/tls.h
libhttp_a_SOURCES += daemon/http/watch.c daemon/http/watch.h
nodist_libhttp_a_SOURCES = assets_data.c
EMBEDDED = $(top_srcdir)/doc/openapi.json $(WEB_FILES:%=$(top_srcdir)/%)
assets_data.c: $(top_srcdir)/daemon/embed.sh $(EMBEDDED)
	$(AM_V_GEN)$(SHELL) $(top_srcdir)/daemon/embed.sh $(top_srcdir) doc/openapi.json $(WEB_FILES) > $@.tmp && mv $@.tmp $@
CLEANFILES += assets_data.c
EXTRA_DIST += daemon/embed.sh
HTTP_LIBS = libhttp.a $(MICROHTTPD_LIBS) $(GNUTLS_LIBS) $(ZLIB_LIBS)

# service/ and work/: configuration, log, queue, workers, metrics, model, service manager.
noinst_LIBRARIES += libservice.a
libservice_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libservice_a_SOURCES =
libservice_a_SOURCES += daemon/api/api.h
libservice_a_SOURCES += daemon/service/beat.h
libservice_a_SOURCES += daemon/service/conf.c daemon/service/conf.h daemon/service/conf_table.h
libservice_a_SOURCES += daemon/service/conf_check.c
libservice_a_SOURCES += daemon/service/conf_print.c
libservice_a_SOURCES += daemon/service/conf_table.c
libservice_a_SOURCES += daemon/service/later.c daemon/service/later.h
libservice_a_SOURCES += daemon/service/listen.c daemon/service/listen.h
libservice_a_SOURCES += daemon/service/log.c daemon/service/log.h
libservice_a_SOURCES += daemon/service/metrics.c daemon/service/metrics.h
libservice_a_SOURCES += daemon/service/process.c daemon/service/process.h
libservice_a_SOURCES += daemon/service/service.c daemon/service/service.h
libservice_a_SOURCES += daemon/work/dispatch.c daemon/work/dispatch.h
libservice_a_SOURCES += daemon/work/errands.c daemon/work/errands.h
libservice_a_SOURCES += daemon/work/job.c daemon/work/job.h
libservice_a_SOURCES += daemon/work/model_holder.c daemon/work/model_holder.h
libservice_a_SOURCES += daemon/work/queue.c daemon/work/queue.h
libservice_a_SOURCES += daemon/work/scheduler.c daemon/work/scheduler.h daemon/work/scheduler_private.h
libservice_a_SOURCES += daemon/work/worker.c daemon/work/worker.h daemon/work/worker_internal.h
libservice_a_SOURCES += daemon/work/worker_score.c
SERVICE_LIBS = libservice.a $(CORE_LIBS) $(SYSTEMD_LIBS)

sbin_PROGRAMS += jointflowd
jointflowd_SOURCES = daemon/main.c daemon/setup.c daemon/setup.h
jointflowd_LDADD = $(HTTP_LIBS) $(SERVICE_LIBS)
