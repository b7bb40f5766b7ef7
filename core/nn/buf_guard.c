/* SPDX-License-Identifier: MIT */
#include "core/nn/buf_guard.h"
#include "core/base/guard.h"
#include "core/base/mem.h"
#include "core/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 64, ARGS = 6, PATTERN = 0xc3 };

struct guarded_buf {
    struct lb_guarded g;
    unsigned char *begin, *end; /* of what can be touched: the buffer's own is g.p and g.bytes of it */
    struct guarded_buf *next;
};

static struct guarded_buf *bufs;
static char doing[160]; /* for the watch */

/* The struct lb_ref that each op's args begin with. */
static const struct {
    const char *op, *args[ARGS];
} ops[] = {{"gemm", {"a", "b", "bias", "c"}},
           {"conv2d", {"x", "w", "bias", "y"}},
           {"conv2d_dx", {"x", "w", "dy", "dx"}},
           {"conv2d_dw", {"x", "w", "dy", "dw"}},
           {"bias_grad", {"dy", "db"}},
           {"act", {"x", "y", "dy", "dx"}},
           {"act_grad", {"x", "y", "dy", "dx"}},
           {"softmax", {"x", "y", "dy", "dx"}},
           {"softmax_grad", {"x", "y", "dy", "dx"}},
           {"cross_entropy", {"x", "labels", "loss", "dx"}},
           {"mse", {"x", "labels", "loss", "dx"}},
           {"sgd", {"w", "g", "v"}},
           {"gemm_packed", {"a", "bias", "c"}},
           {"conv2d_packed", {"x", "bias", "y"}},
           {"gemm_int8", {"a", "bias", "c"}},
           {"conv2d_int8", {"x", "bias", "y"}},
           {"quantize", {"x", "y"}},
           {"q_dense", {"a", "c"}},
           {"q_conv2d", {"x", "y"}},
           {"q_gemm", {"a", "b", "c", "b_zeros", "multiplier", "shift"}},
           {"q_table", {"x", "y", "table"}},
           {"q_binary", {"a", "b", "y"}},
           {"q_pool", {"x", "y", "scales"}},
           {"q_copy", {"x", "y"}},
           {"q_im2col", {"x", "y"}},
           {"q_col2im", {"x", "y"}},
           {"q_requantize", {"x", "y", "multiplier", "shift"}},
           {"q_quantize", {"x", "y", "scale"}},
           {"q_dequantize", {"x", "y", "scale"}}};

void *lb_buf_guard_alloc(size_t bytes, struct lb_err *err)
{
    const size_t room = bytes > (size_t)-ALIGN ? bytes : (bytes + ALIGN - 1) / ALIGN * ALIGN;
    struct guarded_buf *b = lb_alloc(1, sizeof *b, err);
    if (!b || lb_guarded_init(&b->g, "a buffer", room, 1, err)) {
        lb_free(b);
        return NULL;
    }
    b->begin = b->g.map + sysconf(_SC_PAGESIZE);
    b->end = b->g.p + room;
    b->g.bytes = bytes;
    memset(b->begin, PATTERN, (size_t)(b->g.p - b->begin));
    memset(b->g.p + bytes, PATTERN, room - bytes);
    b->next = bufs;
    bufs = b;
    return b->g.p;
}

void lb_buf_guard_free(void *p)
{
    struct guarded_buf **at = &bufs;
    while (*at && (*at)->g.p != p)
        at = &(*at)->next;
    struct guarded_buf *b = *at;
    if (!b)
        return;
    *at = b->next;
    lb_guarded_finish(&b->g);
    lb_free(b);
}

static void name_arrays(const char *const *names, const struct lb_ref *refs)
{
    for (struct guarded_buf *b = bufs; b; b = b->next) {
        b->g.name = "a buffer of other ops";
        for (int i = ARGS - 1; i >= 0; i--)
            if (names[i] && refs[i].buf && refs[i].buf->ptr == b->g.p)
                b->g.name = names[i];
    }
}

void lb_buf_guard_enter(const char *backend, const char *op, const void *args)
{
    static const char *const unknown[ARGS];
    size_t i = 0;
    while (i < sizeof ops / sizeof *ops && strcmp(ops[i].op, op) != 0)
        i++;
    name_arrays(i < sizeof ops / sizeof *ops ? ops[i].args : unknown, args);
    snprintf(doing, sizeof doing, "%s: %s", backend, op);
    lb_guard_watch(doing, 2);
}

static void check(const unsigned char *at, const unsigned char *end)
{
    for (; at < end; at++)
        if (*at != PATTERN) {
            lb_guard_say(at);
            abort();
        }
}

void lb_buf_guard_leave(void)
{
    for (const struct guarded_buf *b = bufs; b; b = b->next) {
        check(b->begin, b->g.p);
        check(b->g.p + b->g.bytes, b->end);
    }
}
