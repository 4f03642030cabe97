/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The images of VFs that a Linux host enables in bulk: vf_image=PATTERN and vf_size= of a blk PF.
 * Each is a sparse file that is made when its VF gets its first request; the PF process asks for it,
 * as it opens nothing itself.
 */
#ifndef RIDGE_CONTROL_VF_IMAGE_H
#define RIDGE_CONTROL_VF_IMAGE_H

#include "control/registry.h"

/* One without the other makes no sense. Returns 0, or -EINVAL with e set. */
int vf_images_check(const struct params *params, struct error *e);

/* An IPC_VF_WANTS came. Returns NULL, or what is wrong with it. */
const char *vf_image_wanted(struct pf *pf, const void *body, size_t len);

#endif
