/* SPDX-License-Identifier: MIT */
/* Models that onnxruntime has answered, and the same cut off at every byte, changed in each, and spoiled on purpose. */
#include "test/unit/nn_util.h"

#include "core/onnx/onnx.h"

#include <signal.h>
#include <sys/wait.h>

static const char folder[] = "test/data/onnx";

static char *path_of(char path[200], const char *name, const char *ending)
{
    snprintf(path, 200, "%s/%s%s", folder, name, ending);
    return path;
}

static void open_tensors(const char *name, const char *ending, struct lb_safetensors *st)
{
    struct lb_err err = {0};
    char path[200];
    cr_assert_eq(lb_safetensors_open(path_of(path, name, ending), st, &err), 0, "%s (run from the root)", err.text);
}

/* A file in memory that the test may change. */
static unsigned char *read_model(const char *name, size_t *n)
{
    struct lb_err err = {0};
    char path[200];
    char *text = lb_read_file(path_of(path, name, ".onnx"), n, &err);
    cr_assert(text, "%s (run from the root)", err.text);
    unsigned char *copy = memcpy(keep(*n, 1), text, *n);
    lb_free(text);
    return copy;
}

/* Reads and runs; 0 or -1, after checking that a refusal is one line that begins with the path, and that all is given back. */
static int try_model(const unsigned char *data, size_t n, const struct lb_safetensors *in, struct lb_safetensors *out, struct lb_err *err)
{
    char path[200];
    struct lb_onnx *m;
    *err = (struct lb_err){0};
    path_of(path, "model", ".onnx");
    int r = lb_onnx_parse(data, n, path, &m, err);
    if (!r)
        r = lb_onnx_run(m, held.dev, in, out, err);
    lb_onnx_destroy(m);
    cr_assert_eq(r, err->set ? -1 : 0);
    if (r)
        cr_assert(!strncmp(err->text, path, strlen(path)) && strlen(err->text) > strlen(path) + 8 && !strchr(err->text, '\n'), "%s",
                  err->text);
    return r;
}

/* ---- Answers -------------------------------------------------------------------------------------------------------------------------- */

/* Sums of at most 40 terms in two orders; those of "shapes" are of whole numbers, and equal. */
static void check_output(const struct lb_named *want, const struct lb_safetensors *out, double relative)
{
    const struct lb_tensor *got = lb_safetensors_find(out, want->name);
    cr_assert(got && got->dtype == want->t.dtype && got->ndim == want->t.ndim, "%s", want->name);
    cr_assert(!memcmp(got->shape, want->t.shape, sizeof *got->shape * got->ndim), "%s: another shape", want->name);
    if (got->dtype != LB_F32 || relative == 0) {
        cr_expect(!got->bytes || !memcmp(got->data, want->t.data, got->bytes), "%s: other numbers", want->name);
        return;
    }
    for (size_t i = 0; i < got->elems; i++) {
        float a, b;
        memcpy(&a, got->data + 4 * i, sizeof a);
        memcpy(&b, want->t.data + 4 * i, sizeof b);
        cr_expect(fabs((double)a - (double)b) <= relative * (1 + fabs((double)b)), "%s[%zu]: %a, onnxruntime %a", want->name, i, (double)a,
                  (double)b);
    }
}

static void check_model(const char *backend, const char *name, double relative)
{
    struct lb_err err = {0};
    struct lb_safetensors x = {0}, y = {0}, out = {0};
    struct lb_onnx *m;
    char path[200];
    load_plugins();
    open_device(backend, ~0u);
    open_tensors(name, "_x.safetensors", &x);
    open_tensors(name, "_y.safetensors", &y);
    cr_assert_eq(lb_onnx_open(path_of(path, name, ".onnx"), &m, &err), 0, "%s", err.text);
    cr_assert_eq(lb_onnx_run(m, held.dev, &x, &out, &err), 0, "%s", err.text);
    cr_assert_eq(out.n, y.n);
    for (size_t i = 0; i < y.n; i++)
        check_output(&y.items[i], &out, relative);
    lb_onnx_destroy(m);
    lb_safetensors_finish(&x);
    lb_safetensors_finish(&y);
    lb_safetensors_finish(&out);
    drop_all();
}

Test(onnx, model)
{
    check_model("cpu_ref", "model", 1e-5);
    check_model("cpu", "model", 1e-5);
}

Test(onnx, external_data)
{
    check_model("cpu_ref", "external", 1e-5);
}

Test(onnx, shapes)
{
    check_model("cpu_ref", "shapes", 0);
    check_model("cpu", "shapes", 0);
}

Test(onnx, vulkan)
{
    check_model("vulkan", "model", 1e-5);
}

/* ---- Damage --------------------------------------------------------------------------------------------------------------------------- */

static void damage(const char *name, const char *inputs, int changes)
{
    struct lb_err err;
    struct lb_safetensors x = {0};
    size_t n, runs = 0;
    load_plugins();
    open_device("cpu_ref", ~0u);
    open_tensors(inputs, "_x.safetensors", &x);
    unsigned char *data = read_model(name, &n);
    const size_t before = lb_mem_now();
    for (size_t cut = 0; cut < n && !changes; cut++) {
        struct lb_safetensors out = {0};
        unsigned char *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees what is read behind it */
        memcpy(exact, data, cut);
        cr_assert_eq(try_model(exact, cut, &x, &out, &err), -1, "%s: the first %zu bytes of %zu run", name, cut, n);
        lb_safetensors_finish(&out);
        free(exact);
    }
    static const unsigned char with[] = {0x01, 0x08, 0x80, 0xff};
    for (size_t i = 0; i < n * COUNT(with) && changes; i++) {
        struct lb_safetensors out = {0};
        data[i / COUNT(with)] ^= with[i % COUNT(with)];
        runs += try_model(data, n, &x, &out, &err) == 0;
        data[i / COUNT(with)] ^= with[i % COUNT(with)];
        lb_safetensors_finish(&out);
        cr_assert_eq(lb_mem_now(), before, "byte %zu: %zu bytes are left", i / COUNT(with), lb_mem_now() - before);
    }
    cr_expect(!changes || (runs > n / 10 && runs < n * COUNT(with)), "%zu of %zu changed models run", runs, n * COUNT(with));
    lb_safetensors_finish(&x);
    drop_all();
}

Test(onnx, cut_off)
{
    damage("model", "model", 0);
    damage("external", "external", 0);
}

Test(onnx, changed)
{
    damage("model", "model", 1);
    damage("shapes", "shapes", 1);
}

/* ---- Models that are refused ------------------------------------------------------------------------------------------------------------ */

/* Occurrence `which` of `old` in a model becomes `new`, which is as long. */
#define SWAP(old, new) sizeof(old) - 1, old, new
static const struct {
    const char *model;
    unsigned which;
    size_t n;
    const char *old, *new;
    const char *message;
} spoiled[] = {
    {"model", 0, SWAP("Relu", "Tanh"), "node 2, Tanh \"relu\": the operator is not supported (domain \"\")"},
    {"model", 0, SWAP("MatMulNBits", "MatMulNBitz"), "node 0, MatMulNBitz \"product\": the operator is not supported"},
    {"model", 0, SWAP("com.microsoft", "org.microsoft"), "the operator is not supported (domain \"org.microsoft\")"},
    {"model", 0, SWAP("com.microsoft", "com.m\ncro\x1boft"), "the operator is not supported (domain \"com.m?cro?oft\")"},
    {"model", 1, SWAP("com.microsoft", "org.microsoft"), "the model does not import the operator set \"com.microsoft\""},
    {"model", 0, SWAP("\x10\x11", "\x10\x06"), "version 6 of the operator set, wanted 7 or later"},
    {"model", 0, SWAP("block_size", "clock_size"), "node 0, MatMulNBits \"product\": attribute \"clock_size\" is not supported"},
    {"model", 0, SWAP("\x01N\x18", "\x01K\x18"), "attribute \"K\" is there twice"},
    {"model", 0, SWAP("offset", "offsex"), "node 1, Add \"add\": input B, \"offsex\", is no input or initializer of the graph"},
    {"model", 1, SWAP("offset", "scales"), "tensor \"scales\": there is one of this name already"},
    {"model", 0,
     SWAP("\x12\x01"
          "c\x1a",
          "\x12\x01"
          "b\x1a"),
     "node 2, Relu \"relu\": output \"b\": there is a value of this name already"},
    {"model", 1, SWAP("count", "cound"), "output \"cound\" is made by no node"},
    {"model", 0, SWAP("bits\x18\x04", "bits\x18\x03"), "tensor B: shape [6, 2, 16], wanted [6, 2, 12] (N, ceil(K / block_size)"},
    {"model", 0, SWAP("bits\x18\x04", "bits\x18\x09"), "node 0, MatMulNBits \"product\": bits: 9, wanted 2 to 8"},
    {"model", 0, SWAP("block_size\x18\x20", "block_size\x18\x21"), "block_size: 33, wanted a power of two, 16 or more"},
    {"model", 0, SWAP("block_size\x18\x20", "block_size\x18\x10"), "tensor B: shape [6, 2, 16], wanted [6, 3, 8]"},
    {"model", 0, SWAP("accuracy_level\x18\x01", "accuracy_level\x18\x05"), "accuracy_level: 5, wanted 0 to 4"},
    {"model", 0, SWAP("\x01K\x18\x28", "\x01K\x18\x29"), "input A: shape [3, 40], wanted (..., K), K being 41"},
    {"model", 0, SWAP("\x01N\x18\x06\xa0", "\x01N\x18\x05\xa0"), "tensor B: shape [6, 2, 16], wanted [5, 2, 16]"},
    {"model", 0, SWAP("bits\x18\x04\xa0\x01\x02", "bits\x18\x04\xa0\x01\x01"), "attribute bits: type 1, wanted 2 with its value"},
    {"model", 0, SWAP("\x10\x01\x42\x04last", "\x10\x0b\x42\x04last"), "initializer \"last\": data type 11 is not supported"},
    {"model", 0, SWAP("\x10\x01\x42\x04last", "\x10\x07\x42\x04last"), "initializer \"last\": has 96 bytes, wanted 192 by its shape"},
    {"model", 0, SWAP("\x08\x06\x08\x04\x10\x01", "\x08\x05\x08\x04\x10\x01"),
     "initializer \"last\": has 96 bytes, wanted 80 by its shape"},
    {"model", 0, SWAP("\x08\x06\x08\x04\x10\x01", "\x08\x04\x08\x06\x10\x01"),
     "node 3, MatMul \"matmul\": shapes [3, 6] and [4, 6]: 6 columns of A, 4 rows of B"},
    {"model", 0, SWAP("\x08\x06\x10\x01\x22", "\x08\x07\x10\x01\x22"),
     "initializer \"offset\": has 6 numbers in fields of its type and 0 in others, wanted 7 by its shape"},
    {"model", 0, SWAP("\x02&\x99\x01", "\x02&\x99\x03"), "initializer \"B\": element 1 is 409, wanted 0 to 255"},
    {"model", 0, SWAP("\x01x\x12", "\x01q\x12"), "node 0, MatMulNBits \"product\": input A, \"x\", is no input"},
    {"external", 0, SWAP("external.bin", "externam.bin"), "initializer \"B\": external data: externam.bin: No such file or directory"},
    {"external", 0, SWAP("external.bin", "/etc/passwd\0"),
     "initializer \"B\": external data: \"/etc/passwd\" is outside the model's folder"},
    {"external", 0, SWAP("external.bin", "../nn/../../"), "external data: \"../nn/../../\" is outside the model's folder"},
    {"external", 0, SWAP("external.bin", "./././././.."), "is outside the model's folder"},
    {"external", 0,
     SWAP("length\x12\x03"
          "192",
          "length\x12\x03"
          "191"),
     "external data: length 191, wanted 192 bytes by its shape"},
    {"external", 0,
     SWAP("offset\x12\x03"
          "192",
          "offset\x12\x03"
          "967"),
     "external data: external.bin has 366 bytes, wanted 48 from 967 on"},
    {"external", 0,
     SWAP("offset\x12\x03"
          "192",
          "offset\x12\x03"
          "-92"),
     "external data: offset \"-92\" is no size"},
    {"external", 0, SWAP("location", "lokation"), "initializer \"B\": external data: no location"},
};

static unsigned char *find(unsigned char *data, size_t size, const char *what, size_t n, unsigned which)
{
    unsigned char *at = data;
    for (; (at = memmem(at, size - (size_t)(at - data), what, n)) && which; which--)
        at += n;
    return at;
}

Test(onnx, spoiled)
{
    load_plugins();
    open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(spoiled); i++) {
        struct lb_err err;
        struct lb_safetensors x = {0}, out = {0};
        size_t size;
        unsigned char *data = read_model(spoiled[i].model, &size), *at = find(data, size, spoiled[i].old, spoiled[i].n, spoiled[i].which);
        open_tensors(spoiled[i].model, "_x.safetensors", &x);
        cr_assert(at, "row %zu: %s is not in the model", i, spoiled[i].old);
        memcpy(at, spoiled[i].new, spoiled[i].n);
        cr_expect_eq(try_model(data, size, &x, &out, &err), -1, "row %zu, \"%s\" runs", i, spoiled[i].new);
        cr_expect(strstr(err.text, spoiled[i].message), "row %zu:\n  expected %s\n  got      %s", i, spoiled[i].message, err.text);
        lb_safetensors_finish(&x);
        lb_safetensors_finish(&out);
    }
    drop_all();
}

/* What the file of inputs must hold. */
Test(onnx, inputs)
{
    static const struct {
        const char *name;
        enum lb_dtype_id dtype;
        unsigned ndim;
        size_t shape[2];
        const char *message;
    } rows[] = {{"y", LB_F32, 2, {1, 40}, "input \"x\" is missing"},
                {"x", LB_F16, 2, {1, 40}, "input \"x\": dtype F16, wanted F32"},
                {"x", LB_F32, 1, {40, 0}, "input \"x\": shape [40], wanted 2 dimensions"},
                {"x", LB_F32, 2, {1, 39}, "input \"x\": shape [1, 39], wanted 40 in dimension 1"}};
    load_plugins();
    open_device("cpu_ref", ~0u);
    size_t size;
    const unsigned char *data = read_model("model", &size);
    for (size_t i = 0; i <= COUNT(rows); i++) {
        struct lb_err err = {0};
        struct lb_safetensors x = {0}, out = {0};
        struct lb_tensor t, more;
        const size_t j = i % COUNT(rows);
        cr_assert_eq(lb_tensor_init(&t, rows[j].dtype, rows[j].ndim, rows[j].shape, &err), 0);
        cr_assert_eq(lb_safetensors_add(&x, i == j ? rows[j].name : "z", &t, &err), 0);
        if (i != j) {
            cr_assert_eq(lb_tensor_init(&more, LB_F32, 2, (const size_t[]){2, 40}, &err), 0);
            cr_assert_eq(lb_safetensors_add(&x, "x", &more, &err), 0);
        }
        cr_expect_eq(try_model(data, size, &x, &out, &err), -1);
        cr_expect(strstr(err.text, i == j ? rows[j].message : "the model has no input \"z\""), "%s", err.text);
        lb_safetensors_finish(&x);
        lb_safetensors_finish(&out);
    }
    drop_all();
}

/* ---- Data outside that changes ---------------------------------------------------------------------------------------------------------- */

/* Until it is killed: by turns the file itself, and a link that leads out of the folder. */
static void swap_files(const char *at)
{
    char inside[300], name[300], next[300];
    snprintf(inside, sizeof inside, "%s/m/inside", at);
    snprintf(name, sizeof name, "%s/m/external.bin", at);
    snprintf(next, sizeof next, "%s/m/next", at);
    for (unsigned i = 0;; i++)
        if ((i % 2 ? symlink("../outside", next) : link(inside, next)) || rename(next, name))
            _exit(1);
}

/* Whenever they are swapped, what is read is the file in the folder, or nothing: that outside, of one byte, would be too short. */
Test(onnx, swapped_for_a_link, .timeout = 60)
{
    char at[] = "/tmp/lowbit-onnx-XXXXXX", path[300], command[900];
    cr_assert(mkdtemp(at));
    snprintf(command, sizeof command,
             "cd %s && mkdir m && printf x >outside && ln -s ../outside m/external.bin && cp \"$OLDPWD/%s/external.onnx\" m/ && "
             "cp \"$OLDPWD/%s/external.bin\" m/inside",
             at, folder, folder);
    cr_assert(system(command) == 0);
    snprintf(path, sizeof path, "%s/m/external.onnx", at);
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (!pid)
        swap_files(at);
    size_t inside = 0, outside = 0;
    const double end = lb_seconds() + 1;
    while (lb_seconds() < end || ((!inside || !outside) && lb_seconds() < end + 30)) {
        struct lb_err err = {0};
        struct lb_onnx *m;
        const int r = lb_onnx_open(path, &m, &err);
        lb_onnx_destroy(m);
        inside += r == 0;
        outside += r != 0;
        if (r && !strstr(err.text, "external data: \"external.bin\" is outside the model's folder")) {
            cr_expect(0, "%s", err.text);
            break;
        }
    }
    kill(pid, SIGKILL);
    cr_expect(waitpid(pid, NULL, 0) == pid && inside && outside, "%zu models were read, %zu refused", inside, outside);
    snprintf(command, sizeof command, "rm -r %s", at);
    cr_expect(system(command) == 0);
}
