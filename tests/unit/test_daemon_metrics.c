/* The metrics registry and its text form, which promtool must find clean. */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/service/metrics.h"

static char *render(struct jf_metrics *metrics) {
	char *text = NULL;
	size_t size = 0;
	assert_int_equal(jf_metrics_render(metrics, &text, &size), JF_OK);
	assert_int_equal(strlen(text), size);
	return text;
}

static void expect(const char *text, const char *line) {
	char whole[300];
	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line '%s'", line);
}

static void test_values(void **state) {
	struct jf_metrics *metrics = jf_metrics_create();
	(void)state;
	assert_non_null(metrics);
	jf_metric_add(metrics, JF_METRIC_HTTP_REQUESTS, 1, JF_LABELS("/v1/classify", "POST", "200"));
	jf_metric_add(metrics, JF_METRIC_HTTP_REQUESTS, 2, JF_LABELS("/v1/classify", "POST", "200"));
	jf_metric_add(metrics, JF_METRIC_HTTP_REQUESTS, 1, JF_LABELS("/v1/classify", "POST", "422"));
	jf_metric_set(metrics, JF_METRIC_QUEUE_COST, 12345678, NULL);
	jf_metric_set(metrics, JF_METRIC_MODEL_INFO, 1, JF_LABELS("a\"b\\c\nd", "00ff", "1"));
	jf_metric_observe(metrics, JF_METRIC_BATCH_SIZE, 1, JF_LABELS("posterior"));
	jf_metric_observe(metrics, JF_METRIC_BATCH_SIZE, 2, JF_LABELS("posterior"));
	jf_metric_observe(metrics, JF_METRIC_BATCH_SIZE, 3, JF_LABELS("posterior"));
	jf_metric_observe(metrics, JF_METRIC_BATCH_SIZE, 1000, JF_LABELS("posterior"));
	char *text = render(metrics);
	expect(text, "# TYPE jointflow_http_requests_total counter");
	expect(text, "jointflow_http_requests_total{route=\"/v1/classify\",method=\"POST\",code=\"200\"} 3");
	expect(text, "jointflow_http_requests_total{route=\"/v1/classify\",method=\"POST\",code=\"422\"} 1");
	expect(text, "jointflow_queue_cost 12345678");
	expect(text, "jointflow_model_info{name=\"a\\\"b\\\\c\\nd\",checksum=\"00ff\",parameters=\"1\"} 1");
	expect(text, "jointflow_batch_size_bucket{task=\"posterior\",le=\"1\"} 1");
	expect(text, "jointflow_batch_size_bucket{task=\"posterior\",le=\"2\"} 2");
	expect(text, "jointflow_batch_size_bucket{task=\"posterior\",le=\"256\"} 3");
	expect(text, "jointflow_batch_size_bucket{task=\"posterior\",le=\"+Inf\"} 4");
	expect(text, "jointflow_batch_size_sum{task=\"posterior\"} 1006");
	expect(text, "jointflow_batch_size_count{task=\"posterior\"} 4");
	expect(text, "jointflow_http_connections 0"); /* there from the start */
	assert_non_null(strstr(text, "\nprocess_resident_memory_bytes "));
	free(text);

	assert_true(jf_metric_value(metrics, JF_METRIC_BATCH_SIZE, JF_LABELS("posterior")) > 3.5);
	assert_true(jf_metric_value(metrics, JF_METRIC_BATCH_SIZE, JF_LABELS("sample")) < 0.5);
	jf_metric_clear(metrics, JF_METRIC_MODEL_INFO);
	text = render(metrics);
	assert_null(strstr(text, "jointflow_model_info{"));
	free(text);
	jf_metrics_destroy(metrics);
	jf_metrics_destroy(NULL);
}

/* A label that grows without end does not take the memory with it. */
static void test_bound(void **state) {
	struct jf_metrics *metrics = jf_metrics_create();
	(void)state;
	for (int i = 0; i < 5000; i++) {
		char label[16];
		snprintf(label, sizeof(label), "%d", i);
		jf_metric_add(metrics, JF_METRIC_PREDICTIONS, 1, JF_LABELS(label));
	}
	assert_true(jf_metric_value(metrics, JF_METRIC_PREDICTIONS, JF_LABELS("1999")) > 0.5);
	assert_true(jf_metric_value(metrics, JF_METRIC_PREDICTIONS, JF_LABELS("2000")) < 0.5);
	jf_metrics_destroy(metrics);
}

static void set_seven(void *context) {
	jf_metric_set(context, JF_METRIC_QUEUE_JOBS, 7, NULL);
}

static void test_hook(void **state) {
	struct jf_metrics *metrics = jf_metrics_create();
	(void)state;
	jf_metrics_set_hook(metrics, set_seven, metrics);
	char *text = render(metrics);
	expect(text, "jointflow_queue_jobs 7");
	free(text);
	jf_metrics_set_hook(metrics, NULL, NULL);
	free(render(metrics));
	jf_metrics_destroy(metrics);
}

static void *count(void *metrics) {
	for (int i = 0; i < 2000; i++) {
		jf_metric_add(metrics, JF_METRIC_STEPS, 1, JF_LABELS(i % 2 ? "sample" : "generate"));
		jf_metric_observe(metrics, JF_METRIC_JOB_SECONDS, 0.002 * (i % 10), JF_LABELS("sample"));
	}
	return NULL;
}

static void test_threads(void **state) {
	struct jf_metrics *metrics = jf_metrics_create();
	pthread_t threads[4];
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, metrics), 0);
	for (int i = 0; i < 20; i++)
		free(render(metrics));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal((int)jf_metric_value(metrics, JF_METRIC_STEPS, JF_LABELS("sample")), 4000);
	assert_int_equal((int)jf_metric_value(metrics, JF_METRIC_JOB_SECONDS, JF_LABELS("sample")), 8000);
	jf_metrics_destroy(metrics);
}

static void test_promtool(void **state) {
	struct jf_metrics *metrics = jf_metrics_create();
	(void)state;
	if (system("command -v promtool >/dev/null 2>&1") != 0) {
		jf_metrics_destroy(metrics);
		print_message("promtool (Debian package prometheus) is not installed\n");
		skip();
	}
#define FILL(id, type, name, labels, help) fill_##type(metrics, JF_METRIC_##id);
#define fill_COUNTER(m, id) jf_metric_add(m, id, 1, JF_LABELS("a", "b", "c", "d"))
#define fill_GAUGE(m, id) jf_metric_set(m, id, 1.5, JF_LABELS("a", "b", "c", "d"))
#define fill_HISTOGRAM(m, id) jf_metric_observe(m, id, 0.02, JF_LABELS("a", "b", "c", "d"))
	JF_METRIC_TABLE(FILL)
	char *text = render(metrics);
	FILE *promtool = popen("promtool check metrics", "w");
	assert_non_null(promtool);
	fputs(text, promtool);
	assert_int_equal(pclose(promtool), 0);
	free(text);
	jf_metrics_destroy(metrics);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_hook),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_promtool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
