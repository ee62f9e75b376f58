/* Measures jointflowd over loopback against the engine alone in the same run.
 *
 * bench-serve DAEMON MODEL IMAGE.png [SECONDS] [WORKERS [TURNS]]
 *
 * Starts DAEMON five times for the time to READY, then once for the load: POST /classify with the PNG, closed loop with
 * 1, 8 and 64 clients (each sends when it has its answer), then open loop at 50 % and 80 % of the best closed rate
 * (arrivals do not wait for answers; latency counts from the planned arrival, so a stall shows). The load comes from
 * one thread of this process, on the same cores as the daemon. The engine alone runs before and after, on as many
 * threads as the daemon has workers; percentages are of the first, and the second says how much to believe them.
 *
 * "of engine": answers a second, of the engine's images a second. "load out": the same of what the engine could have
 * done in the time that the load itself left of that many processors. "cpu ms": the daemon's processor time for one
 * answer, which says something on a busy machine too. "engine's": how much of that the engine alone needs for an image.
 * "load ms": the load's own processor time for one answer.
 *
 * TURNS, for a machine that others use too: only the engine alone and 8 and 64 clients, in turns of SECONDS. Medians of
 * those between two turns of the engine that were both within 4 % of its fastest. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/engine/sampler.h"
#include "core/files/checkpoint.h"

#define MAX_CLIENTS 64
#define MAX_LATENCIES 2000000
#define ENGINE_BATCH 16
#define MAX_TURNS 200
#define QUIET 0.96

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	fputs("bench-serve: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static double thread_cpu_s(void) {
	struct timespec cpu;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return (double)cpu.tv_sec + 1e-9 * (double)cpu.tv_nsec;
}

/* --- the engine alone --- */

struct engine {
	pthread_t thread;
	struct jf_model *model;
	double seconds, cpu_s;
	long images;
};

static void *engine_main(void *argument) {
	struct engine *engine = argument;
	struct jf_error error;
	const struct jf_network_config *config = &engine->model->config;
	size_t pixels = jf_network_image_floats(config);
	const float *images[ENGINE_BATCH];
	float *pixel = malloc(pixels * sizeof(*pixel));
	float *probabilities = malloc((size_t)ENGINE_BATCH * (size_t)config->classes * sizeof(*probabilities));
	struct jf_sampler *sampler = jf_sampler_create(engine->model, JF_TASK_CLASSIFY, ENGINE_BATCH, &error);
	if (!sampler || !pixel || !probabilities)
		die("engine: %s", sampler ? "no memory" : error.message);
	jf_rng_uniform(pixel, pixels, 1, JF_STREAM_EVAL, 0);
	for (int i = 0; i < ENGINE_BATCH; i++)
		images[i] = pixel;
	for (double end = jf_clock_s() + engine->seconds; jf_clock_s() < end; engine->images += ENGINE_BATCH) {
		if (jf_sampler_posterior(sampler, probabilities, images, ENGINE_BATCH, 1, NULL, NULL, &error) != JF_OK)
			die("engine: %s", error.message);
		(void)jf_sampler_familiarity(sampler, 0); /* which the daemon's answers name */
	}
	engine->cpu_s = thread_cpu_s();
	jf_sampler_destroy(sampler);
	free(probabilities);
	free(pixel);
	return NULL;
}

/* How fast the engine alone is. */
struct yardstick {
	double rate, cpu_ms; /* images a second on `threads` threads; processor time of one */
	int threads;
};

static struct yardstick engine_rate(struct jf_model *model, int threads, double seconds) {
	struct engine engines[256];
	long images = 0;
	double cpu_s = 0.0;
	double start = jf_clock_s();
	for (int i = 0; i < threads; i++) {
		engines[i] = (struct engine){.model = model, .seconds = seconds};
		if (pthread_create(&engines[i].thread, NULL, engine_main, &engines[i]) != 0)
			die("cannot start a thread");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(engines[i].thread, NULL);
		images += engines[i].images;
		cpu_s += engines[i].cpu_s;
	}
	return (struct yardstick){(double)images / (jf_clock_s() - start), 1e3 * cpu_s / (double)images, threads};
}

/* --- the daemon --- */

struct server {
	pid_t pid;
	int port;
	int log; /* its standard error */
	double ready_ms, ready_cpu_ms;
};

/* Processor time of the daemon so far, all threads. */
static double cpu_seconds(pid_t pid) {
	clockid_t clock;
	struct timespec cpu;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &cpu) != 0)
		return 0.0;
	return (double)cpu.tv_sec + 1e-9 * (double)cpu.tv_nsec;
}

static int notify_socket(char *name, size_t size) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(name, size, "@bench-serve-%ld", (long)getpid());
	memcpy(address.sun_path, name, strlen(name));
	address.sun_path[0] = '\0';
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) != 0)
		die("notification socket: %s", strerror(errno));
	return fd;
}

static void exec_daemon(const char *daemon, const char *model, int workers, int log, const char *notify) {
	char model_option[4200], workers_option[32];
	snprintf(model_option, sizeof(model_option), "--model=%s", model);
	snprintf(workers_option, sizeof(workers_option), "--workers=%d", workers);
	setenv("NOTIFY_SOCKET", notify, 1);
	dup2(log, STDERR_FILENO);
	execl(daemon, daemon, "--config=/dev/null", "--listen-port=0", "--log-format=text", "--log-level=notice",
	    "--access-log=no", model_option, workers_option, (char *)NULL);
	_exit(127);
}

static void start_server(struct server *server, const char *daemon, const char *model, int workers) {
	char notify[64], text[4096];
	int fd = notify_socket(notify, sizeof(notify)), pipes[2];
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	if (pipe2(pipes, O_CLOEXEC) != 0)
		die("pipe: %s", strerror(errno));
	double start = jf_clock_s();
	server->pid = fork();
	if (server->pid == 0)
		exec_daemon(daemon, model, workers, pipes[1], notify);
	close(pipes[1]);
	server->log = pipes[0];
	for (;;) { /* READY=1 is the first message of a start that goes well */
		ssize_t n = poll(&poller, 1, 30000) > 0 ? recv(fd, text, sizeof(text) - 1, 0) : -1;
		if (n < 0)
			die("the daemon did not become ready");
		text[n] = '\0';
		if (strstr(text, "READY=1"))
			break;
		if (strstr(text, "cannot start"))
			die("%s", text);
	}
	server->ready_ms = 1e3 * (jf_clock_s() - start);
	server->ready_cpu_ms = 1e3 * cpu_seconds(server->pid);
	close(fd);
	ssize_t n = read(server->log, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	const char *at = strstr(text, "listening on 127.0.0.1:");
	if (!at)
		die("the daemon's log does not name its port");
	server->port = (int)strtol(at + strlen("listening on 127.0.0.1:"), NULL, 10);
}

static void stop_server(struct server *server) {
	kill(server->pid, SIGTERM);
	waitpid(server->pid, NULL, 0);
	close(server->log);
}

static long resident_kib(pid_t pid, const char *field) {
	char path[64], line[256];
	long kib = 0;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtol(line + strlen(field) + 1, NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

/* --- load --- */

struct client {
	int fd;
	bool busy;
	double start;
	size_t used;
	char response[8192];
};

struct load {
	struct client clients[MAX_CLIENTS];
	int n, epoll;
	char *request;
	size_t request_size;
	double *latencies;  /* seconds */
	double took, cpu_s; /* of a run: seconds, and of them this thread's processor time */
	long n_latencies, n_failed;
};

static void connect_clients(struct load *load, int n, int port) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	load->n = n;
	load->n_latencies = load->n_failed = 0;
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < n; i++) {
		struct client *client = &load->clients[i];
		*client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
		    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
		    fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0 ||
		    epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
			die("client %d: %s", i, strerror(errno));
	}
}

static void disconnect_clients(struct load *load) {
	for (int i = 0; i < load->n; i++)
		close(load->clients[i].fd);
	close(load->epoll);
}

/* The request is smaller than a socket's buffer, so it goes out whole. */
static void send_request(struct load *load, struct client *client, double start) {
	client->busy = true;
	client->start = start;
	client->used = 0;
	if (send(client->fd, load->request, load->request_size, MSG_NOSIGNAL) != (ssize_t)load->request_size)
		die("cannot send: %s", strerror(errno));
}

/* Reads what is there; true when the answer is complete. */
static bool receive(struct load *load, struct client *client) {
	ssize_t n = recv(client->fd, client->response + client->used, sizeof(client->response) - 1 - client->used, 0);
	if (n <= 0 && errno != EAGAIN)
		die("the daemon closed a connection");
	client->used += n > 0 ? (size_t)n : 0;
	client->response[client->used] = '\0';
	const char *end = strstr(client->response, "\r\n\r\n");
	const char *length = end ? strcasestr(client->response, "\r\nContent-Length:") : NULL;
	if (!length || client->used < (size_t)(end + 4 - client->response) + strtoul(length + 17, NULL, 10))
		return false;
	client->busy = false;
	if (strncmp(client->response, "HTTP/1.1 200", 12) != 0)
		load->n_failed++;
	else if (load->n_latencies < MAX_LATENCIES)
		load->latencies[load->n_latencies++] = jf_clock_s() - client->start;
	return true;
}

static int compare(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *values, int n) {
	qsort(values, (size_t)n, sizeof(*values), compare);
	return n == 0 ? NAN : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* cpu_s: the daemon's. */
static void report(struct load *load, const char *name, const struct yardstick *engine, double cpu_s) {
	double *l = load->latencies;
	long n = load->n_latencies;
	qsort(l, (size_t)n, sizeof(*l), compare);
	if (n == 0)
		die("%s: no answer", name);
	double share = 100.0 * (double)n / load->took / engine->rate, cpu_ms = 1e3 * cpu_s / (double)n;
	double left = 1.0 - load->cpu_s / load->took / engine->threads;
	printf("%-22s %8.0f %7.0f %% %7.0f %% %8.2f %8.2f %8.2f %8.3f %7.0f %% %8.3f %6ld\n", name,
	    (double)n / load->took, share, share / left, 1e3 * l[n / 2], 1e3 * l[n * 95 / 100], 1e3 * l[n * 99 / 100],
	    cpu_ms, 100.0 * engine->cpu_ms / cpu_ms, 1e3 * load->cpu_s / (double)n, load->n_failed);
	fflush(stdout);
}

static void closed_loop(struct load *load, double seconds, double rate) {
	struct epoll_event events[MAX_CLIENTS];
	double end = jf_clock_s() + seconds;
	int busy = load->n;
	(void)rate; /* as fast as it goes */
	for (int i = 0; i < load->n; i++)
		send_request(load, &load->clients[i], jf_clock_s());
	while (busy > 0) {
		int n = epoll_wait(load->epoll, events, MAX_CLIENTS, 10000);
		if (n == 0)
			die("no answer for 10 s");
		for (int i = 0; i < n; i++) {
			struct client *client = &load->clients[events[i].data.u32];
			if (!receive(load, client))
				continue;
			if (jf_clock_s() < end)
				send_request(load, client, jf_clock_s());
			else
				busy--;
		}
	}
}

/* Arrivals at exponentially distributed intervals. */
static void open_loop(struct load *load, double seconds, double rate) {
	struct epoll_event events[MAX_CLIENTS];
	double start = jf_clock_s(), next = start;
	uint64_t arrivals = 0;
	int busy = 0;
	while (next < start + seconds || busy > 0) {
		for (int i = 0; i < load->n && next < start + seconds && next <= jf_clock_s(); i++) {
			if (load->clients[i].busy)
				continue;
			float u;
			send_request(load, &load->clients[i], next);
			busy++;
			jf_rng_uniform(&u, 1, 67, JF_STREAM_EVAL, arrivals++);
			next += -log((double)u) / rate;
		}
		double wait_ms = 1e3 * (next - jf_clock_s());
		struct timespec wait = {.tv_nsec = wait_ms > 0 && wait_ms < 10 ? (long)(1e6 * wait_ms) : 200000};
		int n = epoll_pwait2(load->epoll, events, MAX_CLIENTS, &wait, NULL);
		for (int i = 0; i < n; i++)
			busy -= receive(load, &load->clients[events[i].data.u32]);
	}
}

static void run(
    struct load *load, void (*loop)(struct load *load, double seconds, double rate), double seconds, double rate) {
	double start = jf_clock_s(), cpu_s = thread_cpu_s();
	loop(load, seconds, rate);
	load->took = jf_clock_s() - start;
	load->cpu_s = thread_cpu_s() - cpu_s;
}

static void make_request(struct load *load, const char *path) {
	struct jf_error error;
	uint8_t *png = NULL;
	size_t size = 0;
	if (jf_file_read(&png, &size, path, 1 << 16, &error) != JF_OK)
		die("%s", error.message);
	load->request = malloc(size + 256);
	load->latencies = malloc(MAX_LATENCIES * sizeof(*load->latencies));
	if (!load->request || !load->latencies)
		die("no memory");
	int head = sprintf(load->request,
	    "POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %zu\r\n\r\n",
	    size);
	memcpy(load->request + head, png, size);
	load->request_size = (size_t)head + size;
	free(png);
}

static void measure_load(
    struct load *load, const struct server *server, double seconds, const struct yardstick *engine) {
	static const int clients[] = {1, 8, 64};
	static const double shares[] = {0.5, 0.8};
	double best = 0.0;
	char name[64];
	printf("%-22s %8s %9s %9s %8s %8s %8s %8s %9s %8s %6s\n", "classify", "answer/s", "of engine", "load out",
	    "p50 ms", "p95 ms", "p99 ms", "cpu ms", "engine's", "load ms", "failed");
	for (int i = 0; i < 3; i++) {
		connect_clients(load, clients[i], server->port);
		double cpu_s = cpu_seconds(server->pid);
		run(load, closed_loop, seconds, 0.0);
		if ((double)load->n_latencies / load->took > best)
			best = (double)load->n_latencies / load->took;
		snprintf(name, sizeof(name), "closed, %d client%s", clients[i], clients[i] == 1 ? "" : "s");
		report(load, name, engine, cpu_seconds(server->pid) - cpu_s);
		disconnect_clients(load);
	}
	for (int i = 0; i < 2; i++) {
		connect_clients(load, MAX_CLIENTS, server->port);
		double cpu_s = cpu_seconds(server->pid);
		run(load, open_loop, seconds, shares[i] * best);
		snprintf(name, sizeof(name), "open, %.0f arrivals/s", shares[i] * best);
		report(load, name, engine, cpu_seconds(server->pid) - cpu_s);
		disconnect_clients(load);
	}
}

static void measure_turns(
    struct load *load, const struct server *server, struct jf_model *model, int workers, double seconds, int turns) {
	static struct yardstick engine[2 * MAX_TURNS + 1];
	static const int clients[2] = {8, MAX_CLIENTS};
	static double share[2][MAX_TURNS], left[2][MAX_TURNS], cpu_ms[2][MAX_TURNS];
	double best = (engine[0] = engine_rate(model, workers, seconds)).rate;
	for (int i = 0; i < 2 * turns; i++) {
		connect_clients(load, clients[i % 2], server->port);
		double cpu_s = cpu_seconds(server->pid);
		run(load, closed_loop, seconds, 0.0);
		cpu_ms[i % 2][i / 2] = 1e3 * (cpu_seconds(server->pid) - cpu_s) / (double)load->n_latencies;
		share[i % 2][i / 2] = (double)load->n_latencies / load->took;
		left[i % 2][i / 2] = 1.0 - load->cpu_s / load->took / workers;
		disconnect_clients(load);
		engine[i + 1] = engine_rate(model, workers, seconds);
		best = fmax(best, engine[i + 1].rate);
	}
	for (int k = 0; k < 2; k++) {
		double of[MAX_TURNS], without[MAX_TURNS], cpu[MAX_TURNS];
		int n = 0;
		for (int i = 0; i < turns; i++) {
			double before = engine[2 * i + k].rate, after = engine[2 * i + k + 1].rate;
			of[n] = 200 * share[k][i] / (before + after);
			without[n] = of[n] / left[k][i];
			cpu[n] = cpu_ms[k][i];
			n += fmin(before, after) >= QUIET * best;
		}
		printf("%2d clients: %d quiet turns of %d: of engine %.1f %% (load out %.1f %%), cpu %.3f ms\n",
		    clients[k], n, turns, median(of, n), median(without, n), median(cpu, n));
	}
	printf("engine alone, %d threads: best %.0f images/s\n", workers, best);
}

int main(int argc, char **argv) {
	struct jf_error error;
	struct server server;
	static struct load load;
	double ready_ms[5], ready_cpu_ms[5], seconds = argc > 4 ? strtod(argv[4], NULL) : 5.0;
	int workers = argc > 5 ? (int)strtol(argv[5], NULL, 10) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	int turns = argc > 6 ? (int)strtol(argv[6], NULL, 10) : 0;
	if (argc < 4 || seconds <= 0 || workers < 1 || workers > 256 || turns < 0 || turns > MAX_TURNS)
		die("usage: bench-serve DAEMON MODEL IMAGE.png [SECONDS] [WORKERS [TURNS]]");
	struct jf_model *model = jf_checkpoint_load(argv[2], &error);
	if (!model)
		die("%s", error.message);
	make_request(&load, argv[3]);
	if (turns) {
		start_server(&server, argv[1], argv[2], workers);
		measure_turns(&load, &server, model, workers, seconds, turns);
		stop_server(&server);
		return 0;
	}
	for (int i = 0; i < 5; i++) {
		start_server(&server, argv[1], argv[2], workers);
		ready_ms[i] = server.ready_ms;
		ready_cpu_ms[i] = server.ready_cpu_ms;
		stop_server(&server);
	}
	double ready = median(ready_ms, 5); /* which sorts them */
	printf("start to READY: median %.0f ms, best %.0f ms of 5; median processor time %.0f ms\n", ready, ready_ms[0],
	    median(ready_cpu_ms, 5));

	struct yardstick before = engine_rate(model, workers, seconds);
	start_server(&server, argv[1], argv[2], workers);
	printf("resident after the start: %ld KiB\n\n", resident_kib(server.pid, "VmRSS"));
	measure_load(&load, &server, seconds, &before);
	printf("\nresident after the load: %ld KiB, peak %ld KiB\n", resident_kib(server.pid, "VmRSS"),
	    resident_kib(server.pid, "VmHWM"));
	stop_server(&server);
	struct yardstick after = engine_rate(model, workers, seconds);
	printf("engine alone, %d threads, batches of %d: %.0f images/s before (the percentages), %.0f after; cpu %.3f "
	       "and %.3f ms an image\n",
	    workers, ENGINE_BATCH, before.rate, after.rate, before.cpu_ms, after.cpu_ms);
	jf_model_unref(model);
	free(load.request);
	free(load.latencies);
	return 0;
}
