/* Edits: what starts on the way, what a mask keeps, repeats, counterfactuals; bytes that depend on (seed, index) alone.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/questions/tasks.h"
#include "tests/unit/rig.h"

#define PIXELS 96
#define K 5
#define N 7

static struct jf_model *model;
static int channels;
static float picture[PIXELS], label[K];
static float images[N * PIXELS], again[N * PIXELS], probabilities[N * K], original[K], used[K], strengths[N];
static const struct jf_edited into = {images, used, original, probabilities, strengths};

static int setup(void **state) {
	const struct jf_network_config c = rig_config();

	(void)state;
	model = rig_model(&c, 11);
	channels = c.image_channels;
	jf_rng_uniform(picture, PIXELS, 5, JF_STREAM_EVAL, 0);
	jf_label_one_hot(label, 3, K);
	return model && c.height * c.width * channels == PIXELS ? 0 : -1;
}

static int teardown(void **state) {
	(void)state;
	jf_model_unref(model);
	return 0;
}

static struct jf_task_options options(enum jf_solver solver, float start, int repeats) {
	struct jf_task_options o = jf_task_options_default();

	o.sampler = (struct jf_sampler_args){
	    .solver = solver, .steps = 3, .guidance = 1.0f, .start = start, .repeats = repeats};
	o.seed = 42;
	o.threads = 2;
	o.batch = 3;
	return o;
}

static void edit(const struct jf_edit *what, const struct jf_task_options *o) {
	struct jf_error err;

	assert_int_equal(jf_edit(model, &into, what, N, o, &err), JF_OK);
}

/* At t = 1 nothing of the picture is left: the bytes are those of generate. */
static void test_full_strength_is_generate(void **state) {
	const struct jf_edit what = {.picture = picture, .label = label};
	float labels[N * K];
	struct jf_error err;

	(void)state;
	for (int i = 0; i < N; i++)
		memcpy(labels + i * K, label, sizeof(label));
	for (int solver = 0; solver < JF_N_SOLVERS; solver++) {
		struct jf_task_options o = options((enum jf_solver)solver, 1.0f, 1);

		o.sampler.guidance = solver % 2 ? 1.0f : 2.0f;
		edit(&what, &o);
		o.sampler.start = 0.0f;
		o.sampler.repeats = 0;
		assert_int_equal(jf_generate(model, again, labels, NULL, N, &o, &err), JF_OK);
		assert_memory_equal(images, again, sizeof(images));
	}
}

/* The less noise, the nearer to the picture; and the posterior that is told is that of what was drawn. */
static void test_strength(void **state) {
	const struct jf_edit what = {.picture = picture, .label = label};
	double before = 0.0;
	float p[N * K];
	struct jf_error err;

	(void)state;
	for (int i = 1; i <= 4; i++) {
		struct jf_task_options o = options(JF_SOLVER_EULER, 0.25f * (float)i, 1);
		double sum = 0.0;

		edit(&what, &o);
		for (int j = 0; j < N * PIXELS; j++)
			sum += fabs((double)(images[j] - picture[j % PIXELS]));
		assert_true(sum > before);
		before = sum;
		assert_true(strengths[0] == o.sampler.start && strengths[N - 1] == o.sampler.start);
		assert_int_equal(jf_classify_posterior(model, p, images, N, 1, &o, &err), JF_OK);
		assert_memory_equal(p, probabilities, sizeof(p));
		assert_int_equal(jf_classify_posterior(model, p, picture, 1, 1, &o, &err), JF_OK);
		assert_memory_equal(p, original, sizeof(original));
	}
}

static void test_own_label(void **state) {
	const struct jf_task_options o = options(JF_SOLVER_ANCESTRAL, 0.5f, 1);
	struct jf_edit what = {.picture = picture};
	float own[K];

	(void)state;
	edit(&what, &o);
	jf_label_one_hot(own, jf_argmax(original, K), K);
	assert_memory_equal(used, own, sizeof(own));
	memcpy(again, images, sizeof(images));
	what.label = own;
	edit(&what, &o);
	assert_memory_equal(images, again, sizeof(images));
}

static void test_mask(void **state) {
	bool redraw[PIXELS] = {false};

	(void)state;
	for (int solver = 0; solver < JF_N_SOLVERS; solver++)
		for (int repeats = 1; repeats < 4; repeats += 2) {
			const struct jf_task_options o = options((enum jf_solver)solver, 0.9f, repeats);
			const struct jf_edit what = {.picture = picture, .redraw = redraw, .label = label};
			int changed = 0;

			memset(redraw, 0, sizeof(redraw));
			edit(&what, &o); /* all is kept */
			for (int i = 0; i < N; i++)
				assert_memory_equal(images + i * PIXELS, picture, sizeof(picture));
			for (int p = 0; p < PIXELS / channels; p += 3)
				redraw[p] = true;
			edit(&what, &o);
			for (int j = 0; j < N * PIXELS; j++) {
				float was = picture[j % PIXELS];
				if (redraw[j % PIXELS / channels])
					changed += memcmp(&images[j], &was, sizeof(was)) != 0;
				else
					assert_memory_equal(&images[j], &was, sizeof(was));
			}
			assert_true(changed > N * PIXELS / 4);
			/* with everything drawn anew the mask makes no difference */
			for (int p = 0; p < PIXELS / channels; p++)
				redraw[p] = true;
			edit(&what, &o);
			memcpy(again, images, sizeof(images));
			edit(&(struct jf_edit){.picture = picture, .label = label}, &o);
			assert_memory_equal(images, again, sizeof(images));
		}
}

static void test_bytes_do_not_depend_on_batch_or_threads(void **state) {
	bool redraw[PIXELS] = {false};

	(void)state;
	for (int p = 0; p < PIXELS / channels; p += 2)
		redraw[p] = true;
	for (int solver = 0; solver < JF_N_SOLVERS; solver++)
		for (int form = 0; form < 3; form++) {
			struct jf_task_options o = options((enum jf_solver)solver, 0.8f, form == 1 ? 2 : 1);
			const struct jf_edit what = {.picture = picture,
			    .redraw = form ? redraw : NULL,
			    .label = label,
			    .counterfactual = form == 2};
			float told[N];

			edit(&what, &o);
			memcpy(again, images, sizeof(images));
			memcpy(told, strengths, sizeof(told));
			o.threads = o.batch = 1;
			edit(&what, &o);
			assert_memory_equal(images, again, sizeof(images));
			assert_memory_equal(strengths, told, sizeof(told));
		}
}

/* From JF_ANCESTRAL_END down the ancestral solver's steps are Euler's, with and without a mask; from above they are
 * not. */
static void test_ancestral_ends_as_euler(void **state) {
	bool redraw[PIXELS] = {false};

	(void)state;
	for (int p = 0; p < PIXELS / channels; p++)
		redraw[p] = p % 3 > 0;
	for (int masked = 0; masked < 2; masked++) {
		const struct jf_edit what = {.picture = picture, .label = label, .redraw = masked ? redraw : NULL};

		for (int above = 0; above < 2; above++) {
			const float start = above ? JF_ANCESTRAL_END + 0.1f : JF_ANCESTRAL_END;
			const struct jf_task_options ancestral = options(JF_SOLVER_ANCESTRAL, start, 1);
			const struct jf_task_options euler = options(JF_SOLVER_EULER, start, 1);

			edit(&what, &ancestral);
			memcpy(again, images, sizeof(images));
			edit(&what, &euler);
			assert_int_equal(memcmp(images, again, sizeof(images)) != 0, above);
		}
	}
}

/* Repeats put noise back with the right spread: of a step from t to 0 that is done twice, the state after the way back
 * has mean (1 - t) z0 and standard deviation t. Seen through the answer it must differ and stay finite. */
static void test_repeats_change_what_is_drawn(void **state) {
	const struct jf_edit what = {.picture = picture, .label = label};
	const struct jf_task_options one = options(JF_SOLVER_ANCESTRAL, 0.7f, 1);
	const struct jf_task_options three = options(JF_SOLVER_ANCESTRAL, 0.7f, 3);

	(void)state;
	edit(&what, &one);
	memcpy(again, images, sizeof(images));
	edit(&what, &three);
	assert_memory_not_equal(images, again, PIXELS * sizeof(float));
}

/* The strength that is told is the first of the grid that does it, and an edit of that strength is the same image. */
static void test_counterfactual(void **state) {
	struct jf_edit what = {.picture = picture, .label = label, .counterfactual = true};
	struct jf_task_options o = options(JF_SOLVER_EULER, 0.0f, 1);
	float found[N];
	int class, n_found = 0;

	(void)state;
	edit(&what, &o);
	for (class = 0; class < K; class ++) {
		static float kept[N * PIXELS];

		jf_label_one_hot(label, class, K);
		what.counterfactual = true;
		edit(&what, &o);
		memcpy(found, strengths, sizeof(found));
		memcpy(kept, images, sizeof(kept));
		if (class == jf_argmax(original, K)) {
			for (int i = 0; i < N; i++) {
				assert_true(found[i] == 0.0f);
				assert_memory_equal(kept + i * PIXELS, picture, sizeof(picture));
			}
			continue;
		}
		what.counterfactual = false;
		for (int place = 0; place < JF_EDIT_GRID; place++) {
			struct jf_task_options at = o;

			at.sampler.start = jf_edit_strength(place);
			edit(&what, &at);
			for (int i = 0; i < N; i++) {
				bool reached = jf_argmax(probabilities + i * K, K) == class;

				if (at.sampler.start < found[i]) {
					assert_false(reached);
				} else if (!(at.sampler.start > found[i])) {
					assert_true(reached || place + 1 == JF_EDIT_GRID);
					n_found += reached;
					assert_memory_equal(
					    images + i * PIXELS, kept + i * PIXELS, PIXELS * sizeof(float));
				}
			}
		}
	}
	assert_true(n_found > 0);
	jf_label_one_hot(label, 3, K);
}

/* Trajectories that leave take their masks with them. */
static void test_dropping(void **state) {
	struct jf_error err;
	struct jf_sampler *s = jf_sampler_create(model, JF_TASK_GENERATE, 3, &err);
	const struct jf_sampler_args args = {JF_SOLVER_ANCESTRAL, 4, 1.5f, 0.8f, 1, 0, 0};
	const bool keep[3] = {false, true, true};
	bool redraw[2][PIXELS] = {{false}, {false}};
	struct jf_trajectory t[3];
	float want[2][PIXELS];

	(void)state;
	assert_non_null(s);
	for (int p = 0; p < PIXELS / channels; p++)
		redraw[p % 2][p] = true;
	for (int i = 0; i < 3; i++)
		t[i] = (struct jf_trajectory){.seed = 9,
		    .index = (uint64_t)i,
		    .image = picture,
		    .label = label,
		    .redraw = i ? redraw[i - 1] : NULL};
	for (int drop = 0; drop < 2; drop++) {
		assert_int_equal(jf_sampler_begin(s, &args, t, 3, &err), JF_OK);
		assert_true(jf_sampler_time(s) == 0.8f);
		assert_int_equal(jf_sampler_step(s, &err), JF_OK);
		if (drop)
			assert_int_equal(jf_sampler_keep(s, keep), 2);
		while (jf_sampler_steps_left(s))
			assert_int_equal(jf_sampler_step(s, &err), JF_OK);
		for (int i = 0; i < 2; i++) {
			if (drop)
				assert_memory_equal(want[i], jf_sampler_image(s, i), sizeof(want[i]));
			else
				memcpy(want[i], jf_sampler_image(s, i + 1), sizeof(want[i]));
		}
	}
	jf_sampler_destroy(s);
}

static void test_bad_arguments(void **state) {
	struct jf_error err;
	struct jf_sampler *s = jf_sampler_create(model, JF_TASK_GENERATE, 1, &err);
	struct jf_sampler *joint = jf_sampler_create(model, JF_TASK_SAMPLE, 1, &err);
	const struct jf_trajectory full = {.image = picture, .label = label}, nothing = {.label = NULL};
	const bool redraw[PIXELS] = {true};
	const struct {
		struct jf_sampler_args args;
		struct jf_trajectory t;
	} cases[] = {
	    {{JF_SOLVER_EULER, 1, 1.0f, 1.1f, 1, 0, 0}, full},
	    {{JF_SOLVER_EULER, 1, 1.0f, -0.1f, 1, 0, 0}, full},
	    {{JF_SOLVER_EULER, 1, 1.0f, NAN, 1, 0, 0}, full},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0.5f, JF_MAX_REPEATS + 1, 0, 0}, full},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0.5f, -1, 0, 0}, full},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0.5f, 1, 0, 0}, {.label = label}},
	    {{JF_SOLVER_EULER, 1, 1.0f, 1.0f, 1, 0, 0}, {.label = label, .redraw = redraw}},
	    {{JF_SOLVER_EULER, 1, 1.0f, 0.5f, 1, 0, 0}, {.image = picture}},
	};

	(void)state;
	assert_non_null(s);
	assert_non_null(joint);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(jf_sampler_begin(s, &cases[i].args, &cases[i].t, 1, &err), JF_EINVAL);
		assert_true(strlen(err.message) > 0);
	}
	assert_int_equal(jf_sampler_begin(joint, &cases[5].args, &nothing, 1, &err), JF_EINVAL);
	assert_int_equal(
	    jf_sampler_begin(joint, &(struct jf_sampler_args){JF_SOLVER_EULER, 1, 1.0f, 0, 2, 0, 0}, &nothing, 1, &err),
	    JF_EINVAL);
	jf_sampler_destroy(s);
	jf_sampler_destroy(joint);
}

static void test_mask_of_a_picture(void **state) {
	uint8_t grey[6] = {0, 127, 128, 255, 1, 200}, colour[18] = {255, 255, 255, 0, 0, 255};
	const bool want[6] = {false, false, true, true, false, true};
	bool redraw[6];
	struct jf_error err;

	(void)state;
	assert_int_equal(jf_edit_mask(redraw, &(struct jf_image){2, 3, 1, grey}, 2, 3, &err), JF_OK);
	assert_memory_equal(redraw, want, sizeof(want));
	assert_int_equal(jf_edit_mask(redraw, &(struct jf_image){2, 3, 3, colour}, 2, 3, &err), JF_OK);
	assert_true(redraw[0] && !redraw[1]);
	assert_int_equal(jf_edit_mask(redraw, &(struct jf_image){2, 3, 1, grey}, 3, 2, &err), JF_EINVAL);
	assert_string_equal(err.message, "is 3 x 2 pixels; a mask has the size of the model's images, 2 x 3");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_strength_is_generate),
	    cmocka_unit_test(test_strength),
	    cmocka_unit_test(test_own_label),
	    cmocka_unit_test(test_mask),
	    cmocka_unit_test(test_bytes_do_not_depend_on_batch_or_threads),
	    cmocka_unit_test(test_ancestral_ends_as_euler),
	    cmocka_unit_test(test_repeats_change_what_is_drawn),
	    cmocka_unit_test(test_counterfactual),
	    cmocka_unit_test(test_dropping),
	    cmocka_unit_test(test_bad_arguments),
	    cmocka_unit_test(test_mask_of_a_picture),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
