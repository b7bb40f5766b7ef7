/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/config.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 8 };

static int shown(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* The lines of a file, each a --set; returns how many. `text` is cut up. */
static size_t lines_of(char *text, const char **sets)
{
    size_t n = 0;
    for (char *line = strtok(text, "\n"); line && n < MAX_SETS; line = strtok(NULL, "\n"))
        sets[n++] = line;
    return n;
}

static void check_invalid(const char *name)
{
    char config[400], expected[400], sets_file[400];
    const char *sets[MAX_SETS];
    size_t n_sets = 0;
    struct lb_err err = {0}, none = {0};
    snprintf(config, sizeof config, "test/config/invalid/%s/config.json", name);
    snprintf(expected, sizeof expected, "test/config/invalid/%s/expected.txt", name);
    snprintf(sets_file, sizeof sets_file, "test/config/invalid/%s/sets.txt", name);
    char *set_text = lb_exists(sets_file) ? lb_read_file(sets_file, NULL, &none) : NULL;
    if (set_text)
        n_sets = lines_of(set_text, sets);
    char *want = lb_read_file(expected, NULL, &none);
    cr_assert(want, "%s", none.text);
    want[strcspn(want, "\n")] = 0;
    struct lb_experiment *e;
    int r = lb_config_load(config, sets, n_sets, &e, &err);
    cr_expect(r == -1 && !e && !strcmp(err.text, want), "%s\n  found:    %s\n  expected: %s\n  repeat: build/lowbit check %s%s%s", name,
              r ? err.text : "no error", want, config, n_sets ? " --set " : "", n_sets ? sets[n_sets - 1] : "");
    lb_config_destroy(e);
    lb_free(want);
    lb_free(set_text);
}

Test(config, invalid)
{
    struct dirent **names;
    int n = scandir("test/config/invalid", &names, shown, alphasort);
    cr_assert(n >= 60, "%d cases: run from the root of the repository", n);
    for (int i = 0; i < n; i++) {
        check_invalid(names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static struct lb_experiment *load(const char *path, const char *const *sets, size_t n_sets)
{
    struct lb_err err = {0};
    struct lb_experiment *e;
    lb_config_load(path, sets, n_sets, &e, &err);
    cr_assert(e, "%s", err.text);
    return e;
}

static void check_folder(const char *folder, int at_least)
{
    struct dirent **names;
    int n = scandir(folder, &names, shown, alphasort);
    cr_assert(n >= at_least, "%s: %d files", folder, n);
    for (int i = 0; i < n; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        const char *end = strrchr(names[i]->d_name, '.');
        if (end && !strcmp(end, ".json") && strcmp(names[i]->d_name, "formats.json") && strcmp(names[i]->d_name, "schema.json"))
            lb_config_destroy(load(path, NULL, 0));
        free(names[i]);
    }
    free(names);
}

Test(config, valid)
{
    check_folder("test/config/valid", 5);
    check_folder("configs", 2);
    check_folder("configs/paper", 0);
    cr_expect_eq(lb_mem_now(), 0, "%zu bytes were not freed", lb_mem_now());
}

Test(config, missing_file)
{
    struct lb_err err = {0};
    struct lb_experiment *e;
    cr_expect_eq(lb_config_load("test/config/none.json", NULL, 0, &e, &err), -1);
    cr_expect_str_eq(err.text, "test/config/none.json: No such file or directory");
}

Test(config, defaults)
{
    struct lb_experiment *e = load("test/config/valid/minimal.json", NULL, 0);
    cr_expect_str_eq(e->path, "test/config/valid/minimal.json");
    cr_expect_str_eq(e->name, "minimal");
    cr_expect(!e->title && !e->notes && !e->published_source && !e->n_published && !e->explain);
    cr_expect(e->data.train == 0 && e->data.test == 0 && e->data.seed == 1 && !e->data.path);
    cr_expect(e->n_models == 1 && e->n_seeds == 1 && e->seeds[0] == 1 && e->n_formats == 1 && e->n_modes == 1 && e->n_backends == 1);
    cr_expect_str_eq(e->modes[0], "w");
    cr_expect_str_eq(e->backends[0].name, "cpu_ref");
    cr_expect_str_eq(e->backends[0].backend, "cpu_ref");
    cr_expect(e->backends[0].isa == LB_ISA_BEST && !e->backends[0].threads && !e->backends[0].device);
    cr_expect(e->numerics == LB_EXACT && e->backends[0].numerics == LB_EXACT);
    cr_expect(e->calibration_samples == 256 && !e->activations && e->infer_batch == 64 && e->limits.timeout_s == 3600 &&
              e->limits.train_timeout_s == 86400);
    const struct lb_train_config *t = &e->train;
    cr_expect(!t->backend && t->epochs == 5 && t->batch == 64 && t->lr == 0.05 && t->momentum == 0 && t->decay == 0 && t->lr_decay == 1);
    cr_expect(t->loss == LB_CROSS_ENTROPY && t->reduction == LB_MEAN && t->shuffle == LB_SHUFFLE_EPOCH);
    const struct lb_model_config *m = &e->models[0];
    cr_expect_str_eq(m->name, "model");
    cr_expect(!m->has_input && !m->has_train && !m->weights && !m->names && m->n_layers == 2);
    const struct lb_layer_config *l = &m->layers[1];
    cr_expect(l->type == LB_DENSE && l->units == 10 && l->activation == LB_ACT_LINEAR && l->alpha == 1.1);
    cr_expect(l->init.rule == LB_INIT_HE_NORMAL && l->bias_init.rule == LB_INIT_ZEROS);
    const struct lb_format_config *f = &e->formats[0];
    cr_expect_str_eq(f->name, "F32");
    cr_expect_str_eq(f->codec, "F32");
    cr_expect_str_eq(f->scale_text, "none");
    cr_expect(f->rule == LB_SCALE_NONE && f->rounding == LB_NEAREST && f->overflow == -1 && f->n_params == 0);
    lb_config_destroy(e);
}

Test(config, backend_names)
{
    const char *sets[] = {"backends=[{\"backend\":\"cpu\",\"isa\":\"avx512\",\"threads\":2},{\"backend\":\"vulkan\",\"numerics\":\"fast\"},"
                          "{\"backend\":\"vulkan\",\"device\":\"llvm pipe\"},\"cpu\"]"};
    static const char *const names[] = {"cpu-avx512-2t", "vulkan-fast", "vulkan-llvm_pipe", "cpu"};
    struct lb_experiment *e = load("test/config/valid/minimal.json", sets, 1);
    cr_assert(e->n_backends == 4);
    for (int i = 0; i < 4; i++)
        cr_expect_str_eq(e->backends[i].name, names[i]);
    lb_config_destroy(e);
}

Test(config, every_key)
{
    struct lb_experiment *e = load("test/config/valid/every_key.json", NULL, 0);
    cr_expect_str_eq(e->name, "every_key-1.0");
    cr_expect_str_eq(e->notes, "two\nlines");
    cr_expect_str_eq(e->data.path, "data/mnist");
    const struct lb_model_config *m = &e->models[0];
    cr_expect(m->has_input && m->input[0] == 1 && m->input[1] == 28 && m->input[2] == 28 && m->has_train);
    cr_expect(m->n_ablate == 2 && m->ablate[0] == 1 && m->ablate[1] == 0);
    const struct lb_layer_config *l = m->layers;
    cr_expect(l[0].type == LB_CONV2D && l[0].filters == 8 && l[0].kernel[0] == 3 && l[0].kernel[1] == 3 && l[0].stride == 1 &&
              l[0].padding == 1);
    cr_expect(l[0].activation == LB_ACT_SCALED_RELU && l[0].alpha == 1.2);
    cr_expect(l[0].init.rule == LB_INIT_UNIFORM && l[0].init.low == -0.1 && l[0].init.high == 0.1);
    cr_expect(l[0].bias_init.rule == LB_INIT_UNIFORM && l[0].bias_init.low == -0.05 && l[0].bias_init.high == 0.05);
    cr_expect(l[1].kernel[0] == 3 && l[1].kernel[1] == 5 && l[1].init.rule == LB_INIT_FAN_IN);
    cr_expect(l[2].type == LB_ACTIVATION && l[2].activation == LB_ACT_TANH && l[4].type == LB_FLATTEN && l[6].activation == LB_ACT_SOFTMAX);
    cr_expect(l[5].type == LB_RESHAPE && l[5].shape[0] == 4 && l[5].shape[1] == 2 && l[5].shape[2] == 1);
    const struct lb_train_config *t = &m->train;
    cr_expect_str_eq(t->backend, "cpu_blas");
    cr_expect(t->epochs == 0 && t->batch == 20 && t->lr == 0.01 && t->momentum == 0.9 && t->decay == 0.0001 && t->lr_decay == 0.5);
    cr_expect(t->loss == LB_MSE && t->reduction == LB_HALF && t->shuffle == LB_SHUFFLE_ONCE);
    cr_expect(e->train.epochs == 3 && e->n_seeds == 3 && e->seeds[0] == 0 && e->seeds[2] == 123456789012);
    cr_expect(e->n_formats == 16 && e->n_modes == 5 && e->n_backends == 3 && e->infer_batch == 1 && e->explain == 1);
    const struct lb_format_config *f = &e->formats[6];
    cr_expect(f->per == LB_PER_BLOCK && f->block == 16 && f->rule == LB_SCALE_ABSMAX && f->scale && f->scale->offset &&
              f->scale->block == 256);
    cr_expect(f->scale->per == LB_PER_BLOCK && !f->offset && !f->scale->scale && !f->activations);
    cr_expect(f[1].per == LB_PER_CHANNEL && f[1].rule == LB_SCALE_PERCENTILE && f[1].percentile == 99.5 && f[1].activations);
    cr_expect(f[1].activations->calibrated && f[1].activations->per == LB_PER_TENSOR && f[1].activations->rule == LB_SCALE_MSE);
    cr_expect(f[2].per == LB_PER_ROW && f[2].rule == LB_SCALE_RCEIL);
    const struct lb_fit_config *fit = &f[3].fit;
    cr_expect(f[3].has_fit && fit->method == LB_FIT_GPTQ && fit->damp == 0.02 && fit->order == LB_FIT_ACTIVATION && fit->bias_correction);
    cr_expect(f[4].fit.method == LB_FIT_AWQ && f[4].fit.grid == 10 && f[5].fit.method == LB_FIT_SMOOTH && f[5].fit.alpha == 0.25);
    cr_expect(f[6].fit.method == LB_FIT_GPTQ && f[6].fit.damp == 0.01 && f[6].fit.order == LB_FIT_NATURAL && !f[6].fit.bias_correction);
    cr_expect(lb_config_format_fits(&f[6]) && !f[2].has_fit && !lb_config_format_fits(&f[2]));
    cr_expect_str_eq(f[4].name, "I4 awq");
    const struct lb_qat_config *qat = &f[7].qat;
    cr_expect(f[7].has_qat && qat->method == LB_QAT_FAKE && qat->from_epoch == 1 && !qat->activations && !qat->clip && qat->every == 0);
    cr_expect(qat->scales == LB_QAT_LEARNED && qat->rounding == 1 + 1 && !f[6].has_qat);
    cr_expect(f[8].qat.method == LB_QAT_ROUND_TRIP && f[8].qat.every == 10 && f[8].qat.rounding == 1 + 0);
    cr_expect(f[9].has_qat && f[9].qat.clip && f[9].qat.activations && f[9].qat.scales == LB_QAT_DYNAMIC && f[9].qat.rounding == 0);
    cr_expect_str_eq(f[7].name, "I4 absmax/row learned qat");
    cr_expect_str_eq(f[8].name, "I4 round trip");
    cr_expect(e->activations && e->activations->rule == LB_SCALE_EVEN && e->calibration_samples == 10);
    cr_expect_str_eq(e->modes[3], "w4a8");
    cr_expect_str_eq(e->modes[4], "integer");
    cr_expect(e->quantize_sums == 1 && e->integer_block == 16 && e->layers == 1);
    cr_expect(e->limits.memory_bytes == 100000 && e->limits.batch == 8 && e->limits.compute_factor == 0.5);
    cr_expect(f[1].activations->zero_point == 1 && f[1].zero_point == 0);
    const struct lb_backend_config *b = e->backends;
    cr_expect_str_eq(b[1].name, "one");
    cr_expect_str_eq(b[1].backend, "cpu");
    cr_expect_str_eq(b[1].device, "0");
    cr_expect(b[1].isa == LB_ISA_AVX2 && b[1].threads == 1 && b[1].numerics == LB_EXACT);
    cr_expect_str_eq(b[2].name, "cpu_blas");
    cr_expect(e->numerics == LB_FAST && b[0].numerics == LB_FAST && b[2].numerics == LB_FAST);
    cr_expect_str_eq(e->published_source, "a paper");
    cr_expect(e->n_published == 2 && e->published[0].quality == 99.5 && e->published[0].avg_dev == -0.5);
    cr_expect_str_eq(e->published[0].size, "374.21 KB");
    cr_expect(isnan(e->published[1].quality) && isnan(e->published[1].avg_dev) && !e->published[1].size && !e->published[1].model);
    cr_expect(e->limits.timeout_s == 0.5 && e->limits.train_timeout_s == 100);
    lb_config_destroy(e);
}

Test(config, sets)
{
    static const char *const sets[] = {"name=other",
                                       "train.epochs=2",
                                       "train.lr=1e-3",
                                       "formats[1]=BF16",
                                       "formats[2]={\"codec\":\"I8\"}",
                                       "model.layers[1].activation=relu",
                                       "seeds=[4,5]",
                                       "train.epochs=7"};
    struct lb_experiment *e = load("test/config/valid/minimal.json", sets, 8);
    cr_expect_str_eq(e->name, "other");
    cr_expect(e->train.epochs == 7 && e->train.lr == 0.001 && e->n_seeds == 2 && e->seeds[1] == 5 && e->n_formats == 3);
    cr_expect_str_eq(e->formats[2].codec, "I8");
    cr_expect(e->models[0].layers[1].activation == LB_ACT_RELU);
    lb_config_destroy(e);
}

Test(config, names_from_files)
{
    static const char *const names[][2] = {{"my run.json", "my_run"}, {".json", "_json"}, {"a-b.c", "a-b.c"}, {"..x.json", "_.x"}};
    char folder[] = "/tmp/lowbit-config-XXXXXX", path[200];
    struct lb_err err = {0};
    size_t size;
    cr_assert(mkdtemp(folder));
    char *text = lb_read_file("test/config/valid/minimal.json", &size, &err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i][0]);
        cr_assert(lb_write_file(path, text, size, &err) == 0, "%s", err.text);
        struct lb_experiment *e = load(path, NULL, 0);
        cr_expect_str_eq(e->name, names[i][1]);
        lb_config_destroy(e);
        remove(path);
    }
    lb_free(text);
    remove(folder);
}

struct format_case {
    const char *text, *name, *codec, *scale_text, *json;
};

static const struct format_case format_cases[] = {
    {"F32", "F32", "F32", "none",
     "{\"codec\":{\"name\":\"F32\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"per\":\"none\"}}"},
    {"{\"codec\":\"F32\",\"name\":\"x\",\"scale\":{\"per\":\"none\"},\"order\":\"low_first\",\"rounding\":\"nearest\"}", "x", "F32", "none",
     "{\"codec\":{\"name\":\"F32\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"per\":\"none\"}}"},
    {"TIMES_100", "TIMES_100", "I8", "x100",
     "{\"codec\":{\"name\":\"I8\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"add\":0.0,\"multiply\":100.0}}"},
    {"{\"codec\":{\"name\":\"I8\"},\"scale\":{\"multiply\":1e2,\"add\":-0.0}}", "I8 x100", "I8", "x100",
     "{\"codec\":{\"name\":\"I8\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"add\":0.0,\"multiply\":100.0}}"},
    {"PLUS_1", "PLUS_1", "U8", "(w+1)x100",
     "{\"codec\":{\"name\":\"U8\"},\"order\":\"low_first\",\"overflow\":\"wrap\",\"rounding\":\"toward_zero\",\"scale\":{\"add\":1.0,"
     "\"multiply\":100.0}}"},
    {"{\"codec\":\"U32\",\"scale\":{\"multiply\":1000000,\"add\":-0.5}}", "U32 (w-0.5)x1000000", "U32", "(w-0.5)x1000000",
     "{\"codec\":{\"name\":\"U32\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"add\":-0.5,\"multiply\":1000000.0}}"},
    {"F16", "F16", "BF16", "absmax/tensor",
     "{\"codec\":{\"name\":\"BF16\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"calibrated\":false,\"per\":\"tensor\","
     "\"rule\":\"absmax\"}}"},
    {"{\"codec\":\"I8\",\"scale\":{\"per\":\"tensor\"},\"order\":\"low_first\",\"overflow\":\"wrap\"}", "I8 absmax/tensor", "I8",
     "absmax/tensor",
     "{\"codec\":{\"name\":\"I8\"},\"order\":\"low_first\",\"overflow\":\"wrap\",\"rounding\":\"nearest\",\"scale\":{\"calibrated\":false,"
     "\"per\":\"tensor\","
     "\"rule\":\"absmax\"}}"},
    {"{\"codec\":\"I8\",\"scale\":{\"per\":\"tensor\",\"rule\":\"fixed\",\"value\":0.5}}", "I8 fixed 0.5/tensor", "I8", "fixed 0.5/tensor",
     "{\"codec\":{\"name\":\"I8\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"calibrated\":false,\"per\":\"tensor\","
     "\"rule\":\"fixed\","
     "\"value\":0.5}}"},
    {"{\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"floor\",\"format\":\"F8_E8M0\"}}",
     "F4 floor/block 32 in F8_E8M0", "F4", "floor/block 32 in F8_E8M0",
     "{\"codec\":{\"name\":\"F4\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"block\":32,\"format\":{\"codec\":{"
     "\"name\":\"F8_E8M0\"},"
     "\"order\":\"low_first\",\"rounding\":"
     "\"nearest\",\"scale\":{\"per\":\"none\"}},\"offset\":\"none\",\"per\":\"block\",\"rule\":\"floor\"}}"},
    {"{\"codec\":\"I4\",\"scale\":{\"per\":\"channel\",\"format\":\"F16\"}}", "I4 absmax/channel in F16", "I4", "absmax/channel in F16",
     "{\"codec\":{\"name\":\"I4\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"format\":{\"codec\":{\"name\":\"BF16\"},"
     "\"order\":\"low_first\",\"rounding\":\"nearest\","
     "\"scale\":{\"calibrated\":false,\"per\":\"tensor\",\"rule\":\"absmax\"}},\"per\":\"channel\",\"rule\":\"absmax\"}}"},
    {"{\"codec\":\"NF4\",\"scale\":{\"per\":\"block\",\"block\":64,\"format\":{\"codec\":\"I8\",\"scale\":{\"per\":\"block\",\"block\":256,"
     "\"offset\":\"mean\"}}}}",
     "NF4 absmax/block 64 in I8 absmax/block 256 less mean", "NF4", "absmax/block 64 in I8 absmax/block 256 less mean",
     "{\"codec\":{\"name\":\"NF4\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"block\":64,\"format\":{\"codec\":{"
     "\"name\":\"I8\"},\"order\":\"low_first\",\"rounding\":"
     "\"nearest\",\"scale\":{\"block\":256,\"offset\":\"mean\",\"per\":\"block\",\"rule\":\"absmax\"}},\"offset\":\"none\",\"per\":"
     "\"block\","
     "\"rule\":\"absmax\"}}"},
    {"{\"codec\":\"I8\",\"scale\":{\"per\":\"tensor\",\"rule\":\"percentile\",\"percentile\":99.5,\"calibrated\":true},\"activations\":"
     "\"F32\"}",
     "I8 percentile 99.5/tensor calibrated x F32", "I8", "percentile 99.5/tensor calibrated",
     "{\"activations\":{\"codec\":{\"name\":\"F32\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"per\":\"none\"}},"
     "\"codec\":{\"name\":\"I8\"},"
     "\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{\"calibrated\":true,\"per\":\"tensor\",\"percentile\":99.5,\"rule\":"
     "\"percentile\"}}"},
    {"{\"codec\":{\"name\":\"FLOAT\",\"m\":3,\"e\":4.0,\"kind\":\"fn\"}}", "FLOAT(m=3,e=4,kind=fn)", "FLOAT", "none",
     "{\"codec\":{\"e\":4.0,\"kind\":\"fn\",\"m\":3.0,\"name\":\"FLOAT\"},\"order\":\"low_first\",\"rounding\":\"nearest\",\"scale\":{"
     "\"per\":\"none\"}}"},
};

Test(config, formats)
{
    for (size_t i = 0; i < sizeof format_cases / sizeof *format_cases; i++) {
        const struct format_case *c = &format_cases[i];
        struct lb_err err = {0};
        struct lb_format_config f;
        cr_assert(lb_config_format(c->text, "test/config/named/any.json", &f, &err) == 0, "%s: %s", c->text, err.text);
        char *json = lb_json_canonical(f.json, &err);
        cr_expect_str_eq(f.name, c->name);
        cr_expect_str_eq(f.codec, c->codec);
        cr_expect_str_eq(f.scale_text, c->scale_text);
        cr_expect_str_eq(json, c->json);
        lb_free(json);
        lb_config_format_finish(&f);
    }
    cr_expect_eq(lb_mem_now(), 0);
}

Test(config, format_fields)
{
    struct lb_err err = {0};
    struct lb_format_config f;
    const char *text = "{\"codec\":{\"name\":\"P\",\"n\":8,\"t\":\"x\"},\"scale\":{\"multiply\":3,\"add\":1},\"rounding\":\"stochastic\","
                       "\"overflow\":\"nan\"}";
    cr_assert(lb_config_format(text, NULL, &f, &err) == 0, "%s", err.text);
    cr_expect(f.rule == LB_SCALE_MULTIPLY && f.multiply == 3 && f.add == 1 && f.value == 1);
    cr_expect(f.rounding == LB_STOCHASTIC && f.overflow == LB_TO_NAN);
    cr_expect(f.n_params == 2 && f.params[0].number == 8 && !f.params[0].text);
    cr_expect_str_eq(f.params[0].name, "n");
    cr_expect_str_eq(f.params[1].text, "x");
    lb_config_format_finish(&f);
    cr_expect(lb_config_format("{\"codec\": 1}", NULL, &f, &err) == -1);
    cr_expect_str_eq(err.text, "format:1:11: codec: expected a text or an object, found 1");
}

Test(config, named_formats)
{
    struct lb_err err = {0};
    struct lb_format_config *f;
    size_t n;
    char *path = lb_config_formats_path("configs/paper/any.json");
    cr_expect(path && strstr(path, "configs/formats.json"), "%s", path);
    lb_free(path);
    cr_assert(lb_config_formats(NULL, &f, &n, &err) == 0, "%s", err.text);
    cr_expect(n >= 10, "%zu named formats", n);
    lb_config_formats_free(f, n);
    cr_expect_eq(lb_mem_now(), 0);
}

/* Whether two --set lists give the same hashed JSON of data, model, training and formats. */
static int same_hash(const char *const *a, size_t na, const char *const *b, size_t nb)
{
    const char *file = "test/config/valid/minimal.json";
    struct lb_experiment *x = load(file, a, na), *y = load(file, b, nb);
    int same = json_equal(x->data_json, y->data_json) && json_equal(x->models[0].json, y->models[0].json) &&
               json_equal(x->models[0].train_json, y->models[0].train_json) && json_equal(x->formats[0].json, y->formats[0].json);
    lb_config_destroy(x);
    lb_config_destroy(y);
    return same;
}

Test(config, what_decides_hashes)
{
    static const char *const neutral[] = {"model.name=cnn",
                                          "title=x",
                                          "notes=y",
                                          "name=z",
                                          "train.backend=cpu_blas", /* the plan hashes which backend that is */
                                          "train={\"epochs\":5.0}",
                                          "model.train={\"lr\":0.05}",
                                          "data.seed=1",
                                          "data.train=0.0",
                                          "model.layers[1].init=he_normal",
                                          "model.layers[1].init={\"rule\":\"he_normal\"}",
                                          "model.layers[1].activation=linear",
                                          "formats[0]={\"codec\":\"F32\",\"name\":\"other\"}",
                                          "formats[0]={\"codec\":{\"name\":\"F32\"},\"scale\":{\"per\":\"none\"}}",
                                          "data={\"source\":\"digits\",\"seed\":1}"};
    static const char *const decisive[] = {"train.epochs=6",
                                           "model.train={\"epochs\":6}",
                                           "data.seed=2",
                                           "data.train=1",
                                           "data={\"source\":\"mnist\"}",
                                           "model.layers[1].units=11",
                                           "model.layers[1].init=zeros",
                                           "model.layers[1].bias_init=uniform",
                                           "model.layers[1].activation=relu",
                                           "model.input=[1,28,28]",
                                           "model.weights=w",
                                           "formats[0]=F16",
                                           "formats[0]={\"codec\":\"F32\",\"rounding\":\"toward_zero\"}",
                                           "formats[0]={\"codec\":\"F32\",\"overflow\":\"saturate\"}",
                                           "formats[0]={\"codec\":\"F32\",\"scale\":{\"per\":\"tensor\"}}",
                                           "formats[0]={\"codec\":{\"name\":\"F32\",\"n\":1}}"};
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++)
        cr_expect(same_hash(NULL, 0, &neutral[i], 1), "%s changes a hash", neutral[i]);
    for (size_t i = 0; i < sizeof decisive / sizeof *decisive; i++)
        cr_expect(!same_hash(NULL, 0, &decisive[i], 1), "%s changes no hash", decisive[i]);
}

Test(config, data_path_decides_no_hash)
{
    static const char *const a[] = {"data={\"source\":\"mnist\"}"}, *const b[] = {"data={\"source\":\"mnist\",\"path\":\"/elsewhere\"}"};
    cr_expect(same_hash(a, 1, b, 1));
}

Test(config, canonical_model)
{
    struct lb_err err = {0};
    struct lb_experiment *e = load("test/config/valid/minimal.json", NULL, 0);
    char *model = lb_json_canonical(e->models[0].json, &err), *data = lb_json_canonical(e->data_json, &err);
    cr_expect_str_eq(model, "{\"layers\":[{\"type\":\"flatten\"},{\"activation\":\"linear\",\"bias_init\":{\"rule\":\"zeros\"},"
                            "\"init\":{\"rule\":\"he_normal\"},\"type\":\"dense\",\"units\":10}]}");
    cr_expect_str_eq(data, "{\"seed\":1,\"source\":\"digits\",\"test\":0,\"train\":0}");
    lb_free(model);
    lb_free(data);
    lb_config_destroy(e);
}

Test(config, shipped_schema)
{
    char *printed = NULL;
    size_t n = 0;
    struct lb_err err = {0};
    FILE *out = open_memstream(&printed, &n);
    cr_assert(out && lb_config_print_schema(out) == 0);
    fclose(out);
    char *shipped = lb_read_file("configs/schema.json", NULL, &err);
    cr_assert(shipped, "%s", err.text);
    cr_expect(!strcmp(printed, shipped), "configs/schema.json is old; make it again: build/lowbit check --schema > configs/schema.json");
    lb_free(shipped);
    free(printed);
}
