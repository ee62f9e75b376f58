#include "cli/setup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "core/files/checkpoint.h"

#define TREE_MODEL "models/mnist.safetensors"
#define INSTALLED_MODEL JF_PKGDATADIR "/models/mnist.safetensors"

/* In a source tree this program is TREE/build/jointflow (or TREE/jointflow), and TREE has configure.ac beside models/.
 */
static bool find_in_tree(char *path, size_t size) {
	char here[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);

	if (length <= 0)
		return false;
	here[length] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(here, '/');

		if (!slash)
			return false;
		*slash = '\0';
		if (snprintf(path, size, "%s/configure.ac", here) >= (int)size || access(path, R_OK))
			continue;
		if (snprintf(path, size, "%s/" TREE_MODEL, here) < (int)size && !access(path, R_OK))
			return true;
	}
	return false;
}

struct jf_model *cli_model_load(const struct cli_args *args, char *path, size_t size, struct jf_error *err) {
	const char *name = args->model;
	char found[PATH_MAX];

	if (!name)
		name = getenv("JOINTFLOW_MODEL");
	if (!name || !*name)
		name = find_in_tree(found, sizeof(found)) ? found : INSTALLED_MODEL;
	if (path)
		snprintf(path, size, "%s", name);
	return jf_checkpoint_load(name, err);
}

void cli_task_options(struct jf_task_options *options, const struct cli_args *args, enum jf_task task) {
	*options = jf_task_options_default();
	options->seed = args->seed;
	options->sampler.solver = args->solver < 0 ? jf_solver_default(task) : (enum jf_solver)args->solver;
	options->sampler.guidance = (float)args->guidance;
	if (args->steps)
		options->sampler.steps = args->steps;
	if (args->threads)
		options->threads = args->threads;
	if (args->batch)
		options->batch = args->batch;
	options->cancel = cli_cancel_flag();
}

enum jf_err cli_class_parse(int *out, const struct jf_model *model, const char *text, struct jf_error *err) {
	int classes = model->config.classes;
	char *end;
	long number;

	for (int k = 0; k < classes; k++) {
		if (!strcmp(model->class_names[k], text)) {
			*out = k;
			return JF_OK;
		}
	}
	errno = 0;
	number = strtol(text, &end, 10);
	if (end == text || *end || errno || number < 0 || number >= classes) {
		return jf_error_set(err, JF_EINVAL, "'%s' is no class of this model: it has %d, from '%s' to '%s'",
		    text, classes, model->class_names[0], model->class_names[classes - 1]);
	}
	*out = (int)number;
	return JF_OK;
}

float *cli_floats(size_t n, struct jf_error *err) {
	float *floats = calloc(n ? n : 1, sizeof(*floats));

	if (!floats)
		jf_error_set(err, JF_ENOMEM, "no memory for %zu numbers", n);
	return floats;
}

void cli_json_model(struct jf_json_writer *json, const struct jf_model *model) {
	jf_json_begin_object(json, "model");
	jf_json_put_string(json, "name", model->name);
	jf_json_put_string(json, "checksum", model->checksum);
	jf_json_end_object(json);
}

enum jf_err cli_json_print(struct jf_json_writer *json, struct jf_error *err) {
	const char *text = jf_json_writer_text(json);

	if (!text)
		return jf_error_set(err, JF_ENOMEM, "no memory for the answer's text");
	puts(text);
	jf_json_writer_reset(json);
	return JF_OK;
}
