/* SPDX-License-Identifier: MIT */
/* laws.h - what every codec must obey, checked: the work of `lowbit verify` for the author of a plugin.
 *
 * Up to 16 bits the codes that the host derives are compared with oracle.h, which searches the codec's values anew for each number, at every
 * decision boundary and its neighbours in binary32 and binary64. Wider codecs are held to the same laws at edges and at 10^6 seeded values;
 * block codecs to laws of their own, in seeded units. */
#ifndef LB_LAWS_H
#define LB_LAWS_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stdio.h>

/* Checks all laws of a codec (with its parameters taken) and prints a line for each: "ok", or "FAILED" with a number, the code expected and the code
 * found. -1 where one failed or the codec cannot be used at all. */
int lb_codec_laws(const struct lb_codec *codec, FILE *report, struct lb_err *err);

#endif
