/* Attention; part of kernels_body.h. Floor 0. Defines JF_KERNELS_ATTENTION, this file's initialisers for struct
 * jf_kernels. */
#ifndef JF_CORE_KERNELS_ATTENTION_H
#define JF_CORE_KERNELS_ATTENTION_H

#define JF_KERNELS_ATTENTION .attention = NULL

#endif
