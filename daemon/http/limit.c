#include "daemon/http/limit.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define WAYS 8

struct client {
	uint8_t address[16];
	bool used;
	int connections;
	double tokens;
	int64_t seen_ms;
};

struct jf_limit {
	double rate;
	int burst, connections;
	pthread_mutex_t lock; /* guards the table; held for a few comparisons */
	uint64_t key;         /* hashing differs from process to process */
	struct client table[BUCKETS][WAYS];
};

struct jf_limit *jf_limit_create(double rate, int burst, int connections) {
	struct jf_limit *limit = calloc(1, sizeof(*limit));

	if (!limit)
		return NULL;
	limit->rate = rate;
	limit->burst = burst < 1 ? 1 : burst;
	limit->connections = connections;
	limit->key = (uint64_t)(uintptr_t)limit;
	pthread_mutex_init(&limit->lock, NULL);
	return limit;
}

void jf_limit_destroy(struct jf_limit *limit) {
	if (!limit)
		return;
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

static bool is_v4(const uint8_t address[16]) {
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

bool jf_limit_same_client(const uint8_t a[16], const uint8_t b[16]) {
	return memcmp(a, b, is_v4(a) ? 16 : 8) == 0;
}

static uint64_t mix(uint64_t x) {
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* With the lock held: the client's entry; a new one takes the place of the idle one seen longest ago. */
static struct client *find(struct jf_limit *limit, const uint8_t address[16], int64_t now_ms) {
	uint8_t key[16];
	uint64_t words[2];
	struct client *row, *oldest = NULL;
	int i;

	memcpy(key, address, sizeof(key));
	if (!is_v4(key))
		memset(key + 8, 0, 8);
	memcpy(words, key, sizeof(words));
	row = limit->table[mix(words[0] ^ mix(words[1] ^ limit->key)) % BUCKETS];
	for (i = 0; i < WAYS; i++) {
		if (row[i].used && memcmp(row[i].address, key, sizeof(key)) == 0)
			return &row[i];
		if (row[i].used && row[i].connections)
			continue;
		if (!oldest || !row[i].used || (oldest->used && row[i].seen_ms < oldest->seen_ms))
			oldest = &row[i];
	}
	if (!oldest)
		return NULL; /* a row full of connected clients: no limit for one more */
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->address, key, sizeof(key));
	oldest->used = true;
	oldest->tokens = limit->burst;
	oldest->seen_ms = now_ms;
	return oldest;
}

int jf_limit_request(struct jf_limit *limit, const uint8_t address[16], int64_t now_ms) {
	struct client *client;
	int wait = 0;

	if (limit->rate <= 0)
		return 0;
	pthread_mutex_lock(&limit->lock);
	client = find(limit, address, now_ms);
	if (client) {
		client->tokens += (double)(now_ms - client->seen_ms) * 1e-3 * limit->rate;
		client->tokens = fmin(client->tokens, limit->burst);
		client->seen_ms = now_ms;
		if (client->tokens >= 1)
			client->tokens -= 1;
		else
			wait = (int)fmin(3600, ceil((1 - client->tokens) / limit->rate));
	}
	pthread_mutex_unlock(&limit->lock);
	return wait;
}

enum jf_limit_verdict jf_limit_connect(struct jf_limit *limit, const uint8_t address[16], int extra, int64_t now_ms) {
	enum jf_limit_verdict verdict = JF_LIMIT_WITHIN;
	struct client *client;

	if (limit->connections <= 0)
		return JF_LIMIT_WITHIN;
	pthread_mutex_lock(&limit->lock);
	client = find(limit, address, now_ms);
	if (client && client->connections >= limit->connections + extra)
		verdict = JF_LIMIT_BEYOND;
	else if (client && client->connections++ >= limit->connections)
		verdict = JF_LIMIT_ABOVE;
	pthread_mutex_unlock(&limit->lock);
	return verdict;
}

void jf_limit_disconnect(struct jf_limit *limit, const uint8_t address[16]) {
	struct client *client;

	if (limit->connections <= 0)
		return;
	pthread_mutex_lock(&limit->lock);
	client = find(limit, address, 0);
	if (client && client->connections > 0)
		client->connections--;
	pthread_mutex_unlock(&limit->lock);
}
