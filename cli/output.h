/* Pictures to where -o says: one sheet, single PNGs in a folder, or a NumPy array. */
#ifndef JF_CLI_OUTPUT_H
#define JF_CLI_OUTPUT_H

#include "cli/options.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/engine/model.h"
#include "core/questions/tasks.h"

enum cli_output_kind {
	CLI_OUTPUT_SHEET,  /* NAME.png, or - for standard output */
	CLI_OUTPUT_FOLDER, /* FOLDER/ (made when missing), or any folder that is there */
	CLI_OUTPUT_NPY,    /* NAME.npy, not scaled */
};

struct cli_output {
	enum cli_output_kind kind;
	const char *name; /* borrowed */
	int columns;      /* of a sheet; 0: nearly square */
	int scale;
};

/* Decides by the name before anything is computed. fallback: the name when -o was not given. JF_EINVAL. */
enum jf_err cli_output_plan(
    struct cli_output *output, const struct cli_args *args, const char *fallback, struct jf_error *err);

/* images [n][H][W][C] in [-1, 1]. Single pictures are named 000.png, 001.png ... */
enum jf_err cli_output_write(
    const struct cli_output *output, const struct jf_model *model, const float *images, int n, struct jf_error *err);

/* The file name of picture i of n inside a folder. */
void cli_output_member(char *name, size_t size, int i, int n);

/* Says on stdout what was written, unless stdout is the picture or --quiet. */
void cli_output_tell(const struct cli_output *output, const struct cli_args *args, int n);

/* The members of a JSON answer that say how n images were drawn and where they went. */
void cli_output_put_settings(struct jf_json_writer *json, const struct cli_output *output, const struct jf_model *model,
    const struct jf_task_options *options, int n);

/* Makes the folder unless it exists. JF_EIO names it and the cause. */
enum jf_err cli_output_make_folder(const char *folder, struct jf_error *err);

/* "folder/member". JF_EINVAL: too long. */
enum jf_err cli_output_path(char *path, size_t size, const char *folder, const char *member, struct jf_error *err);

#endif
