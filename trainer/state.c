#include "trainer/state.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"

#define FORMAT "jointflow-training-state"
#define VERSION "3"
#define N_OWN 12
#define DIGEST "sha256"

/* The arrays of a state, in the file's order. */
struct arrays {
	struct {
		char name[16];
		float *data; /* [n_params] */
	} item[4 + JF_MAX_EMA];
	size_t n;
};

static void add_array(struct arrays *arrays, float *data, const char *name) {
	snprintf(arrays->item[arrays->n].name, sizeof(arrays->item[0].name), "%s", name);
	arrays->item[arrays->n++].data = data;
}

/* best: NULL when there is none. */
static void list_arrays(
    struct arrays *out, struct jf_trainer *trainer, const struct jf_train_options *options, float *best) {
	char name[16];

	out->n = 0;
	add_array(out, jf_trainer_params(trainer), "params");
	add_array(out, jf_trainer_moment1(trainer), "moment1");
	add_array(out, jf_trainer_moment2(trainer), "moment2");
	for (int i = 0; i < options->n_ema; i++) {
		snprintf(name, sizeof(name), "ema.%d", i);
		add_array(out, jf_trainer_ema(trainer, i), name);
	}
	if (best)
		add_array(out, best, "best");
}

static void digest_metadata(struct jf_digest *digest, const struct jf_metadata *item) {
	jf_digest_update(digest, item->key, strlen(item->key) + 1);
	jf_digest_update(digest, item->value, strlen(item->value) + 1);
}

static void digest_arrays(
    struct jf_digest *digest, const struct arrays *arrays, size_t n_params, char out[JF_SHA256_HEX]) {
	for (size_t i = 0; i < arrays->n; i++)
		jf_digest_update(digest, arrays->item[i].data, n_params * sizeof(float));
	jf_digest_hex(digest, out);
}

static enum jf_err no_memory(struct jf_error *err) {
	return jf_error_set(err, JF_ENOMEM, "out of memory for the digest of a training state");
}

/* What a disk or a copy has damaged is not trained on: metadata in the file's order, then the arrays. */
static enum jf_err seal(char out[JF_SHA256_HEX], const struct jf_metadata *metadata, size_t n,
    const struct arrays *arrays, size_t n_params, struct jf_error *err) {
	struct jf_digest *digest = jf_digest_create();

	if (!digest)
		return no_memory(err);
	for (size_t i = 0; i < n; i++)
		digest_metadata(digest, &metadata[i]);
	digest_arrays(digest, arrays, n_params, out);
	jf_digest_destroy(digest);
	return JF_OK;
}

/* States of format version 2 have no digest; one whose "best" the caller has no room for is only read in part. */
static enum jf_err check_seal(
    const struct jf_safetensors *file, const struct arrays *arrays, size_t n_params, struct jf_error *err) {
	bool has_best = strcmp(arrays->item[arrays->n - 1].name, "best") == 0;
	const char *version = jf_safetensors_metadata(file, "format_version");
	const char *written = jf_safetensors_metadata(file, DIGEST);
	struct jf_digest *digest;
	char found[JF_SHA256_HEX];

	if ((!written && strcmp(version, VERSION) != 0) || (!has_best && jf_safetensors_metadata(file, "best.loss")))
		return JF_OK;
	if (!(digest = jf_digest_create()))
		return no_memory(err);
	for (size_t i = 0; i < jf_safetensors_metadata_count(file); i++)
		if (strcmp(jf_safetensors_metadata_at(file, i)->key, DIGEST) != 0)
			digest_metadata(digest, jf_safetensors_metadata_at(file, i));
	digest_arrays(digest, arrays, n_params, found);
	jf_digest_destroy(digest);
	if (written && strcmp(written, found) == 0)
		return JF_OK;
	return jf_error_set(err, JF_EFORMAT,
	    "%s: is damaged: its contents do not have the digest that was saved with them; go on from a copy of it, or "
	    "remove it and start anew (--init takes the weights of a model)",
	    jf_safetensors_origin(file));
}

enum jf_err jf_state_save(const char *path, const struct jf_train_state *state, struct jf_trainer *trainer,
    size_t n_params, const struct jf_train_options *options, struct jf_error *err) {
	bool has_best = state->best && isfinite(state->best_loss);
	struct jf_tensor tensors[4 + JF_MAX_EMA];
	struct jf_options_facts facts;
	struct arrays arrays;
	enum jf_err rc;
	struct jf_metadata metadata[N_OWN + JF_OPTIONS_MAX_FACTS];
	char step[24], start[24], end[24], evaluated[24], wall[32], best_step[24], best_ema[24], best_loss[32],
	    sha[JF_SHA256_HEX];
	size_t m = 0;

	list_arrays(&arrays, trainer, options, has_best ? state->best : NULL);
	for (size_t i = 0; i < arrays.n; i++)
		tensors[i] = JF_TENSOR_1D(arrays.item[i].name, JF_DTYPE_F32, arrays.item[i].data, n_params);
	if (has_best) {
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
	snprintf(evaluated, sizeof(evaluated), "%llu", (unsigned long long)state->evaluated);
	snprintf(wall, sizeof(wall), "%.1f", state->wall_time_s);
	metadata[m++] = (struct jf_metadata){"format", FORMAT};
	metadata[m++] = (struct jf_metadata){"format_version", VERSION};
	metadata[m++] = (struct jf_metadata){"step", step};
	metadata[m++] = (struct jf_metadata){"schedule.start", start};
	metadata[m++] = (struct jf_metadata){"schedule.end", end};
	metadata[m++] = (struct jf_metadata){"evaluated", evaluated};
	metadata[m++] = (struct jf_metadata){"wall_time_s", wall};
	metadata[m++] = (struct jf_metadata){"data_digest", state->digest};
	jf_options_facts(options, &facts);
	for (size_t i = 0; i < facts.n; i++)
		metadata[m++] = facts.metadata[i];
	if ((rc = seal(sha, metadata, m, &arrays, n_params, err)) != JF_OK)
		return rc;
	metadata[m++] = (struct jf_metadata){DIGEST, sha};
	return jf_safetensors_save(path, tensors, arrays.n, metadata, m, err);
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

/* What is known of the best state. */
static enum jf_err read_best(
    struct jf_train_state *read, const struct jf_safetensors *file, int n_ema, struct jf_error *err) {
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
	return JF_OK;
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
	if (!version || (strcmp(version, VERSION) != 0 && strcmp(version, "2") != 0))
		return jf_error_set(err, JF_EFORMAT, "%s: format version %s; this program reads %s", origin,
		    version ? version : "missing", VERSION);
	if (!theirs || strcmp(theirs, digest) != 0)
		return jf_error_set(err, JF_EINVAL, "%s: was made from other data (digest %.16s, not %.16s)", origin,
		    theirs ? theirs : "missing", digest);
	if ((rc = read_count(&out->step, file, "step", err)) != JF_OK ||
	    (rc = read_count(&out->schedule_start, file, "schedule.start", err)) != JF_OK ||
	    (rc = read_count(&out->schedule_end, file, "schedule.end", err)) != JF_OK)
		return rc;
	/* Older states do not say: to evaluate twice changes nothing. */
	if (jf_safetensors_metadata(file, "evaluated") &&
	    (rc = read_count(&out->evaluated, file, "evaluated", err)) != JF_OK)
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
	struct arrays arrays;
	enum jf_err rc;

	if (!file)
		return err->code;
	if ((rc = read_facts(&read, file, state->digest, err)) != JF_OK ||
	    (rc = jf_options_match(options, file, err)) != JF_OK ||
	    (rc = read_best(&read, file, options->n_ema, err)) != JF_OK)
		goto out;
	list_arrays(&arrays, trainer, options, isfinite(read.best_loss) ? read.best : NULL);
	for (size_t i = 0; rc == JF_OK && i < arrays.n; i++)
		rc = jf_safetensors_read_f32(file, arrays.item[i].name, arrays.item[i].data, n_params, err);
	if (rc == JF_OK)
		rc = check_seal(file, &arrays, n_params, err);
	if (rc == JF_OK) {
		*jf_trainer_step_count(trainer) = read.step;
		*state = read;
	}
out:
	jf_safetensors_close(file);
	return rc;
}
