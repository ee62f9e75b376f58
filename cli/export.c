/* export: the model in a format that other programs run. */
#include <limits.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/onnx.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/setup.h"

static const struct {
	enum onnx_part part;
	const char *file;
} parts[] = {
    {ONNX_POSTERIOR, "posterior.onnx"},
    {ONNX_FIELD, "field.onnx"},
};

int cli_export(const struct cli_args *args) {
	const char *folder = args->output ? args->output : ".";
	struct jf_error err = {0};
	struct jf_model *model;

	if (args->n_operands)
		return cli_usage("extra operand '%s'", args->operands[0]);
	if (!args->onnx)
		return cli_usage("missing --onnx, the only format");
	model = cli_model_load(args, NULL, 0, &err);
	if (model)
		cli_output_make_folder(folder, &err);
	for (size_t i = 0; model && err.code == JF_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char path[PATH_MAX];

		if (cli_output_path(path, sizeof(path), folder, parts[i].file, &err) == JF_OK &&
		    onnx_export(model, parts[i].part, path, &err) == JF_OK && !args->quiet)
			printf("%s\n", path);
	}
	jf_model_unref(model);
	return err.code ? cli_fail(&err) : CLI_EXIT_OK;
}
