#include "daemon/service/later.h"

#define MOST 8

static _Thread_local struct {
	int depth, n;
	struct {
		void (*run)(void *context);
		void *context;
	} calls[MOST];
} row;

void jf_later_begin(void) {
	row.depth++;
}

void jf_later_end(void) {
	if (row.depth == 1) /* what is called may add to the row */
		for (int i = 0; i < row.n; i++)
			row.calls[i].run(row.calls[i].context);
	if (--row.depth == 0)
		row.n = 0;
}

bool jf_later(void (*run)(void *context), void *context) {
	if (row.depth == 0 || row.n == MOST)
		return false;
	row.calls[row.n].run = run;
	row.calls[row.n++].context = context;
	return true;
}
