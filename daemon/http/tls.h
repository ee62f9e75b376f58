/* The server's certificate: read and checked as a whole, and replaced while connections are open. */
#ifndef JF_DAEMON_HTTP_TLS_H
#define JF_DAEMON_HTTP_TLS_H

#include <gnutls/abstract.h>

#include "core/base/error.h"

struct jf_tls;

/* Reads a chain (the server's own certificate first or anywhere; it is sorted) and the private key of it, PEM both.
 * NULL on failure: JF_EIO when a file cannot be read; JF_EFORMAT when it is not a certificate or key, or when the two
 * do not belong together. *err names key and file. */
struct jf_tls *jf_tls_load(const char *cert_path, const char *key_path, struct jf_error *err);
void jf_tls_destroy(struct jf_tls *tls); /* NULL allowed */

/* New connections get this certificate from now on; handshakes under way finish with the one they began with. Takes it
 * over. NULL: there is none, handshakes fail. One for the whole process, because GnuTLS hands jf_tls_choose no context.
 */
void jf_tls_use(struct jf_tls *tls);

/* For libmicrohttpd's MHD_OPTION_HTTPS_CERT_CALLBACK2: a copy of the certificate in use. */
gnutls_certificate_retrieve_function3 jf_tls_choose;

#endif
