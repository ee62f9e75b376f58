/* Counters, gauges and histograms, rendered as Prometheus text (version 0.0.4).
 *
 * All families are named in one table below; a series appears when its label values are first used. Counters whose
 * label values are known beforehand are there from the start at zero: whoever counts adds 0 to them. Thread-safe: each
 * family has its own lock, held for the update of a few numbers. */
#ifndef JF_DAEMON_SERVICE_METRICS_H
#define JF_DAEMON_SERVICE_METRICS_H

#include <stddef.h>

#include "core/base/error.h"

/* X(enum suffix, type, name, labels in order, help). Histogram buckets are in metrics.c. */
#define JF_METRIC_TABLE(X)                                                                                            \
	X(HTTP_REQUESTS, COUNTER, "jointflow_http_requests_total", "route,method,code", "Finished HTTP requests.")    \
	X(HTTP_SECONDS, HISTOGRAM, "jointflow_http_request_duration_seconds", "route,method",                         \
	    "Time from a request's headers to the end of its response.")                                              \
	X(HTTP_CONNECTIONS, GAUGE, "jointflow_http_connections", "", "Open client connections.")                      \
	X(HTTP_IN_FLIGHT, GAUGE, "jointflow_http_requests_in_flight", "", "Requests being answered.")                 \
	X(HTTP_RECEIVED, COUNTER, "jointflow_http_received_bytes_total", "", "Request body bytes received.")          \
	X(HTTP_SENT, COUNTER, "jointflow_http_sent_bytes_total", "", "Response body bytes sent.")                     \
	X(REJECTIONS, COUNTER, "jointflow_rejections_total", "reason", "Requests refused, by reason.")                \
	X(QUEUE_COST, GAUGE, "jointflow_queue_cost", "",                                                              \
	    "Admitted and unfinished work: images x network evaluations.")                                            \
	X(QUEUE_CAPACITY, GAUGE, "jointflow_queue_capacity_cost", "", "Work that may be admitted at a time.")         \
	X(QUEUE_JOBS, GAUGE, "jointflow_queue_jobs", "", "Jobs that wait for a worker.")                              \
	X(QUEUE_WAIT, HISTOGRAM, "jointflow_queue_wait_seconds", "task", "Time from admission to the first batch.")   \
	X(JOBS, COUNTER, "jointflow_jobs_total", "task,result", "Ended jobs.")                                        \
	X(JOB_SECONDS, HISTOGRAM, "jointflow_job_duration_seconds", "task", "Time from admission to the end.")        \
	X(CANCELLATIONS, COUNTER, "jointflow_cancellations_total", "stage,reason",                                    \
	    "Jobs ended early; stage queued or running; reason canceled, deadline or shutdown.")                      \
	X(BATCH_SIZE, HISTOGRAM, "jointflow_batch_size", "task", "Items in a batch when it starts.")                  \
	X(STEPS, COUNTER, "jointflow_steps_total", "task", "Solver steps, one for each item.")                        \
	X(WORKERS, GAUGE, "jointflow_workers", "", "Worker threads.")                                                 \
	X(WORKERS_BUSY, GAUGE, "jointflow_workers_busy", "", "Worker threads that run a batch.")                      \
	X(WORKER_SECONDS, COUNTER, "jointflow_worker_busy_seconds_total", "", "Time workers spent in batches.")       \
	X(MODEL_INFO, GAUGE, "jointflow_model_info", "name,checksum,parameters", "The model in force; value 1.")      \
	X(MODEL_LOADED, GAUGE, "jointflow_model_loaded_timestamp_seconds", "", "When the model in force was loaded.") \
	X(RELOADS, COUNTER, "jointflow_reloads_total", "result", "Reloads: success or failure.")                      \
	X(PREDICTIONS, COUNTER, "jointflow_predictions_total", "label",                                               \
	    "Classifications by predicted label, counted by the API.")                                                \
	X(CONFIDENCE, HISTOGRAM, "jointflow_prediction_confidence_ratio", "", "Probability of the predicted label.")  \
	X(FAMILIARITY, HISTOGRAM, "jointflow_picture_familiarity_ratio", "",                                          \
	    "How familiar classified pictures look: the share of the training set's held-out ones that are at most "  \
	    "as typical.")                                                                                            \
	X(READY, GAUGE, "jointflow_ready", "", "1 when requests are accepted.")                                       \
	X(BUILD_INFO, GAUGE, "jointflow_build_info", "version,compiler,isa", "The program; value 1.")                 \
	X(LOG_MESSAGES, COUNTER, "jointflow_log_messages_total", "level", "Log messages at level warning and above.") \
	X(LOG_DROPPED, COUNTER, "jointflow_log_dropped_lines_total", "",                                              \
	    "Log lines dropped because nobody read standard error.")

enum jf_metric {
#define JF_METRIC_ENUM(id, type, name, labels, help) JF_METRIC_##id,
	JF_METRIC_TABLE(JF_METRIC_ENUM)
#undef JF_METRIC_ENUM
	    JF_N_METRICS
};

/* X(enum suffix, the reason's label). Every reason there is, so that all are there from the start. */
#define JF_REJECTION_TABLE(X)           \
	X(FULL, "full")                 \
	X(DRAINING, "draining")         \
	X(DEADLINE, "deadline")         \
	X(LARGE, "large")               \
	X(INVALID, "invalid")           \
	X(LOADING, "loading")           \
	X(RATE, "rate")                 \
	X(CONNECTIONS, "connections")   \
	X(UNAUTHORIZED, "unauthorized") \
	X(HOST, "host")                 \
	X(CROSS_SITE, "cross_site")     \
	X(PICTURES, "pictures")         \
	X(BODIES, "bodies")

enum jf_rejection {
#define JF_REJECTION_ENUM(id, label) JF_REJECTION_##id,
	JF_REJECTION_TABLE(JF_REJECTION_ENUM)
#undef JF_REJECTION_ENUM
	    JF_N_REJECTIONS
};

struct jf_metrics;

/* Label values in the table's order: jf_metric_add(m, JF_METRIC_HTTP_REQUESTS, 1, JF_LABELS("/v1/classify", "POST",
 * "200")). Families without labels: NULL. Values are copied and escaped. Route is the pattern, never the raw path. */
#define JF_LABELS(...) ((const char *const[]){__VA_ARGS__})

struct jf_metrics *jf_metrics_create(void); /* NULL when memory is short */
void jf_metrics_destroy(struct jf_metrics *metrics);

void jf_metric_add(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels);
void jf_metric_set(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels);
void jf_metric_observe(struct jf_metrics *metrics, enum jf_metric which, double value, const char *const *labels);
/* A reason's label; constant. */
const char *jf_rejection_name(enum jf_rejection reason);
/* Counts one more of JF_METRIC_REJECTIONS. */
void jf_metric_reject(struct jf_metrics *metrics, enum jf_rejection reason);
/* Forgets every series of a family (model info at a reload). */
void jf_metric_clear(struct jf_metrics *metrics, enum jf_metric which);
/* A counter's or gauge's value, a histogram's count; 0 when the series does not exist. For tests and health pages. */
double jf_metric_value(struct jf_metrics *metrics, enum jf_metric which, const char *const *labels);

/* Called at the start of each render, to refresh gauges (the scheduler's queue). One hook; NULL removes it. */
void jf_metrics_set_hook(struct jf_metrics *metrics, void (*refresh)(void *context), void *context);

/* All families, process figures (process_cpu_seconds_total ...) included. *text is new, the caller frees it; NULL and
 * JF_ENOMEM when memory is short. Content type: JF_METRICS_CONTENT_TYPE. */
#define JF_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
enum jf_err jf_metrics_render(struct jf_metrics *metrics, char **text, size_t *size);

#endif
