/* What only the program knows of its configuration: where names without a slash lead, whether the files are good, and
 * what this process may use. */
#ifndef JF_DAEMON_SETUP_H
#define JF_DAEMON_SETUP_H

#include "daemon/service/conf.h"

/* jf_conf_load, and the paths resolved: a model's name without a slash is a file of the current folder, of the source
 * tree that this program was built in, or of those installed; names of secrets are credentials of the service. */
enum jf_err jf_setup_load(struct jf_conf *conf, const struct jf_conf_request *request, struct jf_error *err);

/* Reads what a start or a reload would read, and tests the model; takes what these take, and changes nothing. *err
 * names key and file. */
enum jf_err jf_setup_check(const struct jf_conf *conf, struct jf_error *err);

/* Puts the number of CPUs in the place of workers = 0. */
void jf_setup_workers(struct jf_conf *conf);

/* Raises the soft limit of descriptors to the hard one. If that is too little for max_connections on n_listeners, it is
 * lowered, and a warning says so; JF_ELIMIT when hardly a connection would be left. */
enum jf_err jf_setup_descriptors(struct jf_conf *conf, int n_listeners, struct jf_error *err);

/* An error before the log is set up: to the journal with its priority, elsewhere as programs do. */
void jf_setup_complain(const struct jf_error *error, const char *hint);
/* Warns of JOINTFLOWD_... variables that are no keys. */
void jf_setup_warn_of_variables(void);

#endif
