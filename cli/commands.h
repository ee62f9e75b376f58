/* The commands. Each gets its parsed arguments and returns the exit status, having reported what went wrong. */
#ifndef JF_CLI_COMMANDS_H
#define JF_CLI_COMMANDS_H

#include "cli/options.h"

int cli_calibrate(const struct cli_args *args);
int cli_classify(const struct cli_args *args);
int cli_generate(const struct cli_args *args);
int cli_blend(const struct cli_args *args);
int cli_sample(const struct cli_args *args);
int cli_edit(const struct cli_args *args);
int cli_score(const struct cli_args *args);
int cli_eval(const struct cli_args *args);
int cli_info(const struct cli_args *args);
int cli_export(const struct cli_args *args);

#endif
