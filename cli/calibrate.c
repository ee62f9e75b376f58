/* calibrate: teaches a trained model what its training set looks like, so that it says how familiar a picture is and
 * its joint samples show each class as often. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/setup.h"
#include "core/files/checkpoint.h"
#include "core/files/dataset.h"
#include "core/questions/calibrate.h"

static void tell(void *context, const char *line) {
	(void)context;
	cli_error("%s", line);
}

/* The trainer's own split of the data set, so that what was kept back from training is kept back here. */
static enum jf_err calibrate(
    struct jf_model *model, const struct jf_dataset *data, const struct cli_args *args, struct jf_error *err) {
	size_t holdout = args->holdout ? (size_t)args->holdout : jf_dataset_holdout(data->n);
	uint32_t *order = malloc(data->n * sizeof(*order) + 1);
	struct jf_task_options options;
	enum jf_err rc;

	cli_task_options(&options, args, JF_TASK_CLASSIFY);
	if (!order)
		rc = jf_error_set(err, JF_ENOMEM, "no memory for the order of %zu images", data->n);
	else if (holdout >= data->n)
		rc = jf_error_set(
		    err, JF_EINVAL, "--holdout=%zu of %zu images leaves none to learn from", holdout, data->n);
	else
		rc = jf_dataset_split(order, data, holdout, err);
	if (rc == JF_OK)
		rc = jf_calibrate(model, data, order, data->n - holdout, holdout, &options, err);
	if (rc == JF_OK)
		rc = jf_calibrate_labels(model, data, order, data->n - holdout, &options, err);
	free(order);
	return rc;
}

int cli_calibrate(const struct cli_args *args) {
	struct jf_dataset data = {0};
	struct jf_error err = {0};
	struct jf_model *model;

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (!args->data)
		return cli_usage("calibrate needs --data PATH, the data that the model was trained on");
	if (!args->output)
		return cli_usage("calibrate needs --output FILE, the checkpoint to write");
	model = cli_model_load(args, NULL, 0, &err);
	if (model) {
		const struct jf_network_config *c = &model->config;
		const struct jf_dataset_form form = {c->height, c->width, c->image_channels, tell, NULL};

		if (jf_dataset_load(&data, args->data, JF_DATASET_TRAIN, &form, &err) == JF_OK &&
		    jf_dataset_match(&data, model->class_names, c->classes, args->data, &err) == JF_OK &&
		    calibrate(model, &data, args, &err) == JF_OK &&
		    jf_checkpoint_save(model, args->output, &err) == JF_OK && !args->quiet)
			printf("%s\n", args->output);
	}
	jf_dataset_deinit(&data);
	jf_model_unref(model);
	return err.code ? cli_fail(&err) : CLI_EXIT_OK;
}
