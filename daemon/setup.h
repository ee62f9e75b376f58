/* What only the program knows of its configuration: where names without a slash lead, whether the files are good, and
 * what this process may use. */
#ifndef JF_DAEMON_SETUP_H
#define JF_DAEMON_SETUP_H

#include "daemon/http/secrets.h"
#include "daemon/service/conf.h"
#include "daemon/work/model_holder.h"

/* jf_conf_load, and the paths resolved: a model's name without a slash is a file of the current folder, of the source
 * tree that this program was built in, or of those installed; names of secrets are credentials of the service. */
enum jf_err jf_setup_load(struct jf_conf *conf, const struct jf_conf_request *request, struct jf_error *err);

/* Everything that a reload changes, loaded and tested, not in force. */
struct jf_setup {
	struct jf_conf conf;
	struct jf_secrets secrets;
	struct jf_model *model;
};

/* Configuration, secrets and model, as a start or a reload needs them; changes nothing. On failure *setup needs no
 * deinit, and *err names key and file. */
enum jf_err jf_setup_open(struct jf_setup *setup, const struct jf_conf_request *request, struct jf_error *err);
void jf_setup_deinit(struct jf_setup *setup);

/* The model of the configuration, self-tested. *err names key and file. */
enum jf_err jf_setup_open_model(struct jf_model **out, const struct jf_conf *conf, struct jf_error *err);

/* Puts the number of CPUs in the place of workers = 0. */
void jf_setup_workers(struct jf_conf *conf);

/* Raises the soft limit of descriptors to the hard one. If that is too little for max_connections on n_listeners, it is
 * lowered, and a warning says so; JF_ELIMIT when hardly a connection would be left. */
enum jf_err jf_setup_descriptors(struct jf_conf *conf, int n_listeners, struct jf_error *err);

/* For --check-config: what a start needs beyond jf_setup_open, descriptors and a place for the Unix socket. Lowers
 * max_connections as jf_setup_descriptors does. */
enum jf_err jf_setup_check_start(struct jf_conf *conf, struct jf_error *err);

/* An error before the log is set up: to the journal with its priority, elsewhere as programs do. */
void jf_setup_complain(const struct jf_error *error, const char *hint);
/* Warns of JOINTFLOWD_... variables that are no keys, and of a JOINTFLOW_ISA that has no effect. */
void jf_setup_warn_of_variables(void);
/* Warns of secrets that every user of the machine can read or change. */
void jf_setup_warn_of_secrets(const struct jf_conf *conf);
/* At a reload: warns of secrets that it cannot have taken over, because they are the service manager's copies. */
void jf_setup_warn_of_copies(const struct jf_conf *conf);

#endif
