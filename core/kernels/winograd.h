/* Choice, weights and sizes for the Winograd convolution (core/kernels/conv_winograd.h). */
#ifndef JF_CORE_KERNELS_WINOGRAD_H
#define JF_CORE_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

#define JF_WINOGRAD_BLOCK 14 /* tiles that are worked on at a time: one group of rows of the widest vectors */

#define JF_WINOGRAD_GRAD_BLOCK 32 /* the same for the weight gradient */

/* Floats from tile to tile: 36 x JF_LANES, and an odd number of cache lines, or the tiles would share a few cache sets.
 */
#define JF_WINOGRAD_STRIDE (37 * 16)

/* Whether a 3x3 convolution, stride 1, of h x w pixels from cin to cout channels gains by Winograd. Depends on the
 * shape alone, so that a layer's bytes depend neither on the batch nor on the machine. */
bool jf_winograd_suits(int h, int w, int cin, int cout);

/* Floats of a packed weight. */
size_t jf_winograd_size(int cin, int cout);

/* Floats of scratch that conv3x3_winograd needs for up to `images` images at once. */
size_t jf_winograd_scratch(int images, int h, int w, int cin, int cout);

/* Floats of scratch that conv3x3_grad_winograd needs. */
size_t jf_winograd_grad_scratch(int images, int h, int w, int cin, int cout);

/* weight[3][3][cin][cout] -> u[36][cout / 16][cin][16] = G g G^T, computed in double precision; cout a multiple of
 * 16. */
void jf_winograd_pack(float *u, const float *weight, int cin, int cout);

/* The same for the data gradient: kernel rotated by 180 degrees, cin and cout exchanged; cin a multiple of 16.
 * Size jf_winograd_size(cout, cin); jf_winograd_suits and jf_winograd_scratch are to be asked with cout, cin, too. */
void jf_winograd_pack_transposed(float *u, const float *weight, int cin, int cout);

#endif
