/* What every command starts with: the model, the task options, a class by its name. */
#ifndef JF_CLI_SETUP_H
#define JF_CLI_SETUP_H

#include "cli/options.h"
#include "core/base/json.h"
#include "core/engine/model.h"
#include "core/questions/tasks.h"

/* --model, else $JOINTFLOW_MODEL, else models/mnist.safetensors of the source tree that this program was built in, else
 * the installed one. `path` out: what was loaded, [size], may be NULL. The caller unrefs; NULL: *err says why. */
struct jf_model *cli_model_load(const struct cli_args *args, char *path, size_t size, struct jf_error *err);

/* What the options say, and for the rest the defaults of this task. */
void cli_task_options(struct jf_task_options *options, const struct cli_args *args, enum jf_task task);

/* A class as the option `option` names it. JF_EINVAL says what there is. */
enum jf_err cli_class_parse(
    int *out, const struct jf_model *model, const char *option, const char *text, struct jf_error *err);

/* How many of --class, --digit, --label and --weights were given. */
int cli_labels_given(const struct cli_args *args);
/* The label vector [K] named by the option that was given. */
enum jf_err cli_label_parse(
    float *label, const struct jf_model *model, const struct cli_args *args, struct jf_error *err);

/* Reads a picture ("-": standard input) and frames it for the model: out [H][W][C]. Errors name the file. */
enum jf_err cli_picture_read(float *out, struct jf_framing_report *report, const char *file,
    const struct jf_model *model, const struct cli_args *args, struct jf_error *err);

/* The samples that --samples says, or the method's default. */
int cli_samples(const struct cli_args *args);

/* malloc of n floats; NULL: *err says so. */
float *cli_floats(size_t n, struct jf_error *err);

/* Prints the text and a newline to stdout, and empties the writer. */
enum jf_err cli_json_print(struct jf_json_writer *json, struct jf_error *err);

#endif
