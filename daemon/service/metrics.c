#include "daemon/service/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/service/process.h"

#define MAX_LABELS 4
#define MAX_BUCKETS 20
/* A family that grows past this is a bug or an attack (a label that a client chooses): more series are not kept. */
#define MAX_SERIES 2000

enum type { COUNTER, GAUGE, HISTOGRAM };

struct series {
	char *labels[MAX_LABELS]; /* owned */
	double value;             /* counter, gauge; histogram: the sum */
	uint64_t count;           /* histogram */
	uint64_t buckets[MAX_BUCKETS];
};

struct family {
	/* Guards series, n and cap and every number in them. A leaf: nothing else is locked while it is held. */
	pthread_mutex_t lock;
	struct series *series;
	int n, cap;
};

struct jf_metrics {
	struct family families[JF_N_METRICS];
	/* Guards the hook; held while the hook runs, so that removing it waits for a render in another thread. */
	pthread_mutex_t hook_lock;
	void (*refresh)(void *context);
	void *context;
};

static const struct {
	enum type type;
	const char *name, *labels, *help;
} table[] = {
#define ROW(id, type, name, labels, help) {type, name, labels, help},
    JF_METRIC_TABLE(ROW)
#undef ROW
};

/* Upper bounds, ascending; +Inf is implied. */
static const double seconds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
static const double sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
static const double ratios[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999};

static const double shares[] = {0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};

static int bucket_bounds(enum jf_metric which, const double **bounds) {
#define BOUNDS(array) (*bounds = (array), (int)(sizeof(array) / sizeof((array)[0])))
	if (which == JF_METRIC_BATCH_SIZE)
		return BOUNDS(sizes);
	if (which == JF_METRIC_CONFIDENCE)
		return BOUNDS(ratios);
	if (which == JF_METRIC_FAMILIARITY)
		return BOUNDS(shares);
	return BOUNDS(seconds);
#undef BOUNDS
}

static int label_count(enum jf_metric which) {
	const char *labels = table[which].labels;
	int n = *labels != '\0';
	for (; *labels; labels++)
		n += *labels == ',';
	return n;
}

static void free_series(struct series *series) {
	for (int i = 0; i < MAX_LABELS; i++)
		free(series->labels[i]);
}

/* The series with these label values, made when it is not there and `make` is set; NULL when not. Lock held. */
static struct series *find(struct family *family, enum jf_metric which, const char *const *labels, bool make) {
	int n_labels = label_count(which);
	for (int i = 0; i < family->n; i++) {
		int same = 0;
		while (same < n_labels && strcmp(family->series[i].labels[same], labels[same]) == 0)
			same++;
		if (same == n_labels)
			return &family->series[i];
	}
	if (!make || family->n >= MAX_SERIES)
		return NULL;
	if (family->n == family->cap) {
		int cap = family->cap ? 2 * family->cap : 4;
		struct series *grown = realloc(family->series, (size_t)cap * sizeof(*grown));
		if (!grown)
			return NULL;
		family->series = grown;
		family->cap = cap;
	}
	struct series *fresh = &family->series[family->n];
	memset(fresh, 0, sizeof(*fresh));
	for (int i = 0; i < n_labels; i++)
		if (!(fresh->labels[i] = strdup(labels[i]))) {
			free_series(fresh);
			return NULL;
		}
	family->n++;
	return fresh;
}

static const char *const rejections[] = {
#define JF_REJECTION_LABEL(id, label) label,
    JF_REJECTION_TABLE(JF_REJECTION_LABEL)
#undef JF_REJECTION_LABEL
};

const char *jf_rejection_name(enum jf_rejection reason) {
	return rejections[reason];
}

void jf_metric_reject(struct jf_metrics *metrics, enum jf_rejection reason) {
	jf_metric_add(metrics, JF_METRIC_REJECTIONS, 1, JF_LABELS(rejections[reason]));
}

struct jf_metrics *jf_metrics_create(void) {
	struct jf_metrics *metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		return NULL;
	pthread_mutex_init(&metrics->hook_lock, NULL);
	for (int i = 0; i < JF_N_METRICS; i++) {
		pthread_mutex_init(&metrics->families[i].lock, NULL);
		/* A family without labels is there from the start, at zero, so that a rate can be taken at once. */
		if (label_count((enum jf_metric)i) == 0)
			find(&metrics->families[i], (enum jf_metric)i, NULL, true);
	}
	for (int i = 0; i < JF_N_REJECTIONS; i++)
		jf_metric_add(metrics, JF_METRIC_REJECTIONS, 0, JF_LABELS(rejections[i]));
	return metrics;
}

void jf_metrics_destroy(struct jf_metrics *metrics) {
	if (!metrics)
		return;
	for (int i = 0; i < JF_N_METRICS; i++) {
		jf_metric_clear(metrics, (enum jf_metric)i);
		free(metrics->families[i].series);
		pthread_mutex_destroy(&metrics->families[i].lock);
	}
	pthread_mutex_destroy(&metrics->hook_lock);
	free(metrics);
}

void jf_metric_add(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels) {
	struct family *family = &metrics->families[which];
	pthread_mutex_lock(&family->lock);
	struct series *series = find(family, which, labels, true);
	if (series)
		series->value += value;
	pthread_mutex_unlock(&family->lock);
}

void jf_metric_set(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels) {
	struct family *family = &metrics->families[which];
	pthread_mutex_lock(&family->lock);
	struct series *series = find(family, which, labels, true);
	if (series)
		series->value = value;
	pthread_mutex_unlock(&family->lock);
}

void jf_metric_observe(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels) {
	struct family *family = &metrics->families[which];
	const double *bounds = NULL;
	int n = bucket_bounds(which, &bounds), bucket = 0;
	while (bucket < n && value > bounds[bucket])
		bucket++;
	pthread_mutex_lock(&family->lock);
	struct series *series = find(family, which, labels, true);
	if (series) {
		series->value += value;
		series->count++;
		if (bucket < n)
			series->buckets[bucket]++;
	}
	pthread_mutex_unlock(&family->lock);
}

void jf_metric_clear(struct jf_metrics *metrics, enum jf_metric which) {
	struct family *family = &metrics->families[which];
	pthread_mutex_lock(&family->lock);
	for (int i = 0; i < family->n; i++)
		free_series(&family->series[i]);
	family->n = 0;
	pthread_mutex_unlock(&family->lock);
}

double jf_metric_value(struct jf_metrics *metrics, enum jf_metric which, const char *const *labels) {
	struct family *family = &metrics->families[which];
	pthread_mutex_lock(&family->lock);
	const struct series *series = find(family, which, labels, false);
	double value = !series ? 0.0 : table[which].type == HISTOGRAM ? (double)series->count : series->value;
	pthread_mutex_unlock(&family->lock);
	return value;
}

void jf_metrics_set_hook(struct jf_metrics *metrics, void (*refresh)(void *context), void *context) {
	pthread_mutex_lock(&metrics->hook_lock);
	metrics->refresh = refresh;
	metrics->context = context;
	pthread_mutex_unlock(&metrics->hook_lock);
}

/* --- rendering -------------------------------------------------------------------------------------------------------
 * https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4 */

/* The shortest decimal that reads back as the same number. */
static void print_number(FILE *out, double value) {
	char text[40];
	if (isnan(value) || isinf(value)) {
		fputs(isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf", out);
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) >= value && strtod(text, NULL) <= value)
			break;
	}
	fputs(text, out);
}

/* {a="x",b="y",le="0.5"}; le NULL: without. */
static void print_labels(FILE *out, enum jf_metric which, const struct series *series, const char *le) {
	const char *name = table[which].labels;
	int n = label_count(which);
	if (n == 0 && !le)
		return;
	fputc('{', out);
	for (int i = 0; i < n; i++) {
		size_t length = strcspn(name, ",");
		fprintf(out, "%s%.*s=\"", i ? "," : "", (int)length, name);
		for (const char *c = series->labels[i]; *c; c++) {
			if (*c == '\\' || *c == '"')
				fputc('\\', out);
			if (*c == '\n')
				fputs("\\n", out);
			else
				fputc(*c, out);
		}
		fputc('"', out);
		name += length + (name[length] == ',');
	}
	if (le)
		fprintf(out, "%sle=\"%s\"", n ? "," : "", le);
	fputc('}', out);
}

static void print_line(
    FILE *out, enum jf_metric which, const char *suffix, const struct series *series, const char *le, double value) {
	fprintf(out, "%s%s", table[which].name, suffix);
	print_labels(out, which, series, le);
	fputc(' ', out);
	print_number(out, value);
	fputc('\n', out);
}

static void print_histogram(FILE *out, enum jf_metric which, const struct series *series) {
	const double *bounds = NULL;
	int n = bucket_bounds(which, &bounds);
	uint64_t below = 0;
	for (int i = 0; i < n; i++) {
		char le[32];
		snprintf(le, sizeof(le), "%g", bounds[i]);
		below += series->buckets[i];
		print_line(out, which, "_bucket", series, le, (double)below);
	}
	print_line(out, which, "_bucket", series, "+Inf", (double)series->count);
	print_line(out, which, "_sum", series, NULL, series->value);
	print_line(out, which, "_count", series, NULL, (double)series->count);
}

static void print_family(FILE *out, struct family *family, enum jf_metric which) {
	static const char *const types[] = {"counter", "gauge", "histogram"};
	pthread_mutex_lock(&family->lock);
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", table[which].name, table[which].help, table[which].name,
	    types[table[which].type]);
	for (int i = 0; i < family->n; i++) {
		if (table[which].type == HISTOGRAM)
			print_histogram(out, which, &family->series[i]);
		else
			print_line(out, which, "", &family->series[i], NULL, family->series[i].value);
	}
	pthread_mutex_unlock(&family->lock);
}

/* The standard names of Prometheus' client libraries. */
static void print_process(FILE *out) {
	struct jf_process_figures figures;
	jf_process_figures(&figures);
	const struct {
		const char *name, *type, *help;
		double value;
	} rows[] = {
	    {"process_cpu_seconds_total", "counter", "User and system CPU time.", figures.cpu_seconds},
	    {"process_resident_memory_bytes", "gauge", "Resident memory.", figures.resident_bytes},
	    {"process_virtual_memory_bytes", "gauge", "Virtual memory.", figures.virtual_bytes},
	    {"process_start_time_seconds", "gauge", "Start of the process since the epoch.", figures.start_seconds},
	    {"process_open_fds", "gauge", "Open file descriptors.", figures.open_fds},
	    {"process_max_fds", "gauge", "Limit of open file descriptors.", figures.max_fds},
	    {"process_threads", "gauge", "Threads.", figures.threads},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", rows[i].name, rows[i].help, rows[i].name, rows[i].type,
		    rows[i].name);
		print_number(out, rows[i].value);
		fputc('\n', out);
	}
}

enum jf_err jf_metrics_render(struct jf_metrics *metrics, char **text, size_t *size) {
	*text = NULL;
	*size = 0;
	pthread_mutex_lock(&metrics->hook_lock);
	if (metrics->refresh)
		metrics->refresh(metrics->context);
	pthread_mutex_unlock(&metrics->hook_lock);

	FILE *out = open_memstream(text, size);
	if (!out)
		return JF_ENOMEM;
	for (int i = 0; i < JF_N_METRICS; i++)
		print_family(out, &metrics->families[i], (enum jf_metric)i);
	print_process(out);
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed) {
		free(*text);
		*text = NULL;
		return JF_ENOMEM;
	}
	return JF_OK;
}
