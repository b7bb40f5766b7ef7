/* SPDX-License-Identifier: MIT */
/* bench_dnnl.c - calls oneDNN 2, loaded at run time. */
#include "core/run/bench_dnnl.h"
#include "core/base/mem.h"
#include "core/run/bench_dnnl_abi.h"
#include "core/run/bench_impl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every call returns 0 where it succeeded. An engine, a stream, a memory, a primitive and its descriptor are pointers that only
 * oneDNN looks into. */
struct calls {
    const struct dnnl2_version *(*version)(void);
    int (*set_max_cpu_isa)(int isa);
    int (*engine_create)(void **engine, int kind, size_t index);
    int (*engine_destroy)(void *engine);
    int (*stream_create)(void **stream, void *engine, unsigned flags);
    int (*stream_wait)(void *stream);
    int (*stream_destroy)(void *stream);
    int (*sgemm)(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc);
    int (*u8s8s32)(char trans_a, char trans_b, char offset_c, int64_t m, int64_t n, int64_t k, float alpha, const uint8_t *a, int64_t lda,
                   uint8_t a_offset, const int8_t *b, int64_t ldb, int8_t b_offset, float beta, int32_t *c, int64_t ldc,
                   const int32_t *c_offset);
    int (*md_init)(struct dnnl2_md *md, int n_dims, const int64_t *dims, int type, int tag);
    size_t (*md_size)(const struct dnnl2_md *md);
    int (*memory_create)(void **memory, const struct dnnl2_md *md, void *engine, void *data);
    int (*memory_destroy)(void *memory);
    int (*matmul)(struct dnnl2_desc *, const struct dnnl2_md *src, const struct dnnl2_md *weights, const struct dnnl2_md *bias,
                  const struct dnnl2_md *dst);
    int (*inner_product)(struct dnnl2_desc *, int propagation, const struct dnnl2_md *src, const struct dnnl2_md *weights,
                         const struct dnnl2_md *bias, const struct dnnl2_md *dst);
    int (*conv)(struct dnnl2_desc *, int propagation, int algorithm, const struct dnnl2_md *src, const struct dnnl2_md *weights,
                const struct dnnl2_md *bias, const struct dnnl2_md *dst, const int64_t *stride, const int64_t *before,
                const int64_t *after);
    int (*conv_dx)(struct dnnl2_desc *, int algorithm, const struct dnnl2_md *dx, const struct dnnl2_md *weights, const struct dnnl2_md *dy,
                   const int64_t *stride, const int64_t *before, const int64_t *after);
    int (*conv_dw)(struct dnnl2_desc *, int algorithm, const struct dnnl2_md *src, const struct dnnl2_md *dw, const struct dnnl2_md *db,
                   const struct dnnl2_md *dy, const int64_t *stride, const int64_t *before, const int64_t *after);
    int (*pd_create)(void **pd, const struct dnnl2_desc *desc, const void *attributes, void *engine, void *forward);
    int (*pd_reorder)(void **pd, const struct dnnl2_md *from, void *from_engine, const struct dnnl2_md *to, void *to_engine,
                      const void *attributes);
    const struct dnnl2_md *(*pd_md)(void *pd, int what, int index);
    int (*pd_query)(void *pd, int what, int index, void *result);
    int (*pd_destroy)(void *pd);
    int (*primitive_create)(void **primitive, void *pd);
    int (*primitive_execute)(void *primitive, void *stream, int n, const struct dnnl2_arg *args);
    int (*primitive_destroy)(void *primitive);
};

static const struct {
    const char *name;
    size_t at;
} symbols[] = {
    {"dnnl_version", offsetof(struct calls, version)},
    {"dnnl_set_max_cpu_isa", offsetof(struct calls, set_max_cpu_isa)},
    {"dnnl_engine_create", offsetof(struct calls, engine_create)},
    {"dnnl_engine_destroy", offsetof(struct calls, engine_destroy)},
    {"dnnl_stream_create", offsetof(struct calls, stream_create)},
    {"dnnl_stream_wait", offsetof(struct calls, stream_wait)},
    {"dnnl_stream_destroy", offsetof(struct calls, stream_destroy)},
    {"dnnl_sgemm", offsetof(struct calls, sgemm)},
    {"dnnl_gemm_u8s8s32", offsetof(struct calls, u8s8s32)},
    {"dnnl_memory_desc_init_by_tag", offsetof(struct calls, md_init)},
    {"dnnl_memory_desc_get_size", offsetof(struct calls, md_size)},
    {"dnnl_memory_create", offsetof(struct calls, memory_create)},
    {"dnnl_memory_destroy", offsetof(struct calls, memory_destroy)},
    {"dnnl_matmul_desc_init", offsetof(struct calls, matmul)},
    {"dnnl_inner_product_forward_desc_init", offsetof(struct calls, inner_product)},
    {"dnnl_convolution_forward_desc_init", offsetof(struct calls, conv)},
    {"dnnl_convolution_backward_data_desc_init", offsetof(struct calls, conv_dx)},
    {"dnnl_convolution_backward_weights_desc_init", offsetof(struct calls, conv_dw)},
    {"dnnl_primitive_desc_create", offsetof(struct calls, pd_create)},
    {"dnnl_reorder_primitive_desc_create", offsetof(struct calls, pd_reorder)},
    {"dnnl_primitive_desc_query_md", offsetof(struct calls, pd_md)},
    {"dnnl_primitive_desc_query", offsetof(struct calls, pd_query)},
    {"dnnl_primitive_desc_destroy", offsetof(struct calls, pd_destroy)},
    {"dnnl_primitive_create", offsetof(struct calls, primitive_create)},
    {"dnnl_primitive_execute", offsetof(struct calls, primitive_execute)},
    {"dnnl_primitive_destroy", offsetof(struct calls, primitive_destroy)},
};

struct lb_dnnl {
    struct calls call;
    void *lib, *engine, *stream;
    unsigned threads;
    const char *isa;
};

/* ---- The library ---- */

/* OpenMP's idle threads look for new work for milliseconds, unless told otherwise before they are loaded; they would take the
 * processor from whoever has the next turn. So they look as often as the host's own do (pool.c), which is long enough from one call
 * to the next. */
static void *load(void)
{
    static const char spin[] = "GOMP_SPINCOUNT", looks[] = "4000";
    const char *path = getenv("LOWBIT_DNNL");
    const int ours = !getenv(spin) && !getenv("OMP_WAIT_POLICY");
    if (ours)
        setenv(spin, looks, 1);
    void *lib = dlopen(path ? path : "libdnnl.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (ours)
        unsetenv(spin);
    return lib;
}

static int resolve(struct lb_dnnl *d, char *why, size_t why_size)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *f = dlsym(d->lib, symbols[i].name);
        if (!f) {
            snprintf(why, why_size, "the library lacks %s", symbols[i].name);
            return -1;
        }
        memcpy((char *)&d->call + symbols[i].at, &f, sizeof f);
    }
    const struct dnnl2_version *v = d->call.version();
    if (v->major == DNNL2_MAJOR)
        return 0;
    snprintf(why, why_size, "version %d.%d has another interface than version %d", v->major, v->minor, DNNL2_MAJOR);
    return -1;
}

static int set_up(struct lb_dnnl *d, unsigned cpu, char *why, size_t why_size)
{
    void (*omp_threads)(int);
    *(void **)&omp_threads = dlsym(d->lib, "omp_set_num_threads"); /* also of the libraries that it brought */
    if (!omp_threads) {
        snprintf(why, why_size, "it is not built with OpenMP, so its threads cannot be told");
        return -1;
    }
    omp_threads((int)d->threads);
    d->isa = cpu & LB_CPU_AVX512 ? "avx512_core" : cpu & LB_CPU_AVX2 ? "avx2" : "sse41";
    if (!(cpu & LB_CPU_AVX512))
        d->call.set_max_cpu_isa(cpu & LB_CPU_AVX2 ? DNNL2_ISA_AVX2 : DNNL2_ISA_SSE41);
    if (!d->call.engine_create(&d->engine, DNNL2_CPU, 0) && !d->call.stream_create(&d->stream, d->engine, DNNL2_DEFAULT_STREAM))
        return 0;
    snprintf(why, why_size, "its engine cannot be created");
    return -1;
}

struct lb_dnnl *lb_dnnl_load(unsigned threads, unsigned cpu, char *why, size_t why_size)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct lb_dnnl *d = lb_alloc(1, sizeof *d, NULL);
    if (!d) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    d->threads = threads ? threads : cpus > 0 ? (unsigned)cpus : 1;
    d->lib = load();
    if (!d->lib)
        snprintf(why, why_size, "%s", dlerror());
    if (d->lib && !resolve(d, why, why_size) && !set_up(d, cpu, why, why_size))
        return d;
    lb_dnnl_unload(d);
    return NULL;
}

void lb_dnnl_unload(struct lb_dnnl *d)
{
    if (!d)
        return;
    if (d->stream)
        d->call.stream_destroy(d->stream);
    if (d->engine)
        d->call.engine_destroy(d->engine);
    if (d->lib) {
        int (*omp_pause)(int);
        const int hard = 2;
        *(void **)&omp_pause = dlsym(d->lib, "omp_pause_resource_all");
        if (omp_pause)
            omp_pause(hard); /* its threads end; they would wait for more work until the process does */
        dlclose(d->lib);
    }
    lb_free(d);
}

unsigned lb_dnnl_threads(const struct lb_dnnl *d)
{
    return d->threads;
}

const char *lb_dnnl_isa(const struct lb_dnnl *d)
{
    return d->isa;
}

int lb_dnnl_sgemm(const struct lb_dnnl *d, const struct bench_problem *p, float *c, struct lb_err *err)
{
    const int64_t m = (int64_t)p->m, n = (int64_t)p->n, k = (int64_t)p->k;
    const int r = d->call.sgemm(p->trans_a ? 'T' : 'N', p->trans_b ? 'T' : 'N', m, n, k, 1.0f, p->in[0], p->trans_a ? m : k, p->in[1],
                                p->trans_b ? k : n, 0.0f, c, n);
    return r ? lb_fail(err, "dnnl_sgemm: status %d", r) : 0;
}

int lb_dnnl_u8s8s32(const struct lb_dnnl *d, size_t m, size_t n, size_t k, const unsigned char *a, const signed char *b, int32_t *c,
                    struct lb_err *err)
{
    const int32_t none = 0;
    const int r = d->call.u8s8s32('N', 'N', 'F', (int64_t)m, (int64_t)n, (int64_t)k, 1.0f, a, (int64_t)k, 0, b, (int64_t)n, 0, 0.0f, c,
                                  (int64_t)n, &none);
    return r ? lb_fail(err, "dnnl_gemm_u8s8s32: status %d", r) : 0;
}

/* ---- Primitives ---- */

/* One of the three arrays of a primitive. */
struct tensor {
    int arg, query, n_dims;
    int64_t dims[DNNL2_DIMS];
    int plain, wanted; /* layouts */
    const float *data; /* NULL: the output */
};

struct lb_dnnl_op {
    struct lb_dnnl *d;
    void *forward, *pd, *primitive; /* forward: of a gradient */
    struct dnnl2_arg args[3];
    float *data[3];
    size_t out;
    struct dnnl2_md plain_out;
    int query_out;
    const char *isa;
};

/* Which input (0, 1) or the output (-1) is source, weights, destination, and which of these is a gradient. */
static const struct {
    int data[3], diff[3];
} roles[] = {
    [BENCH_GEMM] = {{0, 1, -1}, {0, 0, 0}},
    [BENCH_CONV2D] = {{0, 1, -1}, {0, 0, 0}},
    [BENCH_CONV2D_DX] = {{-1, 1, 0}, {1, 0, 1}},
    [BENCH_CONV2D_DW] = {{1, -1, 0}, {0, 1, 1}},
};

/* Layouts of source, weights and destination; 0: as they are. */
static const int layouts[][3] = {
    [LB_DNNL_MATMUL] = {0, 0, 0},
    [LB_DNNL_MATMUL_PACKED] = {0, DNNL2_ANY, 0},
    [LB_DNNL_INNER_PRODUCT] = {0, 0, 0},
    [LB_DNNL_CONV_ANY] = {DNNL2_ANY, DNNL2_ANY, DNNL2_ANY},
    [LB_DNNL_CONV_NHWC] = {DNNL2_ACDB, DNNL2_ANY, DNNL2_ACDB},
    [LB_DNNL_CONV_NCHW] = {0, DNNL2_ANY, 0},
};

static void describe(struct tensor t[3], enum lb_dnnl_way way, const struct bench_problem *p)
{
    static const int args[] = {DNNL2_SRC, DNNL2_WEIGHTS, DNNL2_DST}, queries[] = {DNNL2_SRC_MD, DNNL2_WEIGHTS_MD, DNNL2_DST_MD};
    const struct lb_conv *s = &p->s;
    const int conv = p->kind != BENCH_GEMM, rows_are_outputs = way == LB_DNNL_INNER_PRODUCT;
    const size_t image[3][4] = {{s->n, s->c, s->h, s->w}, {s->o, s->c, s->kh, s->kw}, {s->n, s->o, s->oh, s->ow}};
    const size_t matrix[3][2] = {{p->m, p->k}, {rows_are_outputs ? p->n : p->k, rows_are_outputs ? p->k : p->n}, {p->m, p->n}};
    const int plain[3] = {p->trans_a ? DNNL2_BA : DNNL2_AB, p->trans_b && !rows_are_outputs ? DNNL2_BA : DNNL2_AB, DNNL2_AB};
    for (int i = 0; i < 3; i++) {
        const int diff = roles[p->kind].diff[i], data = roles[p->kind].data[i];
        t[i] = (struct tensor){.arg = args[i] + diff * DNNL2_DIFF,
                               .query = queries[i] + diff,
                               .n_dims = conv ? 4 : 2,
                               .plain = conv ? DNNL2_ABCD : plain[i],
                               .data = data < 0 ? NULL : p->in[data]};
        t[i].wanted = layouts[way][i] ? layouts[way][i] : t[i].plain;
        for (int j = 0; j < t[i].n_dims; j++)
            t[i].dims[j] = (int64_t)(conv ? image[i][j] : matrix[i][j]);
    }
}

/* The primitive's descriptor from its arrays' wanted layouts. */
static int choose(struct lb_dnnl_op *op, enum lb_dnnl_way way, const struct bench_problem *p, const struct dnnl2_md md[3])
{
    const struct calls *c = &op->d->call;
    const struct lb_conv *s = &p->s;
    const int64_t stride[DNNL2_DIMS] = {(int64_t)s->stride, (int64_t)s->stride}, pad[DNNL2_DIMS] = {(int64_t)s->pad, (int64_t)s->pad};
    const int propagation = p->kind == BENCH_CONV2D ? DNNL2_FORWARD_INFERENCE : DNNL2_FORWARD_TRAINING;
    struct dnnl2_desc desc;
    int r;
    if (way == LB_DNNL_INNER_PRODUCT)
        r = c->inner_product(&desc, DNNL2_FORWARD_INFERENCE, &md[0], &md[1], NULL, &md[2]);
    else if (p->kind == BENCH_GEMM)
        r = c->matmul(&desc, &md[0], &md[1], NULL, &md[2]);
    else
        r = c->conv(&desc, propagation, DNNL2_CONV_DIRECT, &md[0], &md[1], NULL, &md[2], stride, pad, pad);
    if (r || p->kind == BENCH_GEMM || p->kind == BENCH_CONV2D)
        return r ? r : c->pd_create(&op->pd, &desc, NULL, op->d->engine, NULL);
    if ((r = c->pd_create(&op->forward, &desc, NULL, op->d->engine, NULL)))
        return r;
    if (p->kind == BENCH_CONV2D_DX)
        r = c->conv_dx(&desc, DNNL2_CONV_DIRECT, &md[0], &md[1], &md[2], stride, pad, pad);
    else
        r = c->conv_dw(&desc, DNNL2_CONV_DIRECT, &md[0], &md[1], NULL, &md[2], stride, pad, pad);
    return r ? r : c->pd_create(&op->pd, &desc, NULL, op->d->engine, op->forward);
}

/* Copies from one layout to another. */
static int reorder(const struct lb_dnnl *d, const struct dnnl2_md *from_md, const float *from, const struct dnnl2_md *to_md, float *to)
{
    const struct calls *c = &d->call;
    void *pd = NULL, *primitive = NULL;
    struct dnnl2_arg args[2] = {{DNNL2_SRC, NULL}, {DNNL2_DST, NULL}};
    int r = c->pd_reorder(&pd, from_md, d->engine, to_md, d->engine, NULL);
    r = r ? r : c->primitive_create(&primitive, pd);
    r = r ? r : c->memory_create(&args[0].memory, from_md, d->engine, (void *)(uintptr_t)from);
    r = r ? r : c->memory_create(&args[1].memory, to_md, d->engine, to);
    r = r ? r : c->primitive_execute(primitive, d->stream, 2, args);
    r = r ? r : c->stream_wait(d->stream);
    for (int i = 0; i < 2; i++)
        if (args[i].memory)
            c->memory_destroy(args[i].memory);
    if (primitive)
        c->primitive_destroy(primitive);
    if (pd)
        c->pd_destroy(pd);
    return r;
}

/* Array i in the layout that the primitive chose. */
static int place(struct lb_dnnl_op *op, size_t i, const struct tensor *t)
{
    const struct calls *c = &op->d->call;
    const struct dnnl2_md *md = c->pd_md(op->pd, t->query, 0);
    struct dnnl2_md plain;
    int r = c->md_init(&plain, t->n_dims, t->dims, DNNL2_F32, t->plain);
    if (r || !md)
        return r ? r : -1;
    op->data[i] = lb_alloc(c->md_size(md), 1, NULL);
    if (!op->data[i])
        return -1;
    op->args[i].arg = t->arg;
    r = c->memory_create(&op->args[i].memory, md, op->d->engine, op->data[i]);
    if (r || t->data)
        return r ? r : reorder(op->d, &plain, t->data, md, op->data[i]);
    op->out = i;
    op->plain_out = plain;
    op->query_out = t->query;
    return 0;
}

int lb_dnnl_op_create(struct lb_dnnl *d, enum lb_dnnl_way way, const struct bench_problem *p, struct lb_dnnl_op **out, struct lb_err *err)
{
    const struct calls *c = &d->call;
    struct lb_dnnl_op *op = lb_alloc(1, sizeof *op, err);
    struct tensor t[3];
    struct dnnl2_md md[3];
    int r = 0;
    if (!op)
        return -1;
    op->d = d;
    describe(t, way, p);
    for (size_t i = 0; i < 3 && !r; i++)
        r = c->md_init(&md[i], t[i].n_dims, t[i].dims, DNNL2_F32, t[i].wanted);
    r = r ? r : choose(op, way, p, md);
    r = r ? r : c->primitive_create(&op->primitive, op->pd);
    for (size_t i = 0; i < 3 && !r; i++)
        r = place(op, i, &t[i]);
    if (!r && c->pd_query(op->pd, DNNL2_IMPL_INFO, 0, &op->isa))
        op->isa = d->isa;
    if (r) {
        lb_dnnl_op_destroy(op);
        return lb_fail(err, "oneDNN: a primitive cannot be created: status %d", r);
    }
    *out = op;
    return 0;
}

int lb_dnnl_op_run(const struct lb_dnnl_op *op, struct lb_err *err)
{
    int r = op->d->call.primitive_execute(op->primitive, op->d->stream, 3, op->args);
    r = r ? r : op->d->call.stream_wait(op->d->stream);
    return r ? lb_fail(err, "oneDNN: status %d", r) : 0;
}

int lb_dnnl_op_result(const struct lb_dnnl_op *op, float *out, struct lb_err *err)
{
    const struct dnnl2_md *md = op->d->call.pd_md(op->pd, op->query_out, 0);
    const int r = reorder(op->d, md, op->data[op->out], &op->plain_out, out);
    return r ? lb_fail(err, "oneDNN: the result cannot be read: status %d", r) : 0;
}

const char *lb_dnnl_op_isa(const struct lb_dnnl_op *op)
{
    return op->isa;
}

void lb_dnnl_op_destroy(struct lb_dnnl_op *op)
{
    if (!op)
        return;
    const struct calls *c = &op->d->call;
    for (size_t i = 0; i < 3; i++) {
        if (op->args[i].memory)
            c->memory_destroy(op->args[i].memory);
        lb_free(op->data[i]);
    }
    if (op->primitive)
        c->primitive_destroy(op->primitive);
    if (op->pd)
        c->pd_destroy(op->pd);
    if (op->forward)
        c->pd_destroy(op->forward);
    lb_free(op);
}
