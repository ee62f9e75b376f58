#include "daemon/http/secrets.h"

enum jf_err jf_secrets_load(struct jf_secrets *secrets, const struct jf_conf *conf, struct jf_error *err) {
	*secrets = (struct jf_secrets){.keys = jf_keys_load(conf->key_file, err)};
	if (!secrets->keys) {
		jf_error_prefix(err, "key_file");
		return err->code;
	}
	if (*conf->tls_cert && !(secrets->tls = jf_tls_load(conf->tls_cert, conf->tls_key, err))) {
		jf_secrets_deinit(secrets);
		return err->code;
	}
	return JF_OK;
}

void jf_secrets_deinit(struct jf_secrets *secrets) {
	jf_keys_destroy(secrets->keys);
	jf_tls_destroy(secrets->tls);
	*secrets = (struct jf_secrets){.keys = NULL};
}
