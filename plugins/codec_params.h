/* SPDX-License-Identifier: MIT */
/* codec_params.h - what the codecs with numbers as parameters share (FIXED, FLOAT, POSIT). */
#ifndef LB_CODEC_PARAMS_H
#define LB_CODEC_PARAMS_H

#include "core/plugin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One parameter that is a whole number from `least` to `most`. */
struct lb_whole {
    const char *name;
    int least, most, *out;
};

/* Takes p where one of the n fields has its name; -1 with the reason in `why`. */
static inline int lb_param_take(const struct lb_whole *fields, size_t n, const struct lb_param *p, char *why, size_t why_size)
{
    char names[128] = "";
    for (size_t i = 0; i < n; i++) {
        const struct lb_whole *f = &fields[i];
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s\"%s\"", i ? ", " : "", f->name);
        if (strcmp(p->name, f->name) != 0)
            continue;
        if (!p->text && p->number >= f->least && p->number <= f->most && p->number == trunc(p->number)) {
            *f->out = (int)p->number;
            return 0;
        }
        char found[48];
        if (p->text)
            snprintf(found, sizeof found, "\"%.40s\"", p->text);
        else
            snprintf(found, sizeof found, "%.17g", p->number);
        snprintf(why, why_size, "%s: found %s, wanted a whole number from %d to %d", f->name, found, f->least, f->most);
        return -1;
    }
    snprintf(why, why_size, "there is no parameter \"%.40s\"; it takes %s", p->name, names);
    return -1;
}

/* Sets the size of a code, and the smallest unit that fills whole bytes. */
static inline void lb_codec_resize(struct lb_codec *c, int bits)
{
    uint32_t elems = 1;
    while ((uint32_t)bits * elems % 8)
        elems *= 2;
    c->bits = (uint32_t)bits;
    c->unit_elems = elems;
    c->unit_bytes = (uint32_t)bits * elems / 8;
}

#endif
