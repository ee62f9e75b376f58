#include "daemon/http/tls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

#define MAX_PEM ((size_t)1 << 20)
#define ID_SIZE 64

struct jf_tls {
	gnutls_x509_crt_t *chain;
	unsigned n;
	gnutls_x509_privkey_t key;
};

static struct jf_tls *in_use;
static pthread_rwlock_t in_use_lock = PTHREAD_RWLOCK_INITIALIZER; /* guards in_use and what it points to */

static enum jf_err read_chain(struct jf_tls *tls, const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err rc = jf_file_read(&data, &size, path, MAX_PEM, err);
	if (rc != JF_OK)
		return rc;
	const gnutls_datum_t pem = {.data = data, .size = (unsigned)size};
	int code =
	    gnutls_x509_crt_list_import2(&tls->chain, &tls->n, &pem, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
	free(data);
	if (code < 0)
		return jf_error_set(err, JF_EFORMAT, "%s: no certificate in PEM form: %s", path, gnutls_strerror(code));
	return JF_OK;
}

static enum jf_err read_key(struct jf_tls *tls, const char *path, struct jf_error *err) {
	uint8_t *data;
	size_t size;
	enum jf_err rc = jf_file_read(&data, &size, path, MAX_PEM, err);
	if (rc != JF_OK)
		return rc;
	const gnutls_datum_t pem = {.data = data, .size = (unsigned)size};
	int code = gnutls_x509_privkey_init(&tls->key);
	if (code >= 0)
		code = gnutls_x509_privkey_import2(tls->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	explicit_bzero(data, size);
	free(data);
	if (code < 0)
		return jf_error_set(err, JF_EFORMAT, "%s: no private key in PEM form: %s", path, gnutls_strerror(code));
	return JF_OK;
}

/* Certificate and private key hold the same public key. */
static bool belong_together(const struct jf_tls *tls) {
	unsigned char of_certificate[ID_SIZE], of_key[ID_SIZE];
	size_t size = sizeof(of_certificate), key_size = sizeof(of_key);
	return gnutls_x509_crt_get_key_id(tls->chain[0], GNUTLS_KEYID_USE_SHA256, of_certificate, &size) >= 0 &&
	       gnutls_x509_privkey_get_key_id(tls->key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >= 0 &&
	       size == key_size && memcmp(of_certificate, of_key, size) == 0;
}

struct jf_tls *jf_tls_load(const char *cert_path, const char *key_path, struct jf_error *err) {
	struct jf_tls *tls = calloc(1, sizeof(*tls));
	if (!tls) {
		jf_error_set(err, JF_ENOMEM, "no memory for a certificate");
		return NULL;
	}
	if (read_chain(tls, cert_path, err) != JF_OK) {
		jf_error_prefix(err, "tls_cert");
	} else if (read_key(tls, key_path, err) != JF_OK) {
		jf_error_prefix(err, "tls_key");
	} else if (!belong_together(tls)) {
		jf_error_set(err, JF_EFORMAT, "tls_key: %.200s is not the key of the certificate in %.200s (tls_cert)",
		    key_path, cert_path);
	} else {
		return tls;
	}
	jf_tls_destroy(tls);
	return NULL;
}

void jf_tls_destroy(struct jf_tls *tls) {
	if (!tls)
		return;
	for (unsigned i = 0; i < tls->n; i++)
		gnutls_x509_crt_deinit(tls->chain[i]);
	gnutls_free(tls->chain);
	if (tls->key)
		gnutls_x509_privkey_deinit(tls->key);
	free(tls);
}

void jf_tls_use(struct jf_tls *tls) {
	pthread_rwlock_wrlock(&in_use_lock);
	struct jf_tls *old = in_use;
	in_use = tls;
	pthread_rwlock_unlock(&in_use_lock);
	jf_tls_destroy(old);
}

/* Copies what is in use; the lock is held. GnuTLS frees both, as the caller's flag says. */
static int copy(gnutls_pcert_st *chain, gnutls_privkey_t *key) {
	unsigned n = 0;
	int code = 0;
	while (n < in_use->n && (code = gnutls_pcert_import_x509(&chain[n], in_use->chain[n], 0)) >= 0)
		n++;
	if (code >= 0)
		code = gnutls_privkey_init(key);
	if (code >= 0 && (code = gnutls_privkey_import_x509(*key, in_use->key, GNUTLS_PRIVKEY_IMPORT_COPY)) < 0)
		gnutls_privkey_deinit(*key);
	while (code < 0 && n > 0)
		gnutls_pcert_deinit(&chain[--n]);
	return code;
}

int jf_tls_choose(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
    unsigned int *n, gnutls_ocsp_data_st **ocsp, unsigned int *n_ocsp, gnutls_privkey_t *key, unsigned int *flags) {
	int code = GNUTLS_E_INSUFFICIENT_CREDENTIALS;
	(void)session;
	(void)info;
	pthread_rwlock_rdlock(&in_use_lock);
	if (in_use) {
		*chain = gnutls_calloc(in_use->n, sizeof(**chain));
		code = *chain ? copy(*chain, key) : GNUTLS_E_MEMORY_ERROR;
	}
	if (code >= 0) {
		*n = in_use->n;
		*ocsp = NULL;
		*n_ocsp = 0;
		*flags = GNUTLS_CERT_RETR_DEINIT_ALL;
	} else if (in_use) {
		gnutls_free(*chain);
	}
	pthread_rwlock_unlock(&in_use_lock);
	return code < 0 ? -1 : 0;
}
