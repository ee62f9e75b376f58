/* jointflow-train's command line: values, refusals in words, and what a resumed run may change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/evaluate.h"
#include "trainer/options.h"

/* Parses "jointflow-train LINE"; the words must outlive the options. */
static char words[4][512];
static enum jf_options_outcome parse(int which, struct jf_train_options *out, const char *line, struct jf_error *err) {
	char *argv[64] = {words[which]}, *save = NULL;
	int argc = 1;

	snprintf(words[which], sizeof(words[which]), "jointflow-train %s", line);
	strtok_r(words[which], " ", &save);
	while (argc < 63 && (argv[argc] = strtok_r(NULL, " ", &save)))
		argc++;
	argv[argc] = NULL;
	return jf_options_parse(out, argc, argv, err);
}

static void test_defaults(void **state) {
	struct jf_train_options o;
	struct jf_error err = {0};

	(void)state;
	assert_int_equal(parse(0, &o, "--data x", &err), JF_OPTIONS_RUN);
	assert_string_equal(o.data, "x");
	assert_int_equal(o.batch, JF_AUTO); /* what depends on the data is settled later: test_settle */
	assert_true(o.lr == JF_AUTO);
	assert_int_equal(o.warmup, -1);
	assert_true(o.weight_decay == -1 && o.augment == -1 && o.epochs == -1 && o.clip == 1);
	assert_int_equal(o.steps, -1);
	assert_int_equal(o.holdout, -1);
	assert_int_equal(o.n_ema, 2);
	assert_true(o.ema[0] == 0.999F && o.ema[1] == 0.9995F);
	assert_int_equal(o.times, JF_TIMES_MIXTURE);
	assert_int_equal(o.density, JF_DENSITY_UNIFORM);
	assert_true(o.label_weight == 0.3 && o.image_shift == 1 && o.augment_what == 1);
	assert_true(o.shares[0] == 0.4F && o.shares[1] == 0.1F && o.shares[2] == 0.4F);
	assert_string_equal(o.output, "model.safetensors");
	assert_string_equal(o.state, "model.safetensors.state");
	assert_false(o.resume);
	jf_options_deinit(&o);
}

static void test_values(void **state) {
	struct jf_train_options o;
	struct jf_error err = {0};

	(void)state;
	assert_int_equal(
	    parse(0, &o,
		"-d data --epochs=0.25 -b 64 --lr 1e-3 --ema 0.99,0.999,0.9999 --seed 18446744073709551615 --times "
		"flexible --time-density logit-normal --label-loss velocity --augment 0.5 -o out/m --state s -r "
		"--extend -j 3 --shares 0.6,0,0.25 --image-shift 2 --ship last --augment-what labels",
		&err),
	    JF_OPTIONS_RUN);
	assert_true(o.epochs == 0.25 && o.lr == 1e-3 && o.augment == 0.5);
	assert_int_equal(o.batch, 64);
	assert_int_equal(o.n_ema, 3);
	assert_true(o.seed == UINT64_MAX);
	assert_int_equal(o.times, JF_TIMES_FLEXIBLE);
	assert_int_equal(o.density, JF_DENSITY_LOGIT_NORMAL);
	assert_int_equal(o.head, JF_HEAD_VELOCITY);
	assert_true(o.label_weight == 1); /* its default follows the loss */
	assert_string_equal(o.state, "s");
	assert_true(o.resume && o.extend);
	assert_int_equal(o.threads, 3);
	assert_true(o.shares[0] == 0.6F && o.shares[1] == 0 && o.shares[2] == 0.25F);
	assert_true(o.image_shift == 2 && o.augment_what == 1 && o.ship == 1);
	jf_options_deinit(&o);
}

/* The names of choices are in the order of the enumerations that they stand for. */
static void test_choices(void **state) {
	static const char *const times[JF_N_TIMES] = {[JF_TIMES_INDEPENDENT] = "independent",
	    [JF_TIMES_SHARED] = "shared",
	    [JF_TIMES_FLEXIBLE] = "flexible",
	    [JF_TIMES_MIXTURE] = "mixture"};
	static const char *const densities[JF_N_DENSITIES] = {[JF_DENSITY_UNIFORM] = "uniform",
	    [JF_DENSITY_ARCSINE] = "arcsine",
	    [JF_DENSITY_LOGIT_NORMAL] = "logit-normal"};
	struct jf_train_options o;
	struct jf_error err = {0};
	char line[64];

	(void)state;
	for (int i = 0; i < JF_N_TIMES; i++) {
		snprintf(line, sizeof(line), "--data x --times %s", times[i]);
		assert_int_equal(parse(0, &o, line, &err), JF_OPTIONS_RUN);
		assert_int_equal(o.times, i);
		jf_options_deinit(&o);
	}
	for (int i = 0; i < JF_N_DENSITIES; i++) {
		snprintf(line, sizeof(line), "--data x --time-density %s", densities[i]);
		assert_int_equal(parse(0, &o, line, &err), JF_OPTIONS_RUN);
		assert_int_equal(o.density, i);
		jf_options_deinit(&o);
	}
}

static void test_refusals(void **state) {
	static const struct {
		const char *line, *words;
	} wrong[] = {
	    {"", "--data is missing"},
	    {"--data x --lr abc", "--lr: 'abc' is not a number"},
	    {"--data x --lr 12abc", "--lr: '12abc' is not a number"},
	    {"--data x --lr nan", "is not a number"},
	    {"--data x --batch 0", "--batch: 0 is outside 1 to 65536"},
	    {"--data x --batch 1.5", "is not a whole number"},
	    {"--data x --epochs 0", "--epochs: must be above 0"},
	    {"--data x --epochs -1", "outside"},
	    {"--data x --seed -1", "--seed: '-1'"},
	    {"--data x --seed 18446744073709551616", "--seed"},
	    {"--data x --ema 1", "--ema"},
	    {"--data x --ema 0.9,", "--ema"},
	    {"--data x --ema 0.9,0.9,0.9,0.9,0.9", "at most 4"},
	    {"--data x --times never", "--times: 'never' is none of independent|shared|flexible|mixture"},
	    {"--data x --times share", "is none of"},
	    {"--data x --shares 0.5", "--shares: '0.5' is not 3 numbers from 0 to 1 with commas between"},
	    {"--data x --shares 0.1,0.1,0.1,0.1", "is not 3 numbers"},
	    {"--data x --shares 0.1,0.1,", "is not 3 numbers"},
	    {"--data x --shares 0.1,-0.1,0.1", "is not 3 numbers"},
	    {"--data x --shares 0.5,0.5,0.1", "--shares: '0.5,0.5,0.1' is more than 1 together"},
	    {"--data x --image-shift 0", "--image-shift: 0 is outside"},
	    {"--data x --augment-what none", "is none of all|labels"},
	    {"--data x --bogus", "unknown option '--bogus'"},
	    {"--data x --eval=3",
		"option '--eval=3' is ambiguous: --eval-every, --eval-drawn, --eval-steps, --eval-ode"},
	    {"--data x --resume=1", "option '--resume=1': --resume takes no argument"},
	    {"--data x --batch +5", "is not a number"},
	    {"--data x --batch 1e3", "is not a whole number"},
	    {"--data x --batch 99999999999999999999", "is outside"},
	    {"--data x -Z", "unknown option"},
	    {"--data x --epochs", "option '--epochs' needs an argument"},
	    {"--data x stray", "unexpected argument 'stray'"},
	    {"--data x --extend", "--extend goes with --resume"},
	    {"--data x --sheet s.png --eval-drawn 0", "--sheet shows what was drawn, and --eval-drawn=0 draws nothing"},
	    {"--data=", "--data: must not be empty"},
	};
	struct jf_train_options o;
	struct jf_error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(parse(0, &o, wrong[i].line, &err), JF_OPTIONS_WRONG);
		if (!strstr(err.message, wrong[i].words))
			fail_msg("%s: \"%s\" does not say \"%s\"", wrong[i].line, err.message, wrong[i].words);
	}
}

static struct jf_safetensors *saved(const struct jf_train_options *options, uint8_t **data) {
	static struct jf_options_facts facts;
	struct jf_error err = {0};
	size_t size;

	jf_options_facts(options, &facts);
	assert_int_equal(jf_safetensors_encode(data, &size, NULL, 0, facts.metadata, facts.n, &err), JF_OK);
	return jf_safetensors_parse(*data, size, "state", &err);
}

static void test_match(void **state) {
	static const struct {
		const char *line, *words; /* NULL: allowed */
	} later[] = {
	    {"--data y --threads 7 --log l --eval-every 3 -o other -r", NULL},
	    {"--data x --lr 0.001 -r", "was made with --lr=0.002, not 0.001 (--extend allows the change)"},
	    {"--data x --lr 0.001 -r --extend", NULL},
	    {"--data x --epochs 99 -r", "--epochs=auto, not 99"},
	    {"--data x --epochs 99 -r --extend", NULL},
	    {"--data x --batch 64 -r --extend", "--batch=128, not 64"},
	    {"--data x --ema 0.999 -r --extend", "--ema=0.999000013,0.999499977, not 0.999000013"},
	    {"--data x --channels 24 -r --extend", "--channels=16, not 24"},
	    {"--data x --label-loss velocity -r --extend", "--label-loss=endpoint, not velocity"},
	    {"--data x --seed 2 -r", "--seed=1, not 2"},
	};
	struct jf_train_options first, o;
	struct jf_error err = {0};
	struct jf_safetensors *file, *other;
	uint8_t *data, *empty;
	size_t size;

	(void)state;
	assert_int_equal(parse(0, &first, "--data x", &err), JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&first, 60000, false, NULL, &err), JF_OK);
	file = saved(&first, &data);
	assert_non_null(file);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		enum jf_err rc;

		assert_int_equal(parse(1, &o, later[i].line, &err), JF_OPTIONS_RUN);
		assert_int_equal(jf_options_settle(&o, 60000, false, NULL, &err), JF_OK);
		rc = jf_options_match(&o, file, &err);
		assert_int_equal(rc, later[i].words ? JF_EINVAL : JF_OK);
		if (later[i].words && !strstr(err.message, later[i].words))
			fail_msg("%s: \"%s\" does not say \"%s\"", later[i].line, err.message, later[i].words);
		jf_options_deinit(&o);
	}
	assert_int_equal(jf_safetensors_encode(&empty, &size, NULL, 0, NULL, 0, &err), JF_OK);
	other = jf_safetensors_parse(empty, size, "other", &err);
	assert_non_null(other);
	assert_int_equal(jf_options_match(&first, other, &err), JF_EFORMAT);
	jf_safetensors_close(other);
	jf_safetensors_close(file);
	free(data);
	free(empty);
	jf_options_deinit(&first);
}

/* A later state ships if its loss is as good as the least: not where nothing was learnt, nor where the label's loss has
 * plainly risen (0.517 to 0.590 of nine classes once shipped the latter). */
static void test_slack(void **state) {
	double letters = jf_evaluate_slack(0.0785, 26);

	(void)state;
	assert_true(letters > 0.0832 - 0.0785 && letters < 0.1 * 0.0785);
	assert_true(jf_evaluate_slack(0.517, 9) < 0.590 - 0.517);
	assert_true(jf_evaluate_slack(0.6933, 2) == 0 && jf_evaluate_slack(0.69, 2) < 0.001);
}

/* What the program chooses for a small set, a large one, one with a validation set; what was asked for stays. */
static void test_settle(void **state) {
	static const bool augments = false;
	struct jf_train_options o;
	struct jf_error err = {0};

	(void)state;
	assert_int_equal(parse(0, &o, "--data x", &err), JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&o, 1437, false, NULL, &err), JF_OK);
	assert_int_equal(o.holdout, 143);
	assert_int_equal(o.batch, 64);
	assert_true(o.weight_decay == 0.05 && o.augment == 1 && o.augment_probability == 1);
	assert_true(o.lr == 0.004 && jf_options_steps(&o, 1437 - 143) == 4000);
	assert_int_equal(jf_options_warmup(&o, 4000), 300);
	assert_int_equal(jf_options_warmup(&o, 100), 10);
	jf_options_deinit(&o);

	assert_int_equal(parse(0, &o, "--data x", &err), JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&o, 10000, false, NULL, &err), JF_OK);
	assert_int_equal(o.batch, 64);
	assert_true(o.weight_decay == 0.05 && o.augment == 0.5 && o.augment_probability == 0.5);
	jf_options_deinit(&o);

	assert_int_equal(parse(0, &o, "--data x", &err), JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&o, 60000, false, NULL, &err), JF_OK);
	assert_int_equal(o.holdout, 5000);
	assert_true(o.lr == 0.002);
	assert_int_equal(o.batch, 128);
	assert_true(o.weight_decay == 0.01 && o.augment == 0 && o.augment_probability == 0.5);
	assert_true(jf_options_steps(&o, 55000) == 5157); /* 12 epochs */
	jf_options_deinit(&o);

	assert_int_equal(parse(0, &o, "--data x", &err), JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&o, 40, true, &augments, &err), JF_OK);
	assert_int_equal(o.holdout, 0);
	assert_int_equal(o.batch, 40); /* no more than there are */
	assert_true(o.augment == 0);   /* as the network of --init has none */
	jf_options_deinit(&o);

	assert_int_equal(
	    parse(0, &o, "--data x --holdout 7 --batch 9 --weight-decay 0 --augment 0 --steps 50 --warmup 40", &err),
	    JF_OPTIONS_RUN);
	assert_int_equal(jf_options_settle(&o, 100, false, NULL, &err), JF_OK);
	assert_int_equal(o.holdout, 7);
	assert_int_equal(o.batch, 9);
	assert_true(o.weight_decay == 0 && o.augment == 0 && jf_options_steps(&o, 93) == 50);
	assert_int_equal(jf_options_warmup(&o, 50), 40);
	assert_int_equal(jf_options_settle(&o, 7, false, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "--holdout=7 leaves nothing of 7 images"));
	assert_int_equal(jf_options_settle(&o, 15, false, NULL, &err), JF_EINVAL);
	assert_non_null(strstr(err.message, "--batch=9 is more than the 8 images to train on"));
	jf_options_deinit(&o);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_choices),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_slack),
	    cmocka_unit_test(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
