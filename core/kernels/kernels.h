/* The numeric kernels behind one table of function pointers, chosen once for the CPU.
 *
 * One body (body.h and its parts) is compiled for each instruction set: portable C, NEON, AVX2 + FMA, AVX-512.
 * Forward kernels sum each output element with ONE accumulator in ONE fixed order and use fused multiply-add
 * everywhere; row reductions always use 16 logical lanes and one fixed tree. So the bytes of a result depend neither on
 * the batch, nor on the tile an element fell into, nor on the instruction set. Gradient kernels promise the same bytes
 * for the same call on the same instruction set only.
 *
 * Layout: channels last, float32. "padded" images carry a one-pixel zero border: [(h + 2)][(w + 2)][c].
 * Pointers need no alignment beyond float's, except packed weights (64 bytes). No kernel allocates. */
#ifndef JF_CORE_KERNELS_KERNELS_H
#define JF_CORE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#define JF_LANES 16 /* packed weights come in blocks of 16 output channels, the last one filled up with zeros */

/* Convolutions with at most this many output channels use weights as they are, [3][3][cin][cout], not packed. */
#define JF_NARROW 4

#define JF_WHITEN_ROWS 4 /* sets of values that whiten takes at a time */

/* GroupNorm of one image x[h][w][c], then SiLU if `silu`. Source: Wu and He, arXiv:1803.08494. */
struct jf_group_norm {
	float *y;                      /* [h][w][c] or, if `padded`, [h + 2][w + 2][c] with its zero border */
	float *stats;                  /* out [2][groups]: mean and 1 / sqrt(var + 1e-5) */
	const float *x, *scale, *bias; /* [h][w][c], [c], [c] */
	const float *channels; /* what a convolution gathered of x, see jf_conv; NULL: worked out, the same bytes */
	int h, w, c, groups;
	bool silu, padded;
};

/* A 3x3 convolution of one image with a zero border; Winograd's of several at once. */
struct jf_conv {
	float *y;              /* [h][w][cout] */
	const float *x;        /* padded, [stride * h + 2][stride * w + 2][cin] */
	const float *weight;   /* as the kernel wants it */
	const float *bias;     /* [cout] or NULL */
	const float *residual; /* [h][w][cout] or NULL, may be y */
	float *scratch;        /* conv3x3_winograd's: jf_winograd_scratch floats */
	int h, w;              /* of the OUTPUT */
	int cin, cout;
	int stride; /* conv3x3's, 1 or 2; the others' is 1 */
	/* conv3x3_winograd's: how many images x, y and residual hold, one behind the other (0 is read as 1), and floats
	 * from one image's bias to the next one's. */
	int images;
	int bias_stride;
	/* out [images][3][cout], or NULL: sums over y's channels (channel_statistics in norm.h), gathered while y's
	 * rows are in the cache; not conv3x3_narrow's */
	float *channels;
	/* conv3x3_winograd's, or NULL: what writes x, row by row as it is read; the first image's, the others' x, y,
	 * stats and channels one behind the other */
	const struct jf_group_norm *norm;
};

/* The weight gradient of a 3x3 convolution over some images, one behind the other. */
struct jf_conv_grad {
	float *dw;       /* [3][3][cin][cout], added to */
	float *db;       /* [cout], added to; may be NULL */
	const float *x;  /* padded, [stride * h + 2][stride * w + 2][cin] */
	const float *dy; /* [h][w][cout], NOT padded */
	float *scratch;  /* conv3x3_grad_winograd's: jf_winograd_grad_scratch floats */
	int images, h, w, cin, cout, stride;
};

struct jf_group_norm_grad {
	float *dx;                             /* [h][w][c] */
	float *dscale, *dbias;                 /* [c], added to */
	float *scratch;                        /* [h][w][c] + 8 * c floats */
	const float *x, *stats, *scale, *bias; /* of the forward pass */
	const float *dy;                       /* [h][w][c], NOT padded */
	int h, w, c, groups;
	bool silu, accumulate; /* accumulate: dx += */
};

struct jf_layer_norm_grad {
	float *dx;                      /* [rows][c] */
	float *dscale, *dbias;          /* [c], added to */
	const float *x, *stats, *scale; /* of the forward pass */
	const float *dy;                /* [rows][c] */
	int rows, c;
	bool accumulate; /* dx += */
};

/* Floats of scratch that attention and its gradient need for nq queries and nk keys. */
#define JF_ATTENTION_SCRATCH(nq, d, heads) ((size_t)(2 * JF_PAD16(nq) * JF_PAD16((d) / (heads))))
#define JF_ATTENTION_GRAD_SCRATCH(nq, nk, d, heads) (JF_ATTENTION_SCRATCH(nq, d, heads) + (size_t)((nk)*JF_PAD16(nq)))

/* Multi-head attention of one sample. Head j owns columns j * d / heads ... of each third of a row.
 * Source: Vaswani et al., arXiv:1706.03762. */
struct jf_attention {
	float *y;             /* [nq][d] */
	float *y2;            /* [nq2][d] */
	float *probs;         /* out [heads][na + nb][JF_PAD16(nq + nq2)], kept for the backward pass */
	float *scratch;       /* JF_ATTENTION_SCRATCH floats for nq + nq2 */
	const float *q_rows;  /* [nq][3 * d]: queries are the first third */
	const float *q2_rows; /* [nq2][3 * d]: further queries of the same keys; nq2 may be 0 */
	const float *a, *b;   /* [na][3 * d] and [nb][3 * d]: keys and values are the second and third thirds of both */
	int nq, nq2, na, nb, d, heads;
	bool keep; /* the weights of all heads for a backward pass; else probs holds one head at a time */
};

struct jf_attention_grad {
	float *dq_rows;                      /* [nq][3 * d], added to: first third; may be da or db */
	float *da, *db;                      /* [na][3 * d], [nb][3 * d], added to: second and third thirds */
	float *scratch;                      /* JF_ATTENTION_GRAD_SCRATCH floats */
	const float *probs, *q_rows, *a, *b; /* of the forward pass, which had nq2 = 0 */
	const float *dy;                     /* [nq][d] */
	int nq, na, nb, d, heads;
};

struct jf_kernels {
	const char *name; /* "base", "avx2", "avx512" */

	/* y[m][n] = bias[n] + sum_k x[m][k] w[k][n] (+ residual[m][n])
	 * w packed [ceil(n / 16)][k][16]; bias, residual may be NULL; y may be residual; y must not be x. */
	void (*gemm)(float *y, const float *x, const float *w_packed, const float *bias, const float *residual, int m,
	    int k, int n);

	/* Stride 1 or 2: output (i, j) reads input rows stride*i - 1 .. stride*i + 1. Weight packed
	 * [ceil(cout / 16)][3][3][cin][16]. */
	void (*conv3x3)(const struct jf_conv *conv);

	/* Stride 1 by Winograd's F(4x4, 3x3); cin and cout multiples of 16; weight packed by jf_winograd_pack
	 * (core/kernels/winograd.h). Other bytes than conv3x3's: its rounding error is about twice as large. */
	void (*conv3x3_winograd)(const struct jf_conv *conv);

	/* Stride 1, cout <= JF_NARROW, weight unpacked [3][3][cin][cout]; no residual. */
	void (*conv3x3_narrow)(const struct jf_conv *conv);

	/* dw += x^T dy and db += dy, summed over all images' pixels. */
	void (*conv3x3_grad_weight)(const struct jf_conv_grad *grad);

	/* The same by Winograd's F(4x4, 3x3): stride 1, cin and cout multiples of 16. */
	void (*conv3x3_grad_winograd)(const struct jf_conv_grad *grad);

	/* The gradient of what a convolution of stride 2 read: y[2h][2w][cout] from its outputs' x, padded
	 * [h + 2][w + 2][cin]. Weight packed by jf_pack_conv_strided; no bias. */
	void (*conv3x3_strided_data)(const struct jf_conv *conv);

	/* dw[k][n] += sum over the m rows, in order, of x[m][k] times dy[m][n]; db[n] += sum over the rows of dy. */
	void (*linear_grad_weight)(float *dw, float *db, const float *x, const float *dy, int m, int k, int n);

	/* sum[n] += the sum of the m rows[n] */
	void (*row_sums)(float *sum, const float *rows, int m, int n);

	/* to[r][n] = from[r][n] (accumulate: +=) for some rows, to_stride and from_stride floats apart. */
	void (*copy_rows)(
	    float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t n, bool accumulate);

	/* y = x * sigmoid(x), n elements. */
	void (*silu)(float *y, const float *x, size_t n);
	/* dx = dy * silu'(x) (accumulate: dx +=). */
	void (*silu_grad)(float *dx, const float *x, const float *dy, size_t n, bool accumulate);

	void (*group_norm)(const struct jf_group_norm *norm);
	void (*group_norm_grad)(const struct jf_group_norm_grad *norm);

	/* LayerNorm of each row of x[rows][c]; stats: out [rows][2] mean, 1 / sqrt(var + 1e-5). */
	void (*layer_norm)(
	    float *y, float *stats, const float *x, const float *scale, const float *bias, int rows, int c);
	void (*layer_norm_grad)(const struct jf_layer_norm_grad *norm);

	void (*attention)(const struct jf_attention *attention);
	void (*attention_grad)(const struct jf_attention_grad *attention);

	/* Row-wise softmax of x[rows][n] into y (y may be x). */
	void (*softmax)(float *y, const float *x, int rows, int n);

	/* sums[r][j] += sum over i, in order, of values[r][i] rows[i * stride + j] in double, r < n <= JF_WHITEN_ROWS,
	 * j < lanes <= JF_LANES; sums [n][JF_LANES], values [n][m], which hold floats: so every product is exact. */
	void (*whiten)(double *sums, const double *values, const float *rows, size_t stride, int n, int m, int lanes);
};

#define JF_PAD16(n) (((n) + 15) / 16 * 16)

/* The table for this CPU: the widest that it can run. The environment variable JOINTFLOW_ISA=base|neon|avx2|avx512 asks
 * for another (ignored when the CPU cannot run it). Chosen once, thread-safe. */
const struct jf_kernels *jf_kernels(void);

/* Whether JOINTFLOW_ISA asks for something that jf_kernels() does not give; text then says so, as a warning. */
bool jf_kernels_complaint(char *text, size_t size);

/* A table by name, or NULL when unknown, not built or not runnable on this CPU. For tests and benchmarks. */
const struct jf_kernels *jf_kernels_by_name(const char *name);

/* Floats a packed weight needs: k rows (9 * cin for a convolution), n outputs. */
size_t jf_pack_size(int k, int n);
/* weight[k][n] -> packed [ceil(n / 16)][k][16]. A conv weight [3][3][cin][cout] is k = 9 * cin, n = cout. */
void jf_pack(float *packed, const float *weight, int k, int n);
/* weight[k][n] -> the packed weight of the data gradient, that is of its transpose; size jf_pack_size(n, k). */
void jf_pack_transposed(float *packed, const float *weight, int k, int n);
/* conv weight [3][3][cin][cout] -> the packed weight of the data gradient: kernel rotated by 180 degrees, cin and cout
 * exchanged; size jf_pack_size(9 * cout, cin). */
void jf_pack_conv_transposed(float *packed, const float *weight, int cin, int cout);
/* The same for conv3x3_strided_data: by kind of pixel (rows, then columns, even before odd) the taps that read it. */
void jf_pack_conv_strided(float *packed, const float *weight, int cin, int cout);

#endif
