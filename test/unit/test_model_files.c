/* SPDX-License-Identifier: MIT */
/* A model's files: what they hold byte by byte, what can be loaded, what is refused; and that training gives the same file twice, and
 * on every instruction set. */
#include "test/unit/nn_util.h"

#include "core/base/log.h"
#include "core/nn/train.h"

static const char deep[] =
    "{\"input\": [2, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 1}, {\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 2},"
    "{\"type\": \"flatten\"}, {\"type\": \"flatten\"}, {\"type\": \"flatten\"}, {\"type\": \"flatten\"}, {\"type\": \"flatten\"},"
    "{\"type\": \"flatten\"}, {\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 1}]%s}";

static struct lb_model *model(const char *rest)
{
    char text[1000];
    snprintf(text, sizeof text, deep, rest);
    return model_of(experiment(text, "{}"), 1);
}

/* Parameters first, first + 1, ... in their own order. */
static void fill(struct lb_model *m, float first)
{
    for (size_t i = 0; i < m->n_params; i++)
        for (size_t j = 0; j < m->params[i].elems; j++)
            m->params[i].value[j] = first++;
}

/* What the reference writer makes: names byte by byte ("10." before "2."), no blank in the JSON, padded to 8 bytes, then the data in
 * that order. */
Test(model_files, saved_bytes)
{
    static const char header[] = "{\"0.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                 "\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
                                 "\"10.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]},"
                                 "\"10.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[16,24]},"
                                 "\"2.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
                                 "\"2.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[32,40]}}";
    static const float order[] = {3, 1, 2, 10, 8, 9, 6, 7, 4, 5};
    struct lb_err err = {0};
    char path[200], hash[65];
    unsigned char want[600] = {0};
    load_plugins();
    struct lb_model *m = model("");
    fill(m, 1);
    const size_t text = strlen(header), padded = (text + 7) / 8 * 8;
    want[0] = (unsigned char)(padded & 255);
    want[1] = (unsigned char)(padded >> 8);
    memset(want + 8, ' ', padded);
    memcpy(want + 8, header, text);
    memcpy(want + 8 + padded, order, sizeof order); /* a little-endian machine */
    temp_file(path, "", 0);
    cr_assert_eq(lb_model_save(m, path, &err), 0, "%s", err.text);
    size_t size;
    char *got = lb_read_file(path, &size, &err);
    cr_assert(got && size == 8 + padded + sizeof order, "%zu bytes", size);
    cr_expect_arr_eq(got, want, size, "%.*s", (int)padded, got + 8);
    lb_free(got);

    struct lb_safetensors st = {0};
    cr_assert(!lb_safetensors_open(path, &st, &err) && !lb_safetensors_sha256(&st, hash, &err), "%s", err.text);
    cr_expect_str_eq(hash, sha256_of(m));
    lb_safetensors_finish(&st);
    unlink(path);
    drop_all();
}

/* Saved and loaded: the same bits, NaN and -0 included, under our names and under the file's. */
Test(model_files, round_trip)
{
    struct lb_err err = {0};
    char path[200];
    load_plugins();
    struct lb_model *m = model(""), *back = model("");
    fill(m, 0.1f);
    m->params[0].value[0] = -0.0f;
    m->params[0].value[1] = NAN;
    m->params[2].value[0] = -INFINITY;
    m->params[2].value[1] = 0x1p-149f;
    temp_file(path, "", 0);
    cr_assert(!lb_model_save(m, path, &err) && !lb_model_load(back, path, NULL, &err), "%s", err.text);
    cr_expect_str_eq(sha256_of(m), sha256_of(back));

    json_t *names = json_pack("{s:s, s:s, s:s}", "10.bias", "0.bias", "0.weight", "10.weight", "2.weight", "2.weight");
    cr_assert(!lb_model_load(back, path, names, &err), "%s", err.text);
    json_decref(names);
    cr_expect(back->params[5].value[0] == m->params[1].value[0] && back->params[0].value[0] == m->params[4].value[0] &&
              back->params[2].value[1] == m->params[2].value[1]);
    unlink(path);
    drop_all();
}

/* ---- Weights from elsewhere ---- */

/* A file of 2 weights and 1 bias of the given dtypes, under the names of layer 0. */
static char *weights_file(char path[200], enum lb_dtype_id dtype, const void *weight, size_t rows, size_t cols, enum lb_dtype_id bias_dtype,
                          const void *bias)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_tensor w, b;
    cr_assert(!lb_tensor_describe(&w, dtype, 2, (size_t[]){rows, cols}, &err) &&
                  !lb_tensor_describe(&b, bias_dtype, 1, (size_t[]){1}, &err),
              "%s", err.text);
    w.data = memcpy(keep(w.bytes, 1), weight, w.bytes);
    b.data = memcpy(keep(b.bytes, 1), bias, b.bytes);
    cr_assert(!lb_safetensors_add(&st, "0.weight", &w, &err) && !lb_safetensors_add(&st, "0.bias", &b, &err), "%s", err.text);
    cr_assert(!lb_safetensors_write(&st, temp_file(path, "", 0), &err), "%s", err.text);
    lb_safetensors_finish(&st);
    return path;
}

Test(model_files, other_dtypes)
{
    const double f64[] = {1 + 0x1p-30, -0x1.fffffp-10}, f64_bias = 1e300;
    const struct {
        enum lb_dtype_id dtype, bias_dtype;
        const void *weight, *bias;
        float want[3];
    } rows[] = {{LB_F16, LB_F32, (const uint16_t[]){0x3c01, 0x8001}, (const float[]){0.1f}, {0x1.004p0f, -0x1p-24f, 0.1f}},
                {LB_BF16, LB_F16, (const uint16_t[]){0x3f81, 0xc2ff}, (const uint16_t[]){0x7bff}, {0x1.02p0f, -127.5f, 65504.0f}},
                {LB_F64, LB_F64, f64, &f64_bias, {1.0f, -0x1.fffffp-10f, INFINITY}},
                {LB_F4, LB_I8, (const unsigned char[]){0xf1}, (const unsigned char[]){0x80}, {0.5f, -6.0f, -128.0f}}};
    load_plugins();
    struct lb_model *m = model_of(experiment("{\"input\": [2, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 1}]}", "{}"), 1);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lb_err err = {0};
        char path[200];
        weights_file(path, rows[i].dtype, rows[i].weight, 1, 2, rows[i].bias_dtype, rows[i].bias);
        cr_assert_eq(lb_model_load(m, path, NULL, &err), 0, "%s: %s", lb_dtypes[rows[i].dtype].name, err.text);
        cr_expect(m->params[0].value[0] == rows[i].want[0] && m->params[0].value[1] == rows[i].want[1] &&
                      m->params[1].value[0] == rows[i].want[2],
                  "%s: %a %a %a", lb_dtypes[rows[i].dtype].name, (double)m->params[0].value[0], (double)m->params[0].value[1],
                  (double)m->params[1].value[0]);
        unlink(path);
    }
    drop_all();
}

Test(model_files, refusals)
{
    const float f32[] = {1, 2};
    struct lb_err err = {0};
    char path[200];
    load_plugins();
    struct lb_model *m = model_of(experiment("{\"input\": [2, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 1}]}", "{}"), 1);

    weights_file(path, LB_F32, f32, 2, 1, LB_F32, f32);
    cr_expect(lb_model_load(m, path, NULL, &err) == -1 && strstr(err.text, "tensor 0.weight: shape [2, 1], expected [1, 2]") &&
                  strstr(err.text, path),
              "%s", err.text);
    err = (struct lb_err){0};
    json_t *names = json_pack("{s:s}", "0.weight", "fc.weight");
    cr_expect(lb_model_load(m, path, names, &err) == -1 && strstr(err.text, "tensor fc.weight is missing (for parameter 0.weight"), "%s",
              err.text);
    json_decref(names);
    unlink(path);
    err = (struct lb_err){0};
    cr_expect(lb_model_load(m, path, NULL, &err) == -1 && strstr(err.text, path), "%s", err.text);

    err = (struct lb_err){0};
    weights_file(path, LB_C64, (const uint64_t[]){1, 2}, 1, 2, LB_F32, f32);
    cr_expect(lb_model_load(m, path, NULL, &err) == -1 && strstr(err.text, "0.weight") && strstr(err.text, "C64"), "%s", err.text);
    unlink(path);
    drop_all();
}

/* ---- Training, bit for bit ---- */

static const char digits_cnn[] =
    "{\"input\": [1, 28, 28], \"layers\": ["
    "{\"type\": \"conv2d\", \"filters\": 4, \"kernel\": 5, \"stride\": 3, \"padding\": 1, \"activation\": \"relu\"},"
    "{\"type\": \"dense\", \"units\": 12, \"activation\": \"tanh\"},"
    "{\"type\": \"dense\", \"units\": 10, \"activation\": \"softmax\"}]}";

/* The model's hash after training on 150 digits. */
static const char *trained(const struct lb_dataset *data, unsigned cpumask, const char **isa)
{
    struct lb_err err = {0};
    struct lb_experiment *e = experiment(
        digits_cnn, "{\"epochs\": 2, \"batch\": 32, \"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.001, \"lr_decay\": 0.7}");
    struct lb_model *m = model_of(e, 10);
    struct lb_train_result out;
    struct lb_dev *d = open_device("cpu_ref", cpumask);
    *isa = d->info.isa;
    cr_assert_eq(lb_train(m, d, &e->train, &data->train, 1, "test", &out, &err), 0, "%s", err.text);
    cr_expect(out.loss > 0 && out.loss < 2.5, "loss %g", out.loss);
    close_device();
    return sha256_of(m);
}

/* Seed, order, products, functions and updates, all in one number: docs/arithmetic.md says what it is; any compiler and any CPU must
 * find it. */
Test(model_files, training_bits)
{
    struct lb_err err = {0};
    struct lb_dataset data;
    struct lb_data_config digits = {.source = (char[]){"digits"}, .train = 150, .test = 1, .seed = 1};
    const char *c, *best, *again;
    load_plugins();
    lb_log_setup(0, 1);
    cr_assert_eq(lb_dataset_load(&digits, &data, NULL, &err), 0, "%s", err.text);
    const char *by_c = trained(&data, 0, &c), *by_best = trained(&data, ~0u, &best), *by_best_again = trained(&data, ~0u, &again);
    cr_expect_str_eq(by_c, "3c906b2ecfd8a084646fe625766e30fe7dff4399325ed2bb028b601abc591172");
    cr_expect_str_eq(by_best, by_c, "%s and %s", best, c);
    cr_expect_str_eq(by_best_again, by_best, "%s twice", again);
    cr_expect_str_eq(c, "c");
    const int one_isa = !strcmp(c, best);
    lb_dataset_finish(&data);
    drop_all();
    if (one_isa)
        cr_skip("this machine has no instruction set but plain C to compare with");
}
