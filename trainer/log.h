/* What a run tells: a bar on a terminal, plain lines elsewhere, JSON lines in a file. */
#ifndef JF_TRAINER_LOG_H
#define JF_TRAINER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "trainer/schedule.h"

struct jf_json_writer;
struct jf_log;

struct jf_log_options {
	const char *file; /* of JSON lines, appended to; NULL: none */
	bool quiet;       /* no progress on standard error */
	uint64_t start;   /* step that this session begins at */
	uint64_t end;     /* steps of the whole run */
	double steps_per_epoch;
	int batch;
};

struct jf_log_step {
	uint64_t step; /* steps done, this one included */
	double loss_image, loss_label, gradient_norm, rate;
};

/* NULL on failure: JF_EIO names the file. */
struct jf_log *jf_log_open(const struct jf_log_options *options, struct jf_error *err);
void jf_log_close(struct jf_log *log); /* NULL allowed */

/* After every step: redraws the bar (at most 5 times a second) or prints a line (every 30 seconds and at the end of an
 * epoch); every 50 steps a JSON line with the means since the line before. */
void jf_log_step(struct jf_log *log, const struct jf_log_step *step);

/* A line for the reader, above the bar; printed even when quiet if `always`. */
void jf_log_say(struct jf_log *log, bool always, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A warning: a line that begins with the program's name, quiet or not, and an event in the file. */
void jf_log_warn(struct jf_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One JSON line: begin gives the writer inside an open object with "event" set, end closes and writes it. */
struct jf_json_writer *jf_log_json_begin(struct jf_log *log, const char *event);
void jf_log_json_end(struct jf_log *log);
struct jf_json_writer *jf_log_json(struct jf_log *log); /* of the line that is open */

/* Time between the calls does not count as training (evaluations, saving). */
void jf_log_pause(struct jf_log *log);
void jf_log_continue(struct jf_log *log);

#endif
