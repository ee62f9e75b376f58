#include "trainer/state.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "jointflow-training-state"
#define VERSION "2"
#define N_OWN 10

enum jf_err jf_state_save(const char *path, const struct jf_train_state *state, struct jf_trainer *trainer,
    size_t n_params, const struct jf_train_options *options, struct jf_error *err) {
	struct jf_tensor tensors[4 + JF_MAX_EMA];
	char ema_names[JF_MAX_EMA][16];
	struct jf_options_facts facts;
	struct jf_metadata metadata[N_OWN + JF_OPTIONS_MAX_FACTS];
	char step[24], start[24], end[24], wall[32], best_step[24], best_ema[24], best_loss[32];
	size_t n = 0, m = 0;

	tensors[n++] = JF_TENSOR_1D("params", JF_DTYPE_F32, jf_trainer_params(trainer), n_params);
	tensors[n++] = JF_TENSOR_1D("moment1", JF_DTYPE_F32, jf_trainer_moment1(trainer), n_params);
	tensors[n++] = JF_TENSOR_1D("moment2", JF_DTYPE_F32, jf_trainer_moment2(trainer), n_params);
	for (int i = 0; i < options->n_ema; i++) {
		snprintf(ema_names[i], sizeof(ema_names[i]), "ema.%d", i);
		tensors[n++] = JF_TENSOR_1D(ema_names[i], JF_DTYPE_F32, jf_trainer_ema(trainer, i), n_params);
	}
	if (state->best && isfinite(state->best_loss)) {
		tensors[n++] = JF_TENSOR_1D("best", JF_DTYPE_F32, state->best, n_params);
		snprintf(best_step, sizeof(best_step), "%llu", (unsigned long long)state->best_step);
		snprintf(best_ema, sizeof(best_ema), "%d", state->best_ema);
		snprintf(best_loss, sizeof(best_loss), "%.17g", state->best_loss);
		metadata[m++] = (struct jf_metadata){"best.step", best_step};
		metadata[m++] = (struct jf_metadata){"best.ema", best_ema};
		metadata[m++] = (struct jf_metadata){"best.loss", best_loss};
	}
	snprintf(step, sizeof(step), "%llu", (unsigned long long)state->step);
	snprintf(start, sizeof(start), "%llu", (unsigned long long)state->schedule_start);
	snprintf(end, sizeof(end), "%llu", (unsigned long long)state->schedule_end);
	snprintf(wall, sizeof(wall), "%.1f", state->wall_time_s);
	metadata[m++] = (struct jf_metadata){"format", FORMAT};
	metadata[m++] = (struct jf_metadata){"format_version", VERSION};
	metadata[m++] = (struct jf_metadata){"step", step};
	metadata[m++] = (struct jf_metadata){"schedule.start", start};
	metadata[m++] = (struct jf_metadata){"schedule.end", end};
	metadata[m++] = (struct jf_metadata){"wall_time_s", wall};
	metadata[m++] = (struct jf_metadata){"data_digest", state->digest};
	jf_options_facts(options, &facts);
	for (size_t i = 0; i < facts.n; i++)
		metadata[m++] = facts.metadata[i];
	return jf_safetensors_save(path, tensors, n, metadata, m, err);
}

static enum jf_err read_count(uint64_t *out, const struct jf_safetensors *file, const char *key, struct jf_error *err) {
	const char *text = jf_safetensors_metadata(file, key);
	char *end = NULL;

	errno = 0;
	if (text && *text >= '0' && *text <= '9')
		*out = strtoull(text, &end, 10);
	if (!end || *end || errno || *out > (uint64_t)1 << 48)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: metadata %s is not a count", jf_safetensors_origin(file), key);
	return JF_OK;
}

/* The best state, where there is one; read->best is the caller's memory. */
static enum jf_err read_best(
    struct jf_train_state *read, const struct jf_safetensors *file, size_t n_params, int n_ema, struct jf_error *err) {
	const char *loss = jf_safetensors_metadata(file, "best.loss");
	uint64_t ema = 0;
	char *end = NULL;
	enum jf_err rc;

	read->best_loss = INFINITY;
	if (!loss || !read->best)
		return JF_OK;
	if ((rc = read_count(&read->best_step, file, "best.step", err)) != JF_OK ||
	    (rc = read_count(&ema, file, "best.ema", err)) != JF_OK)
		return rc;
	read->best_ema = (int)ema;
	read->best_loss = strtod(loss, &end);
	if (end == loss || *end || !isfinite(read->best_loss) || read->best_step > read->step || ema >= (uint64_t)n_ema)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: metadata best.* are no loss, step and mean", jf_safetensors_origin(file));
	return jf_safetensors_read_f32(file, "best", read->best, n_params, err);
}

static enum jf_err read_facts(
    struct jf_train_state *out, const struct jf_safetensors *file, const char *digest, struct jf_error *err) {
	const char *origin = jf_safetensors_origin(file);
	const char *format = jf_safetensors_metadata(file, "format");
	const char *version = jf_safetensors_metadata(file, "format_version");
	const char *theirs = jf_safetensors_metadata(file, "data_digest");
	const char *wall = jf_safetensors_metadata(file, "wall_time_s");
	enum jf_err rc;

	if (!format || strcmp(format, FORMAT) != 0)
		return jf_error_set(err, JF_EFORMAT, "%s: is not a training state", origin);
	if (!version || strcmp(version, VERSION) != 0)
		return jf_error_set(err, JF_EFORMAT, "%s: format version %s; this program reads %s", origin,
		    version ? version : "missing", VERSION);
	if (!theirs || strcmp(theirs, digest) != 0)
		return jf_error_set(err, JF_EINVAL, "%s: was made from other data (digest %.16s, not %.16s)", origin,
		    theirs ? theirs : "missing", digest);
	if ((rc = read_count(&out->step, file, "step", err)) != JF_OK ||
	    (rc = read_count(&out->schedule_start, file, "schedule.start", err)) != JF_OK ||
	    (rc = read_count(&out->schedule_end, file, "schedule.end", err)) != JF_OK)
		return rc;
	if (out->schedule_start > out->step || out->step > out->schedule_end)
		return jf_error_set(
		    err, JF_EFORMAT, "%s: step %llu lies outside its schedule", origin, (unsigned long long)out->step);
	out->wall_time_s = wall ? strtod(wall, NULL) : 0;
	if (!isfinite(out->wall_time_s) || out->wall_time_s < 0)
		out->wall_time_s = 0;
	snprintf(out->digest, sizeof(out->digest), "%s", digest);
	return JF_OK;
}

enum jf_err jf_state_load(const char *path, struct jf_train_state *state, struct jf_trainer *trainer, size_t n_params,
    const struct jf_train_options *options, struct jf_error *err) {
	struct jf_safetensors *file = jf_safetensors_open(path, err);
	struct jf_train_state read = {.best = state->best};
	char name[16];
	enum jf_err rc;

	if (!file)
		return err->code;
	if ((rc = read_facts(&read, file, state->digest, err)) != JF_OK ||
	    (rc = jf_options_match(options, file, err)) != JF_OK ||
	    (rc = jf_safetensors_read_f32(file, "params", jf_trainer_params(trainer), n_params, err)) != JF_OK ||
	    (rc = jf_safetensors_read_f32(file, "moment1", jf_trainer_moment1(trainer), n_params, err)) != JF_OK ||
	    (rc = jf_safetensors_read_f32(file, "moment2", jf_trainer_moment2(trainer), n_params, err)) != JF_OK)
		goto out;
	for (int i = 0; rc == JF_OK && i < options->n_ema; i++) {
		snprintf(name, sizeof(name), "ema.%d", i);
		rc = jf_safetensors_read_f32(file, name, jf_trainer_ema(trainer, i), n_params, err);
	}
	if (rc == JF_OK)
		rc = read_best(&read, file, n_params, options->n_ema, err);
	if (rc == JF_OK) {
		*jf_trainer_step_count(trainer) = read.step;
		*state = read;
	}
out:
	jf_safetensors_close(file);
	return rc;
}
