/* Letting network threads go on with requests that have been answered: one wake for all answers of a row
 * (daemon/service/later.h).
 *
 * The library wakes a network thread with a system call for each connection that is resumed. So of a row's requests one
 * for each network thread is resumed by whoever answered, without a lock that the woken thread would want at once, and
 * that thread resumes the others before it does anything for the first. They count as suspended until then. */
#include "daemon/http/internal.h"
#include "daemon/service/later.h"

/* Answered in this thread's row; the last one first, each with a reference. */
static _Thread_local struct jf_request *held;

/* With the lock held. */
static void resume(struct jf_request *request) {
	if (request->suspended)
		MHD_resume_connection(request->mhd);
	request->suspended = false;
}

/* With the lock held: the held requests, with the others of the same network thread behind the first. */
static struct jf_request *sort(struct jf_request *requests) {
	struct jf_request *firsts = NULL, *first, *next;

	for (; requests; requests = next) {
		next = requests->next;
		for (first = firsts; first && !pthread_equal(first->thread, requests->thread); first = first->next)
			;
		if (first) {
			requests->next = first->behind;
			first->behind = requests;
		} else {
			requests->next = firsts;
			firsts = requests;
		}
	}
	return firsts;
}

static void resume_held(void *context) {
	struct jf_server *server = context;
	struct jf_request *firsts, *first, *next;

	pthread_mutex_lock(&server->lock);
	firsts = sort(held);
	held = NULL;
	for (first = firsts; first; first = first->next)
		first->suspended = false; /* nobody else resumes it, so it stays until we have */
	pthread_mutex_unlock(&server->lock);
	for (first = firsts; first; first = next) {
		next = first->next;
		MHD_resume_connection(first->mhd);
		jf_request_unref(first);
	}
}

void jf_resume(struct jf_request *request) {
	if (!request->suspended)
		return;
	jf_watch_hangup(request->server->watch, request->connection->slot, false);
	/* the library calls our handler for what has no answer yet; a stream goes on in its reader */
	if (request->queued || (!held && !jf_later(resume_held, request->server))) {
		resume(request);
		return;
	}
	request->next = held;
	held = jf_request_ref(request);
}

void jf_resume_behind(struct jf_request *request) {
	struct jf_request *behind = request->behind, *other, *next;

	if (!behind)
		return;
	request->behind = NULL;
	pthread_mutex_lock(&request->server->lock);
	for (other = behind; other; other = other->next)
		resume(other);
	pthread_mutex_unlock(&request->server->lock);
	for (other = behind; other; other = next) {
		next = other->next;
		jf_request_unref(other);
	}
}
