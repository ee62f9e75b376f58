#include "core/questions/question.h"

const char *jf_question_name(enum jf_question question) {
	static const char *const names[JF_N_QUESTIONS] = {"classify", "generate", "blend", "sample"};

	return (unsigned)question < JF_N_QUESTIONS ? names[question] : "unknown";
}

enum jf_task jf_question_task(enum jf_question question) {
	static const enum jf_task tasks[JF_N_QUESTIONS] = {
	    JF_TASK_CLASSIFY, JF_TASK_GENERATE, JF_TASK_GENERATE, JF_TASK_SAMPLE};

	return tasks[question];
}

void jf_label_one_hot(float *label, int class, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = k == class ? 1.0f : -1.0f;
}

void jf_label_from_weights(float *label, const float *weights, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = 2.0f * weights[k] - 1.0f;
}

int jf_argmax(const float *values, int n) {
	int best = 0;

	for (int i = 1; i < n; i++)
		if (values[i] > values[best])
			best = i;
	return best;
}

void jf_votes_count(int *votes, float *mean, const float *probabilities, int n, int classes) {
	for (int i = 0; i < n; i++) {
		const float *row = probabilities + (size_t)i * (size_t)classes;

		votes[jf_argmax(row, classes)]++;
		for (int k = 0; k < classes; k++)
			mean[k] += row[k] / (float)n;
	}
}

bool jf_votes_better(const int *votes, const float *mean, int a, int b) {
	if (votes && votes[a] != votes[b])
		return votes[a] > votes[b];
	if (mean[a] < mean[b] || mean[a] > mean[b])
		return mean[a] > mean[b];
	return a < b;
}

int jf_votes_winner(const int *votes, const float *mean, int classes) {
	int best = 0;

	for (int k = 1; k < classes; k++)
		if (jf_votes_better(votes, mean, k, best))
			best = k;
	return best;
}

/* label[K] of (1 - weight) from + weight to */
static void mix(float *label, int from, int to, float weight, int classes) {
	for (int k = 0; k < classes; k++)
		label[k] = 2.0f * ((k == from ? 1.0f - weight : 0.0f) + (k == to ? weight : 0.0f)) - 1.0f;
}

void jf_blend_fill(float *labels, uint64_t *noise, const struct jf_blend *blend, int classes) {
	for (int i = 0; i < blend->rows * blend->columns; i++) {
		float *label = labels + (size_t)i * (size_t)classes;
		int row = i / blend->columns, column = i % blend->columns;

		if (blend->matrix)
			mix(label, row, column, 0.5f, classes);
		else
			mix(label, blend->from, blend->to, (float)column / (float)(blend->columns - 1), classes);
		noise[i] = blend->matrix ? 0 : (uint64_t)row;
	}
}
