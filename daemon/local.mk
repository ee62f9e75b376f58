# daemon: part of the top Makefile.am

# What speaks HTTP, floors 3 and 4; jointflowd links HTTP_LIBS before what holds the scheduler and the rest.
noinst_LIBRARIES += libhttp.a
libhttp_a_CPPFLAGS = $(AM_CPPFLAGS) $(MICROHTTPD_CFLAGS) $(ZLIB_CFLAGS)
libhttp_a_SOURCES =
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
HTTP_LIBS = libhttp.a $(MICROHTTPD_LIBS) $(ZLIB_LIBS)
