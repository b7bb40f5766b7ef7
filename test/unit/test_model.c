/* SPDX-License-Identifier: MIT */
/* A model's shapes, its initial weights, and the order that its samples come in. Its files: test_model_files.c. */
#include "test/unit/nn_util.h"

#include "core/nn/train.h"

static struct lb_model *model(const char *text, size_t classes)
{
    return model_of(experiment(text, "{}"), classes);
}

/* ---- Shapes ---- */

#define DENSE(units) "{\"type\": \"dense\", \"units\": " units "}"
#define CONV(rest)   "{\"type\": \"conv2d\", \"filters\": 2, \"kernel\": " rest "}"

Test(model, shapes)
{
    load_plugins();
    const struct lb_model *m =
        model("{\"input\": [2, 9, 8], \"layers\": [{\"type\": \"activation\", \"activation\": \"tanh\"},"
              "{\"type\": \"conv2d\", \"filters\": 4, \"kernel\": [3, 2], \"stride\": 2, \"padding\": 1, \"activation\": \"relu\"},"
              "{\"type\": \"flatten\"}, {\"type\": \"reshape\", \"shape\": [5, 4, 5]},"
              "{\"type\": \"conv2d\", \"filters\": 3, \"kernel\": 4, \"activation\": \"scaled_relu\"},"
              "{\"type\": \"dense\", \"units\": 6, \"activation\": \"softmax\"}]}",
              6);
    static const struct {
        const char *name;
        unsigned ndim;
        size_t shape[4], fan_in, fan_out, layer;
    } want[] = {{"1.weight", 4, {4, 2, 3, 2}, 12, 24, 1}, {"1.bias", 1, {4}, 12, 24, 1},
                {"4.weight", 4, {3, 5, 4, 4}, 80, 48, 4}, {"4.bias", 1, {3}, 80, 48, 4},
                {"5.weight", 2, {6, 6}, 6, 6, 5},         {"5.bias", 1, {6}, 6, 6, 5}};
    cr_assert_eq(m->n_params, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        const struct lb_param_tensor *p = &m->params[i];
        cr_expect(!strcmp(p->name, want[i].name) && p->ndim == want[i].ndim && p->layer == want[i].layer && p->is_bias == (int)(i & 1),
                  "%s", p->name);
        cr_expect(!memcmp(p->shape, want[i].shape, p->ndim * sizeof *p->shape), "%s: shape", p->name);
        cr_expect(p->fan_in == want[i].fan_in && p->fan_out == want[i].fan_out, "%s: fans %zu and %zu", p->name, p->fan_in, p->fan_out);
    }
    cr_expect_eq(m->n_weights, 48 + 4 + 240 + 3 + 36 + 6);
    cr_expect(m->n_layers == 5 && m->softmax_last && m->logits, "a softmax is a layer of its own: %zu layers", m->n_layers);
    const struct lb_conv *s = &m->layers[1].conv;
    cr_expect(s->oh == 5 && s->ow == 5 && m->layers[1].in == 144 && m->layers[1].out == 100 && m->layers[2].conv.oh == 1 &&
              m->layers[2].conv.ow == 2);
    cr_expect_eq(m->layers[0].in, 144);
    const struct lb_model *sigmoid =
        model("{\"input\": [3, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 2, \"activation\": \"sigmoid\"}]}", 2);
    cr_expect(!sigmoid->logits && !sigmoid->softmax_last);
    drop_all();
}

/* The figures of the published network: FACTS 1a. */
Test(model, published_network)
{
    load_plugins();
    const struct lb_model *m = model("{\"input\": [1, 28, 28], \"layers\": [" DENSE(
                                         "784") ", {\"type\": \"reshape\", \"shape\": [1, 28, 28]},"
                                                "{\"type\": \"conv2d\", \"filters\": 8, \"kernel\": 3}, {\"type\": \"conv2d\", "
                                                "\"filters\": 16, \"kernel\": 3, \"stride\": 2}," DENSE("64") ", " DENSE("10") "]}",
                                     10);
    static const size_t each[] = {615440, 80, 1168, 147520, 650};
    cr_assert_eq(m->n_params, 2 * COUNT(each));
    for (size_t i = 0; i < COUNT(each); i++)
        cr_expect_eq(m->params[2 * i].elems + m->params[2 * i + 1].elems, each[i]);
    cr_expect_eq(m->n_weights, 764858);
    drop_all();
}

/* One pixel of many channels is an image: a 1 x 1 convolution behind one that left a single position. */
Test(model, one_pixel)
{
    load_plugins();
    const struct lb_model *m = model("{\"input\": [1, 4, 4], \"layers\": [" CONV("4") ", " CONV("1") ", {\"type\": \"flatten\"}]}", 2);
    cr_assert_eq(m->n_params, 4);
    cr_expect(m->layers[1].conv.c == m->layers[0].out && m->layers[1].conv.oh == 1 && m->layers[1].conv.ow == 1);
    drop_all();
}

Test(model, refusals)
{
    static const struct {
        const char *model;
        size_t classes;
        const char *text;
    } rows[] = {
        {"{\"input\": [4, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 3, \"activation\": \"softmax\"}, " DENSE("3") "]}", 3,
         "model.layers[0].activation: softmax can only be the last"},
        {"{\"input\": [4, 1, 1], \"layers\": [" DENSE(
             "3") ", {\"type\": \"activation\", \"activation\": \"softmax\"}, {\"type\": \"flatten\"}]}",
         3, "model.layers[1].activation: softmax can only be the last"},
        {"{\"input\": [1, 4, 6], \"layers\": [" CONV("[5, 2]") "]}", 2, "model.layers[0].kernel: 5x2 is larger than the padded image 4x6"},
        {"{\"input\": [1, 4, 6], \"layers\": [" CONV("[6, 9], \"padding\": 1") "]}", 2,
         "model.layers[0].kernel: 6x9 is larger than the padded image 6x8"},
        {"{\"input\": [1, 2, 2], \"layers\": [" DENSE("8") ", " CONV("1") "]}", 2,
         "model.layers[1]: conv2d needs an image, found 8 values"},
        {"{\"input\": [4, 1, 1], \"layers\": [" DENSE("3") "]}", 10, "model.layers[0]: gives 3 outputs, but the data has 10 classes"},
        {"{\"input\": [1, 4, 6], \"layers\": [" CONV("3") "]}", 10, "model.layers[0]: gives 16 outputs, but the data has 10 classes"},
        {"{\"input\": [4, 1, 1], \"layers\": [{\"type\": \"reshape\", \"shape\": [1, 2, 3]}]}", 6,
         "model.layers[0].shape: 1x2x3 are 6 values, expected 4"},
        {"{\"input\": [4, 1, 1], \"layers\": [" DENSE("4") ", {\"type\": \"activation\", \"activation\": \"relu\"}, " DENSE(
             "2") "], \"ablate\": [0, 1]}",
         2, "model.ablate[1]: layer 1 has no weights"},
        {"{\"input\": [4, 1, 1], \"layers\": [" DENSE("2") "], \"weights\": \"w.safetensors\", \"weight_names\": {\"0.weigth\": \"a\"}}", 2,
         "model.weight_names: no tensor of the model is named \"0.weigth\""},
        {"{\"input\": [4, 1, 1], \"layers\": [" DENSE("2") "], \"ablate\": [1]}", 2, "model.ablate[0]: layer 1 has no weights"},
        {"{\"input\": [4, 1, 1], \"layers\": [{\"type\": \"flatten\"}]}", 4, "model.layers: no layer computes anything"},
        {"{\"input\": [1000000, 1000000, 1000000], \"layers\": [" DENSE("1000000") "]}", 1000000, "model.layers[0]: "},
        {"{\"input\": [1000000, 1000000, 1000000], \"layers\": [" DENSE("100") "]}", 100, "model.layers[0]: "},
    };
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lb_err err = {0};
        const struct lb_model_config *c = &experiment(rows[i].model, "{}")->models[0];
        struct lb_model *m;
        const int r = lb_model_create(c, (size_t)c->input[0], (size_t)c->input[1], (size_t)c->input[2], rows[i].classes, &m, &err);
        cr_expect(r == -1 && !m && !strncmp(err.text, rows[i].text, strlen(rows[i].text)), "%s\n  expected: %s\n  found:    %s",
                  rows[i].model, rows[i].text, r ? err.text : "no error");
        lb_model_destroy(m);
        lb_config_destroy(held.experiment[--held.experiments]);
    }
    drop_all();
}

/* ---- Initial weights ---- */

/* Two hundred by three hundred weights of each rule, against the mean, the variance and the ends that its formula gives. */
Test(model, initial_weights)
{
    static const struct {
        const char *rule;
        double variance, end, low; /* end 0: it has none */
    } rows[] = {{"\"he_normal\"", 2.0 / 300, 0, 0},
                {"\"xavier_normal\"", 2.0 / 500, 0, 0},
                {"\"he_uniform\"", 2.0 / 300, 0.14142135623730950, -0.14142135623730950},     /* sqrt(6 / 300) */
                {"\"xavier_uniform\"", 2.0 / 500, 0.10954451150103322, -0.10954451150103322}, /* sqrt(6 / 500) */
                {"\"fan_in\"", 1.0 / 3 / 300 / 300, 1.0 / 300, -1.0 / 300},
                {"{\"rule\": \"uniform\", \"low\": 0.25, \"high\": 0.75}", 0.25 / 12, 0.75, 0.25},
                {"{\"rule\": \"uniform\"}", 0.01 / 12, 0.05, -0.05}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"input\": [300, 1, 1], \"layers\": [{\"type\": \"dense\", \"units\": 200, \"init\": %s}]}",
                 rows[i].rule);
        struct lb_model *m = model(text, 200);
        lb_model_init(m, 3);
        const struct lb_param_tensor *w = &m->params[0];
        const double n = (double)w->elems, middle = (rows[i].end + rows[i].low) / 2;
        double sum = 0, squares = 0, least = INFINITY, most = -INFINITY;
        for (size_t j = 0; j < w->elems; j++) {
            const double d = (double)w->value[j] - middle;
            sum += d;
            squares += d * d;
            least = fmin(least, (double)w->value[j]);
            most = fmax(most, (double)w->value[j]);
        }
        /* Five standard deviations: of the mean sqrt(variance / n), of the variance at most its sqrt(2 / n). */
        cr_expect(fabs(sum / n) < 5 * sqrt(rows[i].variance / n), "%s: mean %g from %g", rows[i].rule, sum / n, middle);
        cr_expect(fabs(squares / n / rows[i].variance - 1) < 5 * sqrt(2 / n), "%s: variance %g, expected %g", rows[i].rule, squares / n,
                  rows[i].variance);
        if (rows[i].end != 0)
            cr_expect(least >= rows[i].low - 1e-8 && most <= rows[i].end + 1e-8 && most - least > 0.999 * (rows[i].end - rows[i].low),
                      "%s: from %g to %g, expected %g to %g", rows[i].rule, least, most, rows[i].low, rows[i].end);
        else
            cr_expect(most > 3.5 * sqrt(rows[i].variance) && least < -3.5 * sqrt(rows[i].variance), "%s: has no tails: %g to %g",
                      rows[i].rule, least, most);
        for (size_t j = 0; j < m->params[1].elems; j++)
            cr_expect(m->params[1].value[j] == 0, "biases are zeros by default");
    }
    drop_all();
}

static const char every_rule[] = "{\"input\": [2, 6, 6], \"layers\": ["
                                 "{\"type\": \"conv2d\", \"filters\": 3, \"kernel\": 3, \"stride\": 2, \"init\": \"he_normal\", "
                                 "\"bias_init\": {\"rule\": \"uniform\", \"low\": 0, \"high\": 0.01}},"
                                 "{\"type\": \"dense\", \"units\": 7, \"init\": \"xavier_normal\", \"bias_init\": \"fan_in\"},"
                                 "{\"type\": \"dense\", \"units\": 7, \"init\": \"he_uniform\", \"bias_init\": \"zeros\"},"
                                 "{\"type\": \"dense\", \"units\": 7, \"init\": \"xavier_uniform\", \"bias_init\": \"he_normal\"},"
                                 "{\"type\": \"dense\", \"units\": 7, \"init\": \"fan_in\", \"bias_init\": \"he_uniform\"}]}";

/* The bits themselves: a change of Philox, of a formula or of canon.h shows here, and needs results/paper to be made anew. */
Test(model, initial_bits)
{
    load_plugins();
    struct lb_model *m = model(every_rule, 7), *other = model(every_rule, 7);
    lb_model_init(m, 1);
    lb_model_init(other, 1);
    const char *first = sha256_of(m);
    cr_expect_str_eq(first, "938036e520895a24b3775e909f5037ef22d40848beafe1922ced9c75e4e43785");
    cr_expect_str_eq(first, sha256_of(other));
    lb_model_init(other, 2);
    cr_expect_str_neq(first, sha256_of(other), "seeds 1 and 2");
    lb_model_init(other, UINT64_C(1) + (UINT64_C(1) << 32));
    cr_expect_str_neq(first, sha256_of(other), "the upper half of the seed");
    drop_all();
}

/* Parameters of one shape and rule have streams of their own; a parameter keeps its own whatever comes after it. */
Test(model, streams)
{
    load_plugins();
    struct lb_model *m = model("{\"input\": [5, 1, 1], \"layers\": [" DENSE("5") ", " DENSE("5") ", " DENSE("5") "]}", 5);
    struct lb_model *shorter = model("{\"input\": [5, 1, 1], \"layers\": [" DENSE("5") "]}", 5);
    lb_model_init(m, 1);
    lb_model_init(shorter, 1);
    size_t equal = 0;
    for (size_t a = 0; a < 6; a += 2)
        for (size_t b = a + 2; b < 6; b += 2)
            for (size_t i = 0; i < 25; i++)
                for (size_t j = 0; j < 25; j++)
                    equal += m->params[a].value[i] == m->params[b].value[j];
    cr_expect_eq(equal, 0);
    cr_expect_arr_eq(m->params[0].value, shorter->params[0].value, 25 * sizeof(float));
    drop_all();
}

Test(model, ablate)
{
    load_plugins();
    struct lb_model *m =
        model("{\"input\": [5, 1, 1], \"layers\": [" DENSE("4") ", {\"type\": \"flatten\"}, {\"type\": \"dense\", \"units\": 4, "
                                                                "\"bias_init\": \"fan_in\"}, " DENSE("3") "], \"ablate\": [2]}",
              3);
    lb_model_init(m, 1);
    cr_expect(m->params[2].value[3] != 0 && m->params[3].value[3] != 0);
    lb_model_ablate(m);
    for (size_t i = 0; i < m->n_params; i += 2)
        cr_expect_eq(m->params[i].value[3] == 0 && m->params[i].value[0] == 0, i == 2, "%s", m->params[i].name);
    for (size_t j = 0; j < 4; j++)
        cr_expect(m->params[3].value[j] == 0);
    drop_all();
}

/* ---- Shuffles ---- */

Test(model, shuffles)
{
    enum { N = 1000, EPOCHS = 4 };
    static uint32_t order[EPOCHS][N], again[N];
    double chi = 0;
    for (size_t e = 0; e < EPOCHS; e++) {
        static unsigned char seen[N];
        memset(seen, 0, sizeof seen);
        lb_shuffle(9, e, N, order[e]);
        size_t fixed = 0;
        for (size_t i = 0; i < N; i++) {
            cr_assert(order[e][i] < N && !seen[order[e][i]], "epoch %zu: %u is there twice", e, order[e][i]);
            seen[order[e][i]] = 1;
            fixed += order[e][i] == i;
        }
        cr_expect(fixed < 10, "epoch %zu leaves %zu in their places", e, fixed); /* 1 is expected */
        lb_shuffle(9, e, N, again);
        cr_expect_arr_eq(order[e], again, sizeof again);
        for (size_t f = 0; f < e; f++)
            cr_expect_arr_neq(order[e], order[f], sizeof again);
    }
    lb_shuffle(10, 0, N, again);
    cr_expect_arr_neq(order[0], again, sizeof again);
    /* Each of 5! orders of 5 is as likely as the others: chi squared with 119 degrees of freedom has mean 119 and deviation 15. */
    unsigned count[3125] = {0};
    for (uint64_t e = 0; e < 12000; e++) {
        uint32_t o[5];
        lb_shuffle(1, e, 5, o);
        count[o[0] + 5 * (o[1] + 5 * (o[2] + 5 * (o[3] + 5 * o[4])))]++;
    }
    for (size_t i = 0; i < COUNT(count); i++)
        chi += count[i] ? (count[i] - 100.0) * (count[i] - 100.0) / 100 : 0;
    cr_expect(chi > 60 && chi < 200, "chi squared %g", chi);
    lb_shuffle(1, 0, 0, again);
    lb_shuffle(1, 0, 1, again);
    cr_expect_eq(again[0], 0);
}
